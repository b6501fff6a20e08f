"""``bkgflow run``: a whole program, planned and computed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from bkgflow.cli.cluster_options import takes_cluster
from bkgflow.cli.dither_options import takes_dithers
from bkgflow.cli.drawing import draw_pictures
from bkgflow.cli.options import (
    BkgList,
    Checksum,
    Confine,
    Data,
    Program,
    Quiet,
    References,
    Values,
    takes_campaign,
    takes_retries,
    takes_step_arguments,
    takes_watching,
)
from bkgflow.cli.run_options import CheckSpace, Format, Output, Pictures, Store

if TYPE_CHECKING:
    from bkgflow.campaign.asked import Asked
    from bkgflow.campaign.events import Listener
    from bkgflow.campaign.result import RunResult
    from bkgflow.clusters.base import Cluster
    from bkgflow.io.storage.location import PathLike
    from bkgflow.planning.plan import Plan

__all__ = ["asked_here", "carry_out", "execute", "finish", "planned_for", "run"]


@takes_step_arguments
@takes_dithers
@takes_cluster
@takes_campaign
@takes_retries
@takes_watching
def run(
    program: Program,
    output: Output,
    references: References = None,
    data: Data = None,
    confine: Confine = None,
    bkg_list: BkgList = None,
    pictures: Pictures = False,
    check_space: CheckSpace = True,
    checksum: Checksum = False,
    format: Format = None,
    store: Store = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be done, and why; compute nothing."),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say of every unit why it is done, or not.")
    ] = False,
    quiet: Quiet = False,
    *,
    where: Values,
    campaign: Values,
    retries: Values,
    watching: Values,
    dithers: Values,
    arguments: Values,
) -> None:
    """Subtract the backgrounds of a whole program and write every product.

    The same command goes on after an interruption: what is complete in the output folder, and
    still valid, is not done again; what has changed is, and it is said why.

    A unit with a bad input is reported and the others go on. Beside the products there will
    be bkgflow.log, bkgflow-events.jsonl, the same for programs, and bkgflow-run.json, which says
    how every unit ended. Exit code 0: all done or skipped; 1: some unit failed; 2: wrong usage,
    or nothing to plan.

    Ctrl-C, SIGTERM and SIGHUP end it in order, with a result, and exit code 130, 143 or 129; a
    second one ends it at once. Exit code 2, too, where the result cannot be kept there.
    """
    from bkgflow.plot.figure import check_drawing

    if pictures:
        check_drawing()
    given = {"data": data or (), "confine": confine, "bkg_list": bkg_list, "checksum": checksum}
    given |= {"format": format, "store": store} | dithers
    if dry_run:
        _show_choices(program, output, where, references, given | arguments, campaign, verbose)
        return
    result = execute(
        program,
        output,
        where=where,
        references=references,
        arguments=given | arguments,
        campaign=campaign,
        quiet=quiet,
        verbose=verbose,
        check_space=check_space,
        watching=watching,
        retries=retries,
    )
    finish(result, pictures=pictures, quiet=quiet)


def finish(result: RunResult, *, pictures: bool, quiet: bool) -> None:
    """Draw what is to be drawn of a result, and end with its exit code."""
    if pictures:
        draw_pictures(result.pairs(), result.plan.output / "pictures", quiet=quiet)
    if not result.in_place or result.unkept:
        raise typer.Exit(2)
    if not result.ok:
        raise typer.Exit(1)


def execute(
    program: list[str],
    output: PathLike,
    *,
    where: Values,
    references: PathLike | None,
    arguments: Values,
    campaign: Values | None = None,
    quiet: bool = False,
    verbose: bool = False,
    check_space: bool = True,
    watching: Values | None = None,
    retries: Values | None = None,
) -> RunResult:
    """Plan and run a program with progress and summary."""
    from bkgflow.campaign.watchers import check_watchers

    watching, campaign = watching or {}, campaign or {}
    check_watchers(**watching)  # planning may take minutes
    planned, cluster = planned_for(program, output, where, references, arguments, campaign)
    if verbose:
        _say_choices(planned, campaign, verbose=True)
    if cluster.here:
        from bkgflow.campaign.progress import waiting
        from bkgflow.campaign.single import compile_for

        # Before the bar is shown: it may take a minute.
        with waiting(quiet=quiet) as say:
            compile_for(planned, say)
    asked = asked_here(cluster).to_dict()
    options = {"check_space": check_space, "asked": asked}
    options |= campaign | watching | (retries or {})
    return carry_out(planned, cluster, options, quiet=quiet)


def planned_for(
    program: list[str],
    output: PathLike,
    where: Values,
    references: PathLike | None,
    arguments: Values,
    campaign: Values,
) -> tuple[Plan, Cluster]:
    """Plan a program for the cluster that is meant; see that what is asked for is in it."""
    from bkgflow import api
    from bkgflow.campaign.resume import Resume
    from bkgflow.campaign.runner import task_memory
    from bkgflow.clusters.choose import choose

    cluster = choose(**where)
    asked = program if len(program) > 1 else program[0]
    memory = task_memory(cluster)
    planned = api.plan(asked, output, memory=memory, references=references, **arguments)
    Resume(only=tuple(campaign.get("only") or ())).check_fits(planned.units)
    return planned, cluster


def asked_here(cluster: Cluster, word: str = "run") -> Asked:
    """Return what was asked for: the command that was typed, as one of ``bkgflow run``."""
    from bkgflow.campaign.asked import Asked, without_passwords
    from bkgflow.clusters.handover import described
    from bkgflow.io.storage.handed import working_folder

    typed = sys.argv[1:]
    if not typed or typed[0] != word:  # it was called in another way than by a shell
        return Asked()
    words = ("run", *without_passwords(typed[1:]))
    return Asked(words, str(working_folder()), cluster=described(cluster))


def carry_out(
    planned: Plan,
    cluster: Cluster,
    options: Values,
    *,
    quiet: bool,
    listeners: Sequence[Listener] = (),
) -> RunResult:
    """Run a plan with progress and summary; ``options`` are those of `bkgflow.run`."""
    from bkgflow import api
    from bkgflow.campaign.progress import progress_of
    from bkgflow.campaign.signals import Stopped

    try:
        with progress_of(planned, quiet=quiet) as progress:
            result = api.run(
                planned, cluster, listeners=[*listeners, progress], progress=False, **options
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


def _show_choices(
    program: list[str],
    output: PathLike,
    where: Values,
    references: PathLike | None,
    arguments: Values,
    campaign: Values,
    verbose: bool,
) -> None:
    """Plan a program, and say what a run would do of it."""
    planned, _ = planned_for(program, output, where, references, arguments, campaign)
    _say_choices(planned, campaign, verbose=verbose)


def _say_choices(planned: Plan, campaign: Values, *, verbose: bool) -> None:
    from bkgflow import api

    choices = api.choices(planned, **campaign)
    if verbose:
        for each in choices.units:
            typer.echo(f"{'do' if each.do else 'leave'} {each.unit.name}: {each.why}")
    typer.echo(choices.summary())


def _say_briefly(result: RunResult) -> None:
    """Say what went wrong on standard error, once each, and the summary on standard output."""
    from bkgflow.report.tables import PLAIN_WIDTH
    from bkgflow.report.unit_tables import summary, what_went_wrong
    from bkgflow.texts import columns_of

    for text in what_went_wrong(result.failed, columns_of(sys.stderr) or PLAIN_WIDTH):
        typer.echo(text, err=True)
    for line in summary(result.plan, result.verdicts, result.seconds, len(result.kept)):
        typer.echo(line)
