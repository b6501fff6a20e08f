"""A plan as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from bkgflow.planning.plan import Plan, Unit
from bkgflow.report.tables import human_bytes, make_table

__all__ = ["plan_table"]

Row = tuple[str, str, str]


def plan_table(plan: Plan) -> Table:
    """Return one row for each shared result and each unit, and what they cost."""
    counts = Counter(
        "to do" if unit.verdict.planned else unit.verdict.state.value for unit in plan.units
    )
    head = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    costs = plan.costs
    return make_table(
        f"Plan: {len(plan.units)} units ({head}) into {plan.output}",
        ("Target or background", "Product", "What is done"),
        [*_background_rows(plan), *_fit_rows(plan), *_unit_rows(plan)],
        caption=f"reads {human_bytes(costs.read)}, writes {human_bytes(costs.written)}; "
        f"a combine task holds up to {human_bytes(costs.combine_task)}, "
        f"a subtract task {human_bytes(costs.subtract_task)}",
    )


def _background_rows(plan: Plan) -> Iterator[Row]:
    sharing = plan.sharing()
    for number, background in enumerate(plan.combined, start=1):
        targets = sharing[background.key]
        yield (
            f"background {number}",
            "(shared)" if targets > 1 else "",
            f"combine {len(background.members)} exposures over {background.window}, "
            f"once, for {targets} target(s)",
        )


def _fit_rows(plan: Plan) -> Iterator[Row]:
    for number, fit in enumerate(plan.fits, start=1):
        yield (
            f"fit {number}",
            "(shared)" if len(fit.members) > 1 else "",
            f"fit {Path(fit.background).name} to {len(fit.members)} segment(s), once",
        )


def _unit_rows(plan: Plan) -> Iterator[Row]:
    shared = {b.key: f"background {n}" for n, b in enumerate(plan.combined, start=1)}
    shared |= {fit.key: f"fit {n}" for n, fit in enumerate(plan.fits, start=1)}
    for unit in plan.units:
        yield unit.name, unit.output, _what(unit, shared)


def _what(unit: Unit, shared: dict[str, str]) -> str:
    if not unit.verdict.planned:
        return f"{unit.verdict.state}: {unit.verdict.reason}"
    waits_for = unit.combined or unit.fit
    if waits_for:
        return f"subtract {shared[waits_for]}"
    skies = unit.inputs.background if unit.inputs else ()
    return f"scale and subtract {', '.join(Path(name).name for name in skies)}"
