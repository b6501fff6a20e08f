"""``bkgflow plan``: what a run would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bkgflow.cli.options import Program, References, Values, takes_step_arguments

__all__ = ["plan"]


@takes_step_arguments
def plan(
    program: Program,
    output: Annotated[
        Path, typer.Option(help="Folder where the products would go.", metavar="DIR")
    ] = Path("bkgflow-out"),
    references: References = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Plan for workers of a run with this --memory, such as 4GiB.", metavar="SIZE"
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Also keep the plan as JSON.", metavar="FILE")
    ] = None,
    *,
    arguments: Values,
) -> None:
    """Look at every exposure of a program and show what a run would do.

    Nothing is computed or written. Exit code 0: everything can be done; 1: some unit cannot;
    2: wrong usage, or nothing to plan.
    """
    from bkgflow import api
    from bkgflow.campaign.runner import task_memory
    from bkgflow.clusters.local import Local
    from bkgflow.verdict import State

    asked = program if len(program) > 1 else program[0]
    held = task_memory(Local(memory=memory))
    planned = api.plan(asked, output, memory=held, references=references, **arguments)
    api.show(planned)
    if save is not None:
        planned.save(save)
    if any(unit.verdict.state == State.QUARANTINED for unit in planned.units):
        raise typer.Exit(1)
