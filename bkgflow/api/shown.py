"""What people look at: plans and results as tables, products as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bkgflow.campaign.result import RunResult
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.planning.plan import Plan
from bkgflow.programs.passed_over import summed_up
from bkgflow.report.tables import print_table, width_here
from bkgflow.report.unit_tables import plan_table, run_table

if TYPE_CHECKING:
    pass

__all__ = ["MAKE_A_PLAN", "draw", "show"]

MAKE_A_PLAN = "Make one with bkgflow.plan(program, output), or read one with Plan.load"
"""What to do without a plan."""


def show(thing: Plan | RunResult) -> None:
    """Print a plan, or how a run went, as a table.

    Raises
    ------
    UsageError
        If it is neither.
    """
    match thing:
        case Plan():
            print_table(plan_table(thing, width_here()), summed_up(thing.passed_over))
        case RunResult():
            table = run_table(
                thing.plan, thing.verdicts, thing.seconds, width_here(), len(thing.kept)
            )
            print_table(table, summed_up(thing.plan.passed_over))
        case _:
            raise UsageError(
                "What is shown must be a plan, or the result of a run",
                value=repr(thing)[:200],
                cure=MAKE_A_PLAN,
            )


def draw(target: PathLike, product: PathLike, picture: PathLike) -> Path | Location:
    """Draw a target before, what was subtracted from it, and its product, as PNG.

    Of a cube, the mean over the integrations is drawn; of a slitless exposure, its mask as well;
    of a SOSS exposure, where its sky was fitted, and the scales over time: those of all its
    segments whose products lie in one folder.

    Parameters
    ----------
    target, product : path
        The exposure and what became of it.
    picture : path
        Of the PNG.

    Raises
    ------
    InputError
        If a file is bad.
    UsageError
        If matplotlib is not installed.
    OutputError
        If the picture cannot be written.
    """
    from bkgflow.report.drawing import draw_product

    return draw_product(target, product, picture)
