"""``bkgflow run``: a whole program, planned and computed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bkgflow.cli.options import (
    BkgList,
    Confine,
    Data,
    FailFast,
    MaxRetries,
    Program,
    Quiet,
    References,
    Timeout,
    Values,
    takes_cluster,
    takes_step_arguments,
)

if TYPE_CHECKING:
    from bkgflow.campaign.result import RunResult

__all__ = ["execute", "run"]


@takes_step_arguments
@takes_cluster
def run(
    program: Program,
    output: Annotated[Path, typer.Option(help="Folder of the products.", metavar="DIR")],
    references: References = None,
    data: Data = None,
    confine: Confine = None,
    bkg_list: BkgList = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw every target before and after.")
    ] = False,
    check_space: Annotated[
        bool,
        typer.Option(
            "--check-space/--no-check-space",
            help="Begin only if the disk has room for all products.",
        ),
    ] = True,
    max_retries: MaxRetries = 3,
    timeout: Timeout = None,
    fail_fast: FailFast = False,
    quiet: Quiet = False,
    *,
    where: Values,
    arguments: Values,
) -> None:
    """Subtract the backgrounds of a whole program and write every product.

    A unit with a bad input is reported and the others go on. Beside the products there will
    be bkgflow.log and bkgflow-run.json, which says how every unit ended. Exit code 0: all done
    or skipped; 1: some unit failed; 2: wrong usage, or nothing to plan.

    Ctrl-C, SIGTERM and SIGHUP end it in order, with a result, and exit code 130, 143 or 129; a
    second one ends it at once. Exit code 2, too, where the result cannot be kept there.
    """
    from bkgflow import api
    from bkgflow.report.pictures import check_drawing

    if pictures:
        check_drawing()
    given = {"data": data or (), "confine": confine, "bkg_list": bkg_list}
    result = execute(
        program,
        output,
        where=where,
        references=references,
        arguments=given | arguments,
        quiet=quiet,
        check_space=check_space,
        retries={"max_retries": max_retries, "timeout": timeout, "fail_fast": fail_fast},
    )
    if pictures:
        for unit, verdict in result.pairs():
            for path in verdict.products[:1]:
                api.draw(unit.target, path, output / "pictures" / f"{Path(path).stem}.png")
    if not result.in_place:
        raise typer.Exit(2)
    if not result.ok:
        raise typer.Exit(1)


def execute(
    program: list[str],
    output: Path,
    *,
    where: Values,
    references: Path | None,
    arguments: Values,
    quiet: bool = False,
    check_space: bool = True,
    retries: Values | None = None,
) -> RunResult:
    """Plan and run a program with progress and summary.

    ``retries`` says what is done about units that fail, as `bkgflow.run` takes it.
    """
    from bkgflow import api
    from bkgflow.campaign.progress import progress_of, waiting
    from bkgflow.campaign.runner import compile_for, task_memory
    from bkgflow.campaign.signals import Stopped
    from bkgflow.clusters.choose import choose

    cluster = choose(**where)
    asked = program if len(program) > 1 else program[0]
    memory = task_memory(cluster)
    planned = api.plan(asked, output, memory=memory, references=references, **arguments)
    if cluster.here:
        # Before the bar is shown: it may take a minute.
        with waiting(quiet=quiet) as say:
            compile_for(planned, say)
    try:
        with progress_of(planned, quiet=quiet) as progress:
            result = api.run(
                planned,
                cluster,
                listeners=[progress],
                progress=False,
                check_space=check_space,
                **(retries or {}),
            )
    except Stopped as stop:
        if stop.result is not None:
            typer.echo(f"bkgflow: {stop.result.summary}", err=True)
        raise
    if quiet:
        _say_briefly(result)
    else:
        api.show(result)
    for note in (*result.notes, *([f"ended early: {result.stopped}"] if result.stopped else [])):
        typer.echo(f"bkgflow: {note}", err=True)
    return result


def _say_briefly(result: RunResult) -> None:
    """Say what went wrong on standard error, once each, and the summary on standard output."""
    from bkgflow.report.tables import PLAIN_WIDTH
    from bkgflow.report.unit_tables import summary, what_went_wrong
    from bkgflow.texts import columns_of

    for text in what_went_wrong(result.failed, columns_of(sys.stderr) or PLAIN_WIDTH):
        typer.echo(text, err=True)
    for line in summary(result.plan, result.verdicts, result.seconds):
        typer.echo(line)
