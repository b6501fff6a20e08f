"""What is measured, and the bar that each case is to clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks import floor, ours, peer
from benchmarks.inputs import Inputs
from benchmarks.pairs import Contender, Sample, Spread, ratios

__all__ = ["CASES", "Bar", "Case", "Samples"]

Samples = Mapping[str, list[Sample]]
"""What the contenders of a case did, by their names: ours, peer, floor, and others."""

Measure = Callable[[Samples], float]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a case is to show.

    Attributes
    ----------
    what : str
        In words, with the unit.
    limit : float
        The bar.
    measure : callable
        Takes the samples, returns what is held against the bar.
    at_least : bool
        Whether the value may not be below the bar; else it may not be above.
    """

    what: str
    limit: float
    measure: Measure
    at_least: bool = True

    def met_by(self, value: float) -> bool:
        """Whether a value clears the bar."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Case:
    """One comparison.

    Attributes
    ----------
    name, title : str
        As it is called on the command line, and what it is.
    contenders : callable
        Takes the inputs and a scratch folder, returns the contenders by name.
    bars : tuple of Bar
        What is to be shown.
    runs : int
        Turns, unless the command line says otherwise.
    products : tuple of str
        Folders below the scratch folder whose products are compared pixel by pixel.
    """

    name: str
    title: str
    contenders: Callable[[Inputs, Path], dict[str, Contender]]
    bars: tuple[Bar, ...]
    runs: int = 5
    products: tuple[str, ...] = field(default=())


def faster(limit: float, than: str = "peer") -> Bar:
    """Return the bar of being so many times faster than another contender."""
    name = "jwst" if than == "peer" else than
    return Bar(f"times faster than {name}", limit, lambda s: ratios(s[than], s["ours"]).median)


def above_floor(limit: float) -> Bar:
    """Return the bar of taking at most so many times what moving the data takes."""
    return Bar("times the floor", limit, lambda s: ratios(s["ours"], s["floor"]).median, False)


def one_target(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """One full-frame image and eight backgrounds, file to file."""
    [target], backgrounds = inputs.image(1), inputs.sky(8)
    return _files(target, backgrounds, scratch)


def clip_kernel(number: int, inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """The clip and average alone, of arrays in memory."""
    paths = inputs.sky(number)
    return {"ours": partial(ours.clip_kernel, paths), "peer": partial(peer.clip_kernel, paths)}


def rateints(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """A cube and three backgrounds that are cubes, file to file."""
    target, *backgrounds = inputs.cubes(20, inputs.size or 512, 3)
    return _files(target, backgrounds, scratch)


def wfss_scaling(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """The factor between a sky and an exposure, of arrays in memory."""
    arrays = inputs.slitless()
    return {
        "ours": partial(ours.wfss_scaling, arrays, 5),
        "peer": partial(peer.wfss_scaling, arrays, 5),
    }


SOSS_INTEGRATIONS = 60


def soss(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """A SOSS time series and a library of ten skies, file to file."""
    exposure, library = inputs.series(SOSS_INTEGRATIONS, 10)
    arguments = {"lean": True, "override_bkg": str(library)}
    return _files(exposure, [], scratch, read=[library], **arguments)


def _soss_increase(samples: Samples) -> float:
    """Peak above the idle process, in units of the SCI array."""
    sci = SOSS_INTEGRATIONS * 256 * 2048 * 4
    return Spread.of([sample.increase / sci for sample in samples["ours"]]).median


def _files(
    target: Path,
    backgrounds: list[Path],
    scratch: Path,
    read: list[Path] | None = None,
    **arguments: object,
) -> dict[str, Contender]:
    """Return both sides and the floor of one exposure, file to file."""
    return {
        "ours": partial(ours.file_to_file, target, backgrounds, scratch / "ours", **arguments),
        "peer": partial(peer.file_to_file, target, backgrounds, scratch / "peer", **arguments),
        "floor": partial(floor.move, read or backgrounds, [target], scratch / "floor"),
    }


IN_ONE_PROCESS = (
    Case(
        "one-target",
        "one target, 8 backgrounds, full frame, file to file",
        one_target,
        (faster(7), above_floor(2.5)),
        runs=7,
        products=("ours", "peer"),
    ),
    *(
        Case(
            f"clip-kernel-{number}",
            f"clip and average alone, {number} full frames, one thread",
            partial(clip_kernel, number),
            (faster(20),),
        )
        for number in (4, 8, 16)
    ),
    Case(
        "rateints",
        "target and 3 backgrounds of 20 integrations, file to file",
        rateints,
        (faster(8),),
        products=("ours", "peer"),
    ),
    Case(
        "wfss-scaling",
        "factor of a slitless sky, full frame, 5 rounds",
        wfss_scaling,
        (faster(5),),
    ),
    Case(
        "soss",
        f"SOSS, {SOSS_INTEGRATIONS} integrations, 10 templates, file to file",
        soss,
        (
            faster(20),
            Bar("times SCI, peak above the idle process", 1.5, _soss_increase, False),
        ),
        runs=3,
        products=("ours", "peer"),
    ),
)

CASES: dict[str, Case] = {case.name: case for case in IN_ONE_PROCESS}
"""All cases by name, in the order in which they are run."""
