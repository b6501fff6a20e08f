"""Imprints of NIRSpec's IFU and MSA: which belongs to which exposure, and how it is subtracted.

An imprint (leakage) exposure shows the light that the closed shutters let through. It is
subtracted from the target and from every background before anything else is done to them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

import numpy as np

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError, BkgflowError, ShapeError, WindowError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.same import same_exposure
from bkgflow.io.exposures.source import Layer, Reader, Source
from bkgflow.io.products.writer import Edit, Plane
from bkgflow.io.storage.location import Location
from bkgflow.kinds.matching import check_alike
from bkgflow.methods.image import join_flags, subtract_imprint
from bkgflow.planning.kind import Prepared
from bkgflow.texts import many
from bkgflow.verdict import State

__all__ = [
    "choose_imprints",
    "imprint_edits",
    "imprint_of",
    "match_imprint",
    "takes_imprints",
    "without_imprint",
]

EXPOSURE_TYPES = frozenset({"NRS_IFU", "NRS_MSASPEC"})
"""Those whose imprints the pipeline subtracts."""

Given = Sequence[ExposureFacts | BkgflowError]
"""Imprints that were given; of one that cannot be used, what is wrong with it."""


def takes_imprints(target: ExposureFacts) -> bool:
    """Whether imprints are subtracted from exposures of this type."""
    return target.exp_type in EXPOSURE_TYPES


def choose_imprints(prepared: Prepared, given: Given, allowed: Collection[str] = ()) -> Prepared:
    """Find the imprint of a target and of each background that it uses.

    An exposure that has had its imprint subtracted, as its header says, is left as it is.

    Raises
    ------
    InputError
        If an imprint that is needed is bad, or does not fit the exposure that it is for.
    """
    unique = _without_repeats(given)
    if not unique:
        return prepared
    target, notes = prepared.target, list[str]()
    if len(unique) < len(given):
        repeated = many(len(given) - len(unique), "repeated imprint")
        notes.append(f"{repeated} left out: each exposure must count once")
    found: dict[str, list[str]] = {"before": [], "none": []}
    imprints: dict[Location, ExposureFacts] = {}
    for exposure in (target, *prepared.used):
        if exposure.had_imprint:
            found["before"].append(exposure.name)
        elif (imprint := match_imprint(exposure, unique)) is None:
            found["none"].append(exposure.name)
        else:
            _check(imprint, exposure, target.window, allowed)
            imprints[exposure.location] = imprint
    if found["before"]:
        notes.append(f"the imprint was subtracted before from {', '.join(found['before'])}")
    if found["none"]:
        names = ", ".join(_name(each) for each in unique)
        notes.append(
            f"none of the imprints ({names}) belongs to {', '.join(found['none'])}: "
            "no imprint is subtracted there"
        )
    own = imprints.pop(target.location, None)
    if own is not None and not prepared.verdict.to_do:
        notes.append(f"its imprint {own.name} is subtracted all the same")
    state = State.SKIPPED if own is None else State.COMPLETE
    return replace(
        prepared.noting(*notes),
        imprint=own,
        imprint_state=None if target.had_imprint else state,
        imprints=imprints,
    )


def _without_repeats(given: Given) -> Given:
    """One exposure may be there under several names; it counts once."""
    unique = list[ExposureFacts | BkgflowError]()
    for each in given:
        if not any(_same(each, other) for other in unique):
            unique.append(each)
    return unique


def _same(one: ExposureFacts | BkgflowError, other: ExposureFacts | BkgflowError) -> bool:
    if isinstance(one, ExposureFacts) and isinstance(other, ExposureFacts):
        return same_exposure(one, other)
    if isinstance(one, BkgflowError) and isinstance(other, BkgflowError):
        return one.message == other.message
    return False


def _name(imprint: ExposureFacts | BkgflowError) -> str:
    return imprint.name if isinstance(imprint, ExposureFacts) else str(imprint.file)


def match_imprint(exposure: ExposureFacts, given: Given) -> ExposureFacts | None:
    """Return the imprint that belongs to an exposure; None where there is none.

    A single one belongs to all exposures. Of several, those count that agree with the exposure in
    whether a background is looked at (BKGDTARG): the first of the same observation and dither
    position (OBSERVTN, PATT_NUM), or else the only one that counts.

    Raises
    ------
    BkgflowError
        If that cannot be decided without an imprint that cannot be used.
    """
    usable = [each for each in given if isinstance(each, ExposureFacts)]
    errors = [each for each in given if not isinstance(each, ExposureFacts)]
    if len(given) == 1:
        alike = usable
    else:
        alike = [each for each in usable if _agree(each, exposure, "BKGDTARG")]
        for each in alike:
            if _agree(each, exposure, "OBSERVTN", "PATT_NUM"):
                return each
    if errors:
        raise errors[0]
    return alike[0] if len(alike) == 1 else None


def _agree(imprint: ExposureFacts, exposure: ExposureFacts, *keywords: str) -> bool:
    """Whether both say the same; what both lack is the same too, as in the reference step."""
    return all(_said(imprint, k) == _said(exposure, k) for k in keywords)


def _said(exposure: ExposureFacts, keyword: str) -> str | float:
    """Return a keyword's value; a position is a number, however it is written."""
    value = exposure.imprint_keyword(keyword)
    if keyword == "PATT_NUM":
        with suppress(ValueError):
            return float(value)
    return value


