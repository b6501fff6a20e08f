"""The units of a plan as a table: what will be done, and how they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from bkgflow.kinds.table import KINDS
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Unit
from bkgflow.record import ImageFound
from bkgflow.report.tables import counted, human_bytes, make_table
from bkgflow.verdict import Verdict

__all__ = ["plan_table", "remarks", "run_table"]


def plan_table(plan: Plan) -> Table:
    """Return one row for each shared result and each unit, and what they cost."""
    verdicts = [unit.verdict for unit in plan.units]
    counts = Counter("to do" if each.to_do else each.state.value for each in verdicts)
    names, costs = _names(plan), plan.costs
    return make_table(
        f"Plan: {len(plan.units)} units ({counted(counts)}) into {plan.output}",
        ("Target or background", "Product", "What is done"),
        [
            *_shared_rows(plan, names),
            *((unit.name, unit.output, _what(unit, names)) for unit in plan.units),
        ],
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


def _shared_rows(plan: Plan, names: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    sharing = plan.sharing()
    for shared in plan.shared:
        targets = sharing[shared.digest]
        skies = "".join(f"{sky.name} to " for sky in shared.references)
        yield (
            names[shared.digest],
            "(shared)" if targets > 1 else "",
            f"{KINDS.named(shared.kind).verb} {skies}{len(shared.members)} exposures "
            f"over {shared.window}, once, for {targets} target(s)",
        )


def _what(unit: Unit, names: Mapping[str, str]) -> str:
    if not unit.verdict.to_do:
        return f"{unit.verdict.state}: {unit.verdict.reason}"
    if unit.shared:
        return f"subtract {names[unit.shared]}"
    skies = unit.references.background if unit.references else ()
    return f"scale and subtract {', '.join(sky.name for sky in skies)}"


def run_table(plan: Plan, verdicts: Sequence[Verdict], seconds: float) -> Table:
    """Return one row for each unit: how it ended, by its verdict, in a run of so many seconds."""
    return make_table(
        f"{len(verdicts)} units: {counted(Counter(each.state.value for each in verdicts))}",
        ("Target", "State", "Product", "Word"),
        [
            (unit.name, verdict.state, unit.output, verdict.reason or "; ".join(remarks(verdict)))
            for unit, verdict in zip(plan.units, verdicts, strict=True)
        ],
        caption=f"{seconds:.1f} s, products in {plan.output}",
    )


def remarks(verdict: Verdict) -> list[str]:
    """Return what a user should know about a product, a sentence each."""
    found = verdict.record.found if verdict.record else None
    if not isinstance(found, ImageFound):
        return []
    words = []
    if found.unsubtracted_pixels:
        words.append(f"{found.unsubtracted_pixels} pixels have no valid background")
    if found.unused_backgrounds:
        words.append(f"no valid pixel in {', '.join(found.unused_backgrounds)}")
    return words
