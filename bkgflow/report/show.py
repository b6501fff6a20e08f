"""What people are shown of a plan, and of how a run went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bkgflow.errors import UsageError
from bkgflow.planning.plan import Plan
from bkgflow.report.plan_table import plan_table
from bkgflow.report.run_table import run_table
from bkgflow.report.tables import print_table
from bkgflow.verdict import Verdict

__all__ = ["Ended", "show"]


class Ended(Protocol):
    """How a run went, such as `bkgflow.RunResult`."""

    @property
    def plan(self) -> Plan:
        """What was to be done."""

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """How each unit ended, in the plan's order."""

    @property
    def seconds(self) -> float:
        """Wall time."""


def show(thing: Plan | Ended) -> None:
    """Print a plan, or how a run went, as a table.

    Raises
    ------
    UsageError
        If it is neither.
    """
    if isinstance(thing, Plan):
        print_table(plan_table(thing))
    elif hasattr(thing, "verdicts"):
        print_table(run_table(thing.plan, thing.verdicts, thing.seconds))
    else:
        raise UsageError(
            "What is shown must be a plan, or the result of a run",
            value=repr(thing)[:200],
            cure="Make one with bkgflow.plan(program, output), or read one with Plan.load",
        )
