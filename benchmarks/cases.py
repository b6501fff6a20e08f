"""What is measured, and the bar that each case is to clear."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import cold, floor, ours, peer
from benchmarks.case import Bar, Case, Samples, above_floor, faster
from benchmarks.contender import Contender
from benchmarks.inputs import Inputs
from benchmarks.pairs import Spread
from benchmarks.program_cases import PROGRAMS
from benchmarks.zarr_cases import ZARR

__all__ = ["CASES"]


def one_target(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """One full-frame image and eight backgrounds, file to file."""
    [target], backgrounds = inputs.image(1), inputs.sky(8)
    return _files(target, backgrounds, scratch)


def cold_subtract(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """One full-frame image and four backgrounds, each time by a command of its own."""
    [target], backgrounds = inputs.image(1), inputs.sky(4)
    moved = partial(floor.move, backgrounds, [target], scratch / "floor")
    return {**cold.subtract_commands(target, backgrounds, scratch), "floor": moved}


def clip_kernel(number: int, inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """The clip and average alone, of arrays in memory."""
    paths = inputs.sky(number)
    return {"ours": partial(ours.clip_kernel, paths), "peer": partial(peer.clip_kernel, paths)}


def rateints(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """A cube and three backgrounds that are cubes, file to file."""
    target, *backgrounds = inputs.cubes(20, inputs.size or 512, 3)
    return _files(target, backgrounds, scratch)


def slitless_scaling(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """The factor between a sky and an exposure, of arrays in memory."""
    arrays = inputs.slitless_arrays()
    return {
        "ours": partial(ours.slitless_scaling, arrays, 5),
        "peer": partial(peer.slitless_scaling, arrays, 5),
    }


def slitless_file(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """A slitless exposure, its association with a catalog, and references, file to file."""
    scene = inputs.slitless_as_reduced()
    return {
        "ours": partial(
            ours.file_to_file,
            scene.association,
            [],
            scratch / "ours",
            references=scene.sky.parent,
        ),
        "peer": partial(
            peer.slitless_to_file,
            scene.association,
            scene.sky,
            scene.wavelengthrange,
            scratch / "peer",
        ),
        "floor": partial(floor.move, [scene.sky], [scene.exposure], scratch / "floor"),
    }


SOSS_INTEGRATIONS = 60


def soss(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """Fit and subtraction of a SOSS time series in memory; the library is read from its file."""
    files = inputs.series(SOSS_INTEGRATIONS, 10)
    return {"ours": partial(ours.soss, *files), "peer": partial(peer.soss, *files)}


def soss_file(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """The same, file to file."""
    exposure, library = inputs.series(SOSS_INTEGRATIONS, 10)
    return {
        "ours": partial(
            ours.file_to_file,
            exposure,
            [],
            scratch / "ours",
            lean=True,
            override_bkg=str(library),
        ),
        "peer": partial(peer.soss_to_file, exposure, library, scratch / "peer"),
        "floor": partial(floor.move, [library], [exposure], scratch / "floor"),
    }


def _soss_increase(samples: Samples) -> float:
    """Peak above the idle process, in units of the SCI array."""
    sci = SOSS_INTEGRATIONS * 256 * 2048 * 4
    return Spread.of([sample.increase / sci for sample in samples["ours"]]).median


def _files(target: Path, backgrounds: list[Path], scratch: Path) -> dict[str, Contender]:
    """Return both sides and the floor of one exposure, file to file."""
    return {
        "ours": partial(ours.file_to_file, target, backgrounds, scratch / "ours"),
        "peer": partial(peer.file_to_file, target, backgrounds, scratch / "peer"),
        "floor": partial(floor.move, backgrounds, [target], scratch / "floor"),
    }


IN_ONE_PROCESS = (
    Case(
        "one-target",
        "one target, 8 backgrounds, full frame, file to file",
        one_target,
        (faster(7), above_floor(2.5)),
        runs=7,
        compare=True,
    ),
    Case(
        "cold-subtract",
        "one target, 4 backgrounds, full frame, each side's command as a whole process",
        cold_subtract,
        (faster(3),),
        compare=True,
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
        compare=True,
    ),
    Case(
        "wfss-scaling",
        "factor of a slitless sky, full frame, 5 rounds",
        slitless_scaling,
        (faster(5),),
    ),
    Case(
        "wfss-file",
        "slitless exposure and its catalog, full frame, file to file",
        slitless_file,
        (faster(12), above_floor(3)),
        compare=True,
    ),
    Case(
        "soss",
        f"SOSS, {SOSS_INTEGRATIONS} integrations, 10 templates, fit and subtraction in memory",
        soss,
        (faster(20),),
        runs=3,
    ),
    Case(
        "soss-file",
        "the same, file to file",
        soss_file,
        (
            Bar("times SCI, peak above the idle process", 1.5, _soss_increase, False),
            above_floor(3),
        ),
        runs=3,
        compare=True,
    ),
)

CASES: dict[str, Case] = {case.name: case for case in (*IN_ONE_PROCESS, *PROGRAMS, *ZARR)}
"""All cases by name, in the order in which they are run."""
