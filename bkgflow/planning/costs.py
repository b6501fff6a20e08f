"""What the tasks of a plan move and hold, added up before any of them begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bkgflow.io.products.sending import PART_BYTES
from bkgflow.planning.kind import Facts, Prelude
from bkgflow.planning.plan import Costs
from bkgflow.planning.unit import IMPRINT_BYTES, Shared, Unit
from bkgflow.verdict import State

if TYPE_CHECKING:
    from bkgflow.planning.planner import Planner

__all__ = ["costs_of"]

COMPANION_BYTES = 12
"""Of a pixel of a combined background that is saved: SCI, ERR (float32) and DQ (uint32)."""


def costs_of(
    planner: Planner, units: Iterable[Unit], shared: Sequence[Shared], facts: Facts
) -> Costs:
    """Add up what the tasks will move and hold; a target is read and written whole."""
    read = written = shared_task = unit_task = 0
    seen: set[Prelude] = set()
    for name in dict.fromkeys(each.kind for each in shared):
        own = [each for each in shared if each.kind == name]
        for piece in planner.kinds.named(name).pieces(own, facts, planner.settings, planner.memory):
            moved = [(piece.read, piece.held)]
            moved += ((each.read, each.held) for each in _before(piece.takes, seen))
            read += sum(each for each, _ in moved)
            shared_task = max(shared_task, *(each for _, each in moved))
    for unit in units:
        if unit.verdict.state == State.QUARANTINED:
            continue
        target = facts[unit.target]
        size, pixels = target.identity.size, target.window.nx * target.window.ny
        identities = unit.references.identities if unit.references else ()
        read += size + sum(identity.size for _, identity in identities)
        written += size + len(unit.companions) * pixels * COMPANION_BYTES
        held = planner.kinds.named(unit.kind).held(target, planner.settings)
        held += planner.outputs.held(target.shape)
        if unit.imprint is not None and unit.imprint.location is not None:
            depth = facts[unit.imprint.location].n_integrations or 1
            read += depth * pixels * IMPRINT_BYTES
            # Rows at a time; for a cube, what every integration needs is kept.
            streams = target.n_integrations is None
            held += 2 * PART_BYTES if streams else pixels * IMPRINT_BYTES
        unit_task = max(unit_task, held)
    return Costs(read, written, shared_task, unit_task)


def _before(preludes: Iterable[Prelude], seen: set[Prelude]) -> Iterator[Prelude]:
    """Yield what comes before a piece and was not seen yet: several take the same."""
    for each in preludes:
        if each not in seen:
            seen.add(each)
            yield each
            yield from _before(each.takes, seen)
