"""``bkgflow plan``: what a run would do."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.dither_options import takes_dithers
from bkgflow.cli.options import (
    BkgList,
    Confine,
    Data,
    Program,
    References,
    Values,
    takes_step_arguments,
)
from bkgflow.cli.run_options import Format, Store

__all__ = ["plan"]


@takes_step_arguments
@takes_dithers
def plan(
    program: Program,
    output: Annotated[
        str, typer.Option(help="Folder where the products would go.", metavar="DIR")
    ] = "bkgflow-out",
    references: References = None,
    data: Data = None,
    confine: Confine = None,
    bkg_list: BkgList = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory limit that each worker of the run will have, such as 4GiB: a plan "
            "that does not fit is refused.",
            metavar="SIZE",
        ),
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Also keep the plan as JSON.", metavar="FILE")
    ] = None,
    format: Format = None,
    store: Store = None,
    *,
    dithers: Values,
    arguments: Values,
) -> None:
    """Look at every exposure of a program and show what a run would do.

    Nothing is computed or written. Exit code 0: everything can be done; 1: some unit cannot;
    2: wrong usage, or nothing to plan.
    """
    from bkgflow import api
    from bkgflow.campaign.runner import check_memory, task_memory
    from bkgflow.clusters.local import Local
    from bkgflow.verdict import State

    asked = program if len(program) > 1 else program[0]
    workers = Local(memory=memory)
    held = task_memory(workers)
    planned = api.plan(
        asked,
        output,
        memory=held,
        references=references,
        data=data or (),
        confine=confine,
        bkg_list=bkg_list,
        format=format,
        store=store,
        **dithers,
        **arguments,
    )
    api.show(planned)
    if save is not None:
        planned.save(save)
    check_memory(planned, workers)
    if any(unit.verdict.state == State.QUARANTINED for unit in planned.units):
        raise typer.Exit(1)
