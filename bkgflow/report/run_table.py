"""How the units of a plan ended, as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from bkgflow.planning.plan import Plan
from bkgflow.record import ImageFound
from bkgflow.report.tables import make_table
from bkgflow.verdict import Verdict

__all__ = ["remarks", "run_table"]


def run_table(plan: Plan, verdicts: Sequence[Verdict], seconds: float) -> Table:
    """Return one row for each unit.

    Parameters
    ----------
    plan : Plan
        What was to be done.
    verdicts : sequence of Verdict
        How each of ``plan.units`` ended.
    seconds : float
        Wall time of the run.
    """
    counts = Counter(verdict.state.value for verdict in verdicts)
    head = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    return make_table(
        f"{len(verdicts)} units: {head or 'none'}",
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
