"""``bkgflow run``: a whole program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bkgflow.cli.options import Program, Quiet, References, takes_cluster, takes_step_arguments

if TYPE_CHECKING:
    from bkgflow.campaign.result import RunResult

__all__ = ["execute", "run"]


@takes_step_arguments
@takes_cluster
def run(
    program: Program,
    output: Annotated[Path, typer.Option(help="Folder of the products.", metavar="DIR")],
    references: References = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw every target before and after.")
    ] = False,
    quiet: Quiet = False,
    *,
    where: dict[str, Any],
    arguments: dict[str, Any],
) -> None:
    """Subtract the backgrounds of a whole program and write every product.

    A unit with a bad input is reported and the others go on. Beside the products there will
    be bkgflow.log and bkgflow-run.json, which says how every unit ended. Exit code 0: all done
    or skipped; 1: some unit failed; 2: wrong usage, or nothing to plan.
    """
    from bkgflow import api

    result = execute(
        program, output, where=where, references=references, arguments=arguments, quiet=quiet
    )
    if pictures:
        for unit, verdict in result.pairs():
            for path in verdict.products[:1]:
                api.draw(unit.target, path, output / "pictures" / f"{Path(path).stem}.png")
    if not result.ok:
        raise typer.Exit(1)


def execute(
    program: list[str],
    output: Path,
    *,
    where: dict[str, Any],
    references: Path | None,
    arguments: dict[str, Any],
    quiet: bool = False,
) -> RunResult:
    """Plan and run a program with progress and summary."""
    from bkgflow import api
    from bkgflow.campaign.compiling import compile_for
    from bkgflow.cli.progress import progress_of
    from bkgflow.cli.terminal import say
    from bkgflow.clusters.base import task_memory
    from bkgflow.clusters.choose import choose

    cluster = choose(**where)
    planned = api.plan(
        program if len(program) > 1 else program[0],
        output,
        memory=task_memory(cluster),
        references=references,
        **arguments,
    )
    if cluster.here and not quiet:
        compile_for(planned, say)  # before the bar is shown: it may take a minute
    with progress_of(planned, quiet=quiet) as progress:
        result = api.run(planned, cluster, listeners=[progress])
    api.show(result)
    return result
