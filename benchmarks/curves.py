"""Along what the cost is measured: backgrounds, targets, integrations, workers, units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import ours, peer, programs
from benchmarks.contender import Contender
from benchmarks.inputs import Inputs

__all__ = ["CURVES", "Curve"]

Contenders = Callable[[Inputs, Path, int], dict[str, Contender]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One way in which work grows.

    Attributes
    ----------
    name, title, axis : str
        As it is called; what is done; what is counted.
    points : tuple of int
        How many of it.
    contenders : callable
        Takes the inputs, a scratch folder and the number; returns ours, and the peer where it
        is not out of reach.
    """

    name: str
    title: str
    axis: str
    points: tuple[int, ...]
    contenders: Contenders


PEERS_MOST_BACKGROUNDS = 16
PEERS_MOST_INTEGRATIONS = 200
"""Beyond these the reference step takes too long, or too much memory."""


def backgrounds(inputs: Inputs, scratch: Path, number: int) -> dict[str, Contender]:
    """One target, file to file in one process."""
    [target], skies = inputs.image(1), inputs.sky(number)
    with_peer = number <= PEERS_MOST_BACKGROUNDS
    return _sides(target, skies, scratch, with_peer=with_peer)


def integrations(inputs: Inputs, scratch: Path, number: int) -> dict[str, Contender]:
    """One cube and two backgrounds of the same length, file to file in one process."""
    target, *skies = inputs.cubes(number, inputs.size or 128, 2)
    with_peer = number <= PEERS_MOST_INTEGRATIONS
    return _sides(target, skies, scratch, with_peer=with_peer)


def targets(inputs: Inputs, scratch: Path, number: int) -> dict[str, Contender]:
    """Small targets that share four backgrounds, on two workers."""
    target, *skies = inputs.small()
    folder = inputs.program(f"targets-{number}", number, [target], skies, number)
    return {"ours": partial(programs.on_cluster, folder, scratch / "ours", 2)}


def workers(inputs: Inputs, scratch: Path, number: int) -> dict[str, Contender]:
    """Twelve full-frame targets that share eight backgrounds."""
    folder = inputs.program("twelve", 12, inputs.image(12), inputs.sky(8), 12)
    return {"ours": partial(programs.on_cluster, folder, scratch / "ours", number)}


def units(inputs: Inputs, scratch: Path, number: int) -> dict[str, Contender]:
    """Planning alone."""
    return {"ours": programs.planning_of(inputs, number, scratch / "ours")}


def _sides(
    target: Path, skies: list[Path], scratch: Path, *, with_peer: bool
) -> dict[str, Contender]:
    sides: dict[str, Contender] = {
        "ours": partial(ours.file_to_file, target, skies, scratch / "ours")
    }
    if with_peer:
        sides["peer"] = partial(peer.file_to_file, target, skies, scratch / "peer")
    return sides


CURVES: dict[str, Curve] = {
    curve.name: curve
    for curve in (
        Curve(
            "backgrounds",
            "one target, 2048 × 2048",
            "backgrounds",
            (2, 4, 8, 16, 32, 64, 100),
            backgrounds,
        ),
        Curve(
            "integrations",
            "cube and 2 cubes as backgrounds, 128 × 128",
            "integrations of each",
            (10, 20, 50, 100, 200, 500),
            integrations,
        ),
        Curve(
            "targets",
            "4 shared backgrounds, 256 × 256, two workers",
            "targets",
            (1, 2, 5, 10, 20, 50, 100, 200),
            targets,
        ),
        Curve(
            "workers",
            "12 targets, 8 shared backgrounds, 2048 × 2048",
            "workers",
            (1, 2),
            workers,
        ),
        Curve(
            "units",
            "planning alone, 16 × 16",
            "units",
            (10, 100, 1000, 10_000),
            units,
        ),
    )
}
