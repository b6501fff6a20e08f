"""The cases of whole programs, and what a plan of many units costs."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from benchmarks import floor, programs
from benchmarks.case import Bar, Case, Samples, faster
from benchmarks.contender import Contender
from benchmarks.inputs import Inputs
from benchmarks.pairs import Spread, ratios

__all__ = ["PROGRAMS"]

TARGETS, BACKGROUNDS, POINTS, DITHERS = 24, 8, 9, 12
UNITS = 10_000
MANY = (25, 50, 100)
"""Numbers of backgrounds for one target."""

DEEP = 200
"""Backgrounds that take two workers two or three seconds; planning and starting are a tenth."""

FEW = 100
"""Backgrounds of which the small frames take half a second."""

SIDE = 1024
"""Pixels along each axis of the small frames."""

GIB = 2**30


def program(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """Targets that share their backgrounds, on two workers."""
    return _two_workers(_shared(inputs), scratch)


def dithers(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """Full frames, each a background of the others."""
    return _two_workers(inputs.dithers(POINTS), scratch)


def many_dithers(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """More of them; and as many targets that share as many other exposures."""
    targets, skies = inputs.image(DITHERS), inputs.sky(DITHERS)
    shared = inputs.program("shared-many", DITHERS, targets, skies, DITHERS)
    contenders = _two_workers(inputs.dithers(DITHERS), scratch)
    return contenders | {"shared": partial(programs.on_cluster, shared, scratch / "shared", 2)}


def nods(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """A nod pattern in a slit's subarray, each exposure a background of the others."""
    return _two_workers(inputs.nods(POINTS), scratch)