def imprint_of(
    exposure: ExposureFacts, given: Given, window: Window, allowed: Collection[str] = ()
) -> ExposureFacts | None:
    """Return what is to be subtracted from an exposure, in a window of the detector.

    None where no imprint belongs to it, where it had its imprint subtracted, or where imprints
    are not subtracted from exposures of its type.

    Raises
    ------
    InputError
        As `choose_imprints`.
    """
    if exposure.had_imprint or not takes_imprints(exposure):
        return None
    imprint = match_imprint(exposure, _without_repeats(given))
    if imprint is not None:
        _check(imprint, exposure, window, allowed)
    return imprint


def without_imprint(pixels: Plane, imprint: Plane, layer: Layer) -> None:
    """Subtract an imprint's SCI, or join its DQ, in place; its ERR plays no part.

    ``imprint`` is one image, one integration, or as many as ``pixels`` has.
    """
    if layer == "err":
        return
    if imprint.ndim == 3 and len(imprint) == 1:
        imprint = imprint[0]
    (join_flags if layer == "dq" else subtract_imprint)(pixels, imprint)


def _check(
    imprint: ExposureFacts, exposure: ExposureFacts, window: Window, allowed: Collection[str]
) -> None:
    """See that an imprint can be subtracted from an exposure, in a window of the detector."""
    if same_exposure(imprint, exposure):
        raise BackgroundError(
            "An imprint must be another exposure than the one it is subtracted from",
            file=exposure.location,
            value=imprint.name,
            cure="Remove it from the imprints",
        )
    check_alike(exposure, [imprint], allowed, role="exposure", what="imprint")
    part = exposure.window.overlap(window)
    if part is not None and not imprint.window.contains(part):
        raise WindowError(
            "An imprint must cover the exposure that it is subtracted from",
            file=imprint.location,
            value=f"{imprint.window}; {exposure.name}: {part}",
            cure="Give an imprint of the same subarray, or correct SUBSTRT and SUBSIZE",
        )
    if imprint.n_integrations not in (None, 1, exposure.n_integrations):
        raise ShapeError(
            "An imprint must be one image, or have as many integrations as its exposure",
            file=imprint.location,
            value=f"{imprint.n_integrations} integrations; {exposure.name}: "
            f"{exposure.n_integrations or 'an image'}",
            cure="Give the rate file of the imprint",
        )


@contextmanager
def imprint_edits(target: ExposureFacts, imprint: Source | None) -> Iterator[dict[str, Edit]]:
    """Give the edits, by EXTNAME, that subtract an imprint from a target; none without one.

    SCI loses the imprint's, DQ gets the imprint's flags too; ERR and variances stay.
    """
    layers: dict[str, Layer] = {"SCI": "sci", "DQ": "dq"}
    with ExitStack() as stack:
        if imprint is None:
            yield {}
            return
        # Each array has a reader of its own: it may be written by a thread of its own.
        yield {
            name: _Subtraction(target, imprint, stack.enter_context(imprint.reader()), layer)
            for name, layer in layers.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Subtraction:
    """Reads the rows of an imprint that an edit needs."""

    target: ExposureFacts
    imprint: Source
    reader: Reader
    layer: Layer
    kept: dict[int, Plane] = field(default_factory=dict)

    def __call__(self, pixels: Plane, integration: int, rows: slice) -> None:
        without_imprint(pixels, self._rows(integration, rows), self.layer)

    def _rows(self, integration: int, rows: slice) -> Plane:
        single = self.imprint.n_integrations in (None, 1)
        if single and rows.start in self.kept:
            return self.kept[rows.start]
        window = self.target.window
        part = Window(window.x0, window.y0 + rows.start, window.nx, rows.stop - rows.start)
        plane: Plane = np.empty(part.shape, np.uint32 if self.layer == "dq" else np.float32)
        if self.imprint.n_integrations is None:
            self.reader.read(self.layer, part, plane)
        else:
            self.reader.read(self.layer, part, plane[None], 0 if single else integration)
        if single and self.target.n_integrations is not None:
            # Every integration needs the same rows: they are read once.
            self.kept[rows.start] = plane
        return plane
