"""A plan as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.table import Table

from bkgflow.kinds.table import KINDS, Kinds
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.report.tables import human_bytes, make_table

__all__ = ["plan_table"]

Row = tuple[str, str, str]


def plan_table(plan: Plan, kinds: Kinds = KINDS) -> Table:
    """Return one row for each shared result and each unit, and what they cost."""
    counts = Counter(
        "to do" if unit.verdict.to_do else unit.verdict.state.value for unit in plan.units
    )
    head = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    costs = plan.costs
    names = _names_of_shared(plan, kinds)
    return make_table(
        f"Plan: {len(plan.units)} units ({head}) into {plan.output}",
        ("Target or background", "Product", "What is done"),
        [*_shared_rows(plan, kinds, names), *_unit_rows(plan, names)],
        caption=f"reads {human_bytes(costs.read)}, writes {human_bytes(costs.written)}; "
        f"a task of a shared result holds up to {human_bytes(costs.shared_task)}, "
        f"the last task of a unit {human_bytes(costs.unit_task)}",
    )


def _names_of_shared(plan: Plan, kinds: Kinds) -> dict[str, str]:
    """Number the shared results of each kind, by their digests: background 1, fit 1, fit 2."""
    numbers: Counter[str] = Counter()
    names = {}
    for shared in plan.shared:
        noun = kinds.named(shared.kind).noun
        numbers[noun] += 1
        names[shared.digest] = f"{noun} {numbers[noun]}"
    return names


def _shared_rows(plan: Plan, kinds: Kinds, names: dict[str, str]) -> Iterator[Row]:
    sharing = plan.sharing()
    for shared in plan.shared:
        targets = sharing[shared.digest]
        files = ", ".join(location.name for location in shared.references)
        yield (
            names[shared.digest],
            "(shared)" if targets > 1 else "",
            f"{kinds.named(shared.kind).verb} {len(shared.members)} exposures "
            f"over {shared.window}{f' with {files}' if files else ''}, "
            f"once, for {targets} target(s)",
        )


def _unit_rows(plan: Plan, names: dict[str, str]) -> Iterator[Row]:
    for unit in plan.units:
        yield unit.name, unit.output, _what(unit, names)


def _what(unit: Unit, names: dict[str, str]) -> str:
    if not unit.verdict.to_do:
        return f"{unit.verdict.state}: {unit.verdict.reason}"
    if unit.shared:
        return f"subtract {names[unit.shared]}"
    skies = unit.references.background if unit.references else ()
    return f"scale and subtract {', '.join(location.name for location in skies)}"
