"""Two campaigns, or two folders of products, unit by unit: what is not the same, worst first."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.asked import Tell, side_by_side
from bkgflow.campaign.answers.sides import Pair, Side, Standing, pairs_of, side_of
from bkgflow.errors import BkgflowError, UsageError
from bkgflow.io.products.compare import PixelChange, compare_pixels
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.plot.figure import check_drawing
from bkgflow.report.differences import draw_difference
from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WORST", "Change", "Differences", "diff"]

WORST = 4
"""Pictures, unless it is said otherwise."""

LINES = 20
"""Units that are told when differences are printed."""

COLUMNS = (
    "unit", "state_a", "state_b", "differ", "lost", "pixels", "largest", "rms", "dq", "scale",
    "template_a", "template_b", "words",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """A unit in both folders, or in one of them.

    Attributes
    ----------
    state_a, state_b : str
        Empty where the folder does not have it.
    scale : float
        The largest relative change of a scale; NaN where there is nothing to compare.
    pixels : PixelChange or None
        None where the products could not be compared.
    trouble : str
        Why not.
    """

    unit: str
    state_a: str
    state_b: str
    file_a: str = ""
    file_b: str = ""
    template_a: int | None = None
    template_b: int | None = None
    scale: float = math.nan
    pixels: PixelChange | None = None
    trouble: str = ""

    @property
    def only_in(self) -> str:
        """Which folder alone has it: "A" or "B"; empty where both have it."""
        return "B" if not self.state_a else "A" if not self.state_b else ""

    @property
    def same(self) -> bool:
        """Whether nothing is different."""
        return not self.words

    @property
    def words(self) -> str:
        """What is different, in a line; empty where nothing is."""
        if self.only_in:
            return f"only in {self.only_in}"
        said = []
        if self.state_a != self.state_b:
            said.append(f"{self.state_a} → {self.state_b}")
        if self.trouble:
            said.append(self.trouble)
        if self.template_a != self.template_b:
            said.append(f"template {_template(self.template_a)} → {_template(self.template_b)}")
        if self.scale > 0:
            said.append(f"scale changed by up to {self.scale:.3g} of itself")
        said += _pixel_words(self.pixels)
        return "; ".join(said)

    @property
    def badness(self) -> tuple[float, ...]:
        """What comes first where the worst does: the larger, the worse."""
        pixels = self.pixels or PixelChange()
        return (
            bool(self.only_in),
            self.state_a != self.state_b,
            bool(self.trouble or pixels.shapes),
            self.template_a != self.template_b,
            pixels.lost,
            pixels.rms,
            pixels.differ,
            pixels.dq,
            self.scale if self.scale > 0 else 0.0,
        )

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON; what is not known is None."""
        scale = None if math.isnan(self.scale) else self.scale
        return asdict(self) | {"scale": scale, "same": self.same, "words": self.words}

    @property
    def row(self) -> Row:
        """It as a row of a table."""
        pixels = asdict(self.pixels or PixelChange())
        own = {name: getattr(self, name) for name in COLUMNS if hasattr(self, name)}
        return pixels | own | {"pixels": pixels["pixels"]}


def _template(number: int | None) -> str:
    return "none" if number is None else str(number + 1)


def _pixel_words(pixels: PixelChange | None) -> Iterator[str]:
    if pixels is None:
        return
    if pixels.shapes:
        yield f"shapes {pixels.shapes}"
    if pixels.differ:
        share = f"{pixels.differ:,} of {many(pixels.pixels, 'pixel')} differ"
        if pixels.lost:
            share += f", {pixels.lost:,} of them with a value in one of the two alone"
        if pixels.differ > pixels.lost:
            share += f", by {pixels.rms:.3g} (rms) and {pixels.largest:.3g} (largest)"
        yield share
    if pixels.dq:
        yield f"DQ of {many(pixels.dq, 'pixel')} differs"


