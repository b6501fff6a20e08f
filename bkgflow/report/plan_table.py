"""A plan as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.table import Table

from bkgflow.kinds.table import KINDS
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.report.tables import human_bytes, make_table

__all__ = ["plan_table"]

Row = tuple[str, str, str]


def plan_table(plan: Plan) -> Table:
    """Return one row for each shared result and each unit, and what they cost."""
    counts = Counter(
        "to do" if unit.verdict.to_do else unit.verdict.state.value for unit in plan.units
    )
    head = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    costs = plan.costs
    return make_table(
        f"Plan: {len(plan.units)} units ({head}) into {plan.output}",
        ("Target or background", "Product", "What is done"),
        [*_shared_rows(plan), *_unit_rows(plan)],
        caption=f"reads {human_bytes(costs.read)}, writes {human_bytes(costs.written)}; "
        f"a shared task holds up to {human_bytes(costs.shared_task)}, "
        f"a unit's task {human_bytes(costs.unit_task)}",
    )


def _names(plan: Plan) -> dict[str, str]:
    """Return what the table calls each shared result: its kind's noun, numbered."""
    numbers: Counter[str] = Counter()
    names = {}
    for shared in plan.shared:
        noun = KINDS.named(shared.kind).noun
        numbers[noun] += 1
        names[shared.digest] = f"{noun} {numbers[noun]}"
    return names


def _shared_rows(plan: Plan) -> Iterator[Row]:
    sharing, names = plan.sharing(), _names(plan)
    for shared in plan.shared:
        targets = sharing[shared.digest]
        skies = "".join(f"{sky.name} to " for sky in shared.references)
        yield (
            names[shared.digest],
            "(shared)" if targets > 1 else "",
            f"{KINDS.named(shared.kind).verb} {skies}{len(shared.members)} exposures "
            f"over {shared.window}, once, for {targets} target(s)",
        )


def _unit_rows(plan: Plan) -> Iterator[Row]:
    names = _names(plan)
    for unit in plan.units:
        yield unit.name, unit.output, _what(unit, names)


def _what(unit: Unit, names: dict[str, str]) -> str:
    if not unit.verdict.to_do:
        return f"{unit.verdict.state}: {unit.verdict.reason}"
    if unit.shared:
        return f"subtract {names[unit.shared]}"
    skies = unit.references.background if unit.references else ()
    return f"scale and subtract {', '.join(sky.name for sky in skies)}"
