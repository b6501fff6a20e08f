"""What a plan will read, write and hold, predicted from headers alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bkgflow.planning.kind import Facts, PlannedKinds
from bkgflow.planning.plan import Costs
from bkgflow.planning.unit import Shared, Unit
from bkgflow.settings import StepSettings
from bkgflow.verdict import State

__all__ = ["predict"]

COMPANION_BYTES = 12
"""Of a pixel of a combined background that is saved: SCI, ERR (float32) and DQ (uint32)."""


def predict(
    units: Sequence[Unit],
    shared: Sequence[Shared],
    facts: Facts,
    kinds: PlannedKinds,
    settings: StepSettings,
    memory: int,
) -> Costs:
    """Add up what the tasks of a plan will move and hold.

    A target is read whole and written whole; what shared results cost, their kind knows.

    Returns
    -------
    Costs
        In bytes.
    """
    by_kind: dict[str, list[Shared]] = defaultdict(list)
    for each in shared:
        by_kind[each.kind].append(each)
    costs = [
        kinds.named(name).shared_cost(group, facts, settings, memory)
        for name, group in by_kind.items()
    ]
    read, written, unit_task = sum(cost.read for cost in costs), 0, 0
    for unit in units:
        if unit.verdict.state == State.QUARANTINED:
            continue
        target = facts[unit.target]
        size = target.identity.size
        read += size
        if unit.references is not None:
            read += sum(identity.size for _, identity in unit.references.identities)
        pixels = target.window.nx * target.window.ny
        written += size + len(unit.companions) * pixels * COMPANION_BYTES
        unit_task = max(unit_task, kinds.named(unit.kind).held(target))
    return Costs(read, written, max((cost.held for cost in costs), default=0), unit_task)