@dataclass(frozen=True, slots=True)
class Differences:
    """What is not the same in two folders, the worst first.

    Attributes
    ----------
    changes : tuple of Change
        All units; those that are the same come last.
    pictures : tuple of str
        Of the worst, where they were asked for.
    notes : tuple of str
        What else is to be said, such as a folder without a ledger.
    """

    a: str
    b: str
    changes: tuple[Change, ...]
    pictures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def different(self) -> list[Change]:
        """Units that are not the same in both."""
        return [each for each in self.changes if not each.same]

    @property
    def same(self) -> bool:
        """Whether all units are the same."""
        return not self.different

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, a row for each unit, the worst first."""
        return frame_of([each.row for each in self.changes], COLUMNS)

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return {
            "a": self.a,
            "b": self.b,
            "same": self.same,
            "notes": list(self.notes),
            "pictures": list(self.pictures),
            "units": [each.to_dict() for each in self.changes],
        }

    def summary(self) -> str:
        """Say in a line how many units are the same, and how many are not."""
        alone = {side: sum(each.only_in == side for each in self.changes) for side in ("A", "B")}
        other = len(self.different) - sum(alone.values())
        parts = [f"{len(self.changes) - len(self.different):,} the same", f"{other:,} different"]
        parts += [f"{number:,} only in {side}" for side, number in alone.items() if number]
        return f"{many(len(self.changes), 'unit')}: {', '.join(parts)}"

    def _lines(self) -> Iterator[str]:
        yield f"A = {self.a}"
        yield f"B = {self.b}"
        yield from self.notes
        yield self.summary()
        for each in self.different[:LINES]:
            yield f"  {each.unit}: {each.words}"
        left = len(self.different) - LINES
        if left > 0:
            yield f"  … and {many(left, 'more unit')}: to_frame() and --json have all of them"
        yield from (f"drawn: {each}" for each in self.pictures)

    def __str__(self) -> str:
        """The folders, how many units are the same, and what is different, the worst first."""
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        said = "\n".join(list(self._lines())[: 3 + len(self.notes)])
        rows = [each.row for each in self.changes]
        return html_of(said, rows, ("unit", "state_a", "state_b", "rms", "largest", "words"))


def diff(
    a: PathLike,
    b: PathLike,
    *,
    pictures: PathLike | None = None,
    worst: int = WORST,
    tell: Tell | None = None,
) -> Differences:
    """Compare two output folders; see `bkgflow.diff`."""
    if worst < 1:
        cure = "Give how many pictures are wanted, such as 4"
        raise UsageError("The worst must be one unit or more", value=worst, cure=cure)
    if pictures is not None:
        check_drawing()
    one, other = side_of(Location.of(a)), side_of(Location.of(b))
    found = side_by_side(_change, pairs_of(one, other), tell)
    changes = sorted(found, key=lambda each: each.badness, reverse=True)
    drawn = () if pictures is None else tuple(_drawn(changes, one, other, pictures, worst))
    notes = tuple(each.note for each in (one, other) if each.note)
    return Differences(str(one.folder), str(other.folder), tuple(changes), drawn, notes)


def _change(pair: Pair) -> Change:
    a, b = pair
    if a is None or b is None:
        alone = a or b
        assert alone is not None
        state = alone.state.value
        states = (state, "") if a else ("", state)
        return Change(alone.name, *states, _file(a), _file(b))
    make = partial(
        Change,
        b.name if a.file is None and b.file is not None else a.name,
        a.state.value,
        b.state.value,
        _file(a),
        _file(b),
        a.template,
        b.template,
        _scale_change(a, b),
    )
    if a.file is None or b.file is None:
        return make(trouble="" if a.file is b.file else f"no product in {'B' if a.file else 'A'}")
    try:
        return make(pixels=compare_pixels(a.file, b.file))
    except BkgflowError as error:
        return make(trouble=f"it cannot be compared ({error.message})")


def _file(unit: Standing | None) -> str:
    return "" if unit is None or unit.file is None else str(unit.file)


def _scale_change(a: Standing, b: Standing) -> float:
    """Return the largest change of a scale, as a part of it; NaN where there is none to compare."""
    if not a.scales or not b.scales:
        return math.nan
    if len(a.scales) != len(b.scales):
        return math.inf
    changes = (
        abs(y - x) / (abs(x) or 1.0)
        for x, y in zip(a.scales, b.scales, strict=True)
        if not (math.isnan(x) and math.isnan(y))
    )
    return max((math.inf if math.isnan(each) else each for each in changes), default=0.0)


def _drawn(
    changes: list[Change], one: Side, other: Side, folder: PathLike, worst: int
) -> Iterator[str]:
    """Draw the worst units whose pixels differ."""
    chosen = [each for each in changes if each.pixels and each.pixels.differ][:worst]
    for each in chosen:
        files = Location.of(each.file_a), Location.of(each.file_b)
        names = str(one.folder), str(other.folder)
        picture = Path(Location.of(folder)) / f"{Path(each.unit).stem}_diff.png"
        yield str(draw_difference(files, names, picture, each.words))
