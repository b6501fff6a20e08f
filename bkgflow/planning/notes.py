"""What a plan says as a whole: what its kinds have to say, and which arguments none takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from bkgflow.planning.kind import Facts, PlannedKinds
from bkgflow.planning.unit import Shared, Unit
from bkgflow.settings import StepSettings

__all__ = ["plan_notes"]

OF_MEMBERS = {"imprint_subtract"}
"""Arguments that decide what is read of an association, before any kind is asked."""


def plan_notes(
    kinds: PlannedKinds,
    units: Sequence[Unit],
    shared: Iterable[Shared],
    facts: Facts,
    settings: StepSettings,
) -> Iterator[str]:
    """Yield the sentences."""
    groups: dict[str, list[Shared]] = defaultdict(list)
    for each in shared:
        groups[each.kind].append(each)
    for name, group in groups.items():
        yield from kinds.named(name).notes(group, facts, settings)
    names = dict.fromkeys(unit.kind for unit in units if unit.verdict.to_do)
    used = {argument for name in names for argument in kinds.named(name).arguments}
    fields = type(settings).model_fields.items()
    given = {
        name: value for name, field in fields if (value := getattr(settings, name)) != field.default
    }
    idle = {name: value for name, value in given.items() if name not in used | OF_MEMBERS}
    if names and idle:
        values = ", ".join(f"{name}={value}" for name, value in idle.items())
        yield f"without effect: {values}: no exposure here is of a kind that has a use for it"