def one_and_two_workers(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """The shared program on one worker and on two."""
    return _on_two_and_one(_shared(inputs), scratch)


def deep_on_one_and_two_workers(
    backgrounds: int, side: int | None, inputs: Inputs, scratch: Path
) -> dict[str, Contender]:
    """One target with many backgrounds: the clip decides, and not the disk."""
    sides = [each for each in (inputs.size, side) if each is not None]
    cut = Inputs(inputs.folder, inputs.note, min(sides, default=None))
    name = f"deep-{backgrounds}-{cut.size or 'full'}"
    folder = cut.program(name, 1, cut.image(1), cut.sky(backgrounds), 1)
    return _on_two_and_one(folder, scratch)


def many_backgrounds(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """One target with more and more backgrounds, the most of them as ours."""
    contenders: dict[str, Contender] = {}
    for number in MANY:
        name = "ours" if number == MANY[-1] else f"{number} backgrounds"
        folder = inputs.program(f"many-{number}", 1, inputs.image(1), inputs.sky(number), 1)
        contenders[name] = partial(programs.on_cluster, folder, scratch / name, 2)
    return contenders


def planning(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """Ten thousand small units; ten share four backgrounds."""
    return {"ours": programs.planning_of(inputs, UNITS, scratch / "ours")}


def _shared(inputs: Inputs) -> Path:
    targets, backgrounds = inputs.image(TARGETS), inputs.sky(BACKGROUNDS)
    return inputs.program("shared", TARGETS, targets, backgrounds, TARGETS)


def _two_workers(folder: Path, scratch: Path) -> dict[str, Contender]:
    """Return both sides of a program, and the floor: every file once, in one process."""
    members = _members(folder)
    skies = sorted({sky for each in members.values() for sky in each})
    jobs = programs.jobs_of(members)
    return {
        "ours": partial(programs.on_cluster, folder, scratch / "ours", 2),
        "peer": partial(programs.peer_pool, jobs, scratch / "peer", 2),
        "floor": partial(floor.move, skies, list(members), scratch / "floor"),
    }


def _on_two_and_one(folder: Path, scratch: Path) -> dict[str, Contender]:
    """Return a program on two workers and on one."""
    return {
        name: partial(programs.on_cluster, folder, scratch / name, workers)
        for name, workers in (("ours", 2), ("one worker", 1))
    }


def _members(folder: Path) -> dict[Path, list[Path]]:
    """Read a program's associations: the backgrounds of each target."""
    found: dict[Path, list[Path]] = {}
    for path in sorted(folder.glob("*_asn.json")):
        [product] = json.loads(path.read_text(encoding="utf-8"))["products"]
        names: dict[str, list[Path]] = {"science": [], "background": []}
        for member in product["members"]:
            names[member["exptype"]].append(folder / member["expname"])
        found[names["science"][0]] = names["background"]
    return found


def _number(name: str, samples: Samples) -> float:
    return Spread.of([sample.numbers[name] for sample in samples["ours"]]).median


def _peak_total(samples: Samples) -> float:
    return max(sample.peak for sample in samples["ours"]) / GIB


def _peak_one(samples: Samples) -> float:
    return max(sample.peak_one for sample in samples["ours"]) / GIB


def _growth(samples: Samples) -> float:
    """Time for one background of the most, over that for one of the fewest."""
    return ratios(samples["ours"], samples[f"{MANY[0]} backgrounds"]).median * MANY[0] / MANY[-1]


def _beside_shared(samples: Samples) -> float:
    return ratios(samples["ours"], samples["shared"]).median


def _seconds(samples: Samples) -> float:
    return Spread.of([sample.seconds for sample in samples["ours"]]).median


PROGRAMS = (
    Case(
        "program",
        f"{TARGETS} targets with the same {BACKGROUNDS} backgrounds, full frame, two workers",
        program,
        (faster(15),),
        compare=True,
    ),
    Case(
        "nods9",
        f"{POINTS} nods, each a background of the others, full frame, two workers",
        dithers,
        (faster(10),),
        compare=True,
    ),
    Case(
        "dithers12",
        f"{DITHERS} dithers, each a background of the others, full frame, two workers; beside "
        f"{DITHERS} targets that share {DITHERS} backgrounds",
        many_dithers,
        (
            faster(10),
            Bar("times as long as with one shared background", 1.5, _beside_shared, False),
        ),
        runs=3,
        compare=True,
    ),
    Case(
        "nods9-slit",
        "the same in a slit's subarray of 64 rows: next to nothing but headers",
        nods,
        (faster(10),),
        compare=True,
    ),
    Case(
        "memory-100",
        f"one target, {MANY[-1]} backgrounds, full frame, two workers",
        many_backgrounds,
        (
            Bar("GiB in any process", 1.5, _peak_one, False),
            Bar("GiB of all processes together", 1.5, _peak_total, False),
            Bar(f"time per background, {MANY[-1]} over {MANY[0]}", 1.2, _growth, False),
        ),
        runs=3,
    ),
    Case(
        "planning-10000",
        f"planning {UNITS} small units, and their graph",
        planning,
        (
            Bar("seconds", 20, _seconds, False),
            Bar("bytes of graph per unit", 10_000, partial(_number, "graph_bytes_per_unit"), False),
            Bar("bytes of its tasks apart", 10_000, partial(_number, "task_bytes_per_unit"), False),
        ),
        runs=2,
    ),
    Case(
        "workers-2",
        "the shared program on two workers, against one",
        one_and_two_workers,
        (faster(1.6, than="one worker"),),
        runs=3,
    ),
    Case(
        "workers-2-deep",
        f"one target, {DEEP} backgrounds, full frame, on two workers, against one: little is "
        "written",
        partial(deep_on_one_and_two_workers, DEEP, None),
        (faster(1.6, than="one worker"),),
        runs=5,
    ),
    Case(
        "workers-2-small",
        f"{FEW} backgrounds of {SIDE}²: half a second, a third of which is planning and starting",
        partial(deep_on_one_and_two_workers, FEW, SIDE),
        (faster(1.3, than="one worker"),),
        runs=3,
    ),
)
