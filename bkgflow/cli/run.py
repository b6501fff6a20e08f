"""``bkgflow run``: a whole program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bkgflow.cli.options import Quiet, References, takes_step_arguments
from bkgflow.cli.plan import Program

if TYPE_CHECKING:
    from bkgflow.campaign.result import RunResult

__all__ = ["execute", "run"]

LOG_NAME = "bkgflow.log"
RESULT_NAME = "bkgflow-run.json"


@takes_step_arguments
def run(
    program: Program,
    output: Annotated[Path, typer.Option(help="Folder of the products.", metavar="DIR")],
    cluster: Annotated[
        str,
        typer.Option(
            help="local (worker processes here), threads (this process), or the address of a "
            "scheduler (tcp://host:port)."
        ),
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes or threads.", show_default="one per core")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="Memory limit of each local worker, such as 4GiB.", metavar="SIZE"),
    ] = None,
    references: References = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Draw every target before and after.")
    ] = False,
    quiet: Quiet = False,
    *,
    arguments: dict[str, Any],
) -> None:
    """Subtract the backgrounds of a whole program and write every product.

    A unit with a bad input is reported and the others go on. Beside the products there will
    be bkgflow.log and bkgflow-run.json, which says how every unit ended. Exit code 0: all done
    or skipped; 1: some unit failed; 2: wrong usage, or nothing to plan.
    """
    from bkgflow import api

    result = execute(
        program,
        output,
        cluster=cluster,
        workers=workers,
        memory=memory,
        quiet=quiet,
        references=references,
        arguments=arguments,
    )
    if pictures:
        for unit, ended in result.pairs():
            for path in ended.products[:1]:
                api.draw(unit.target, path, output / "pictures" / f"{Path(path).stem}.png")
    if not result.ok:
        raise typer.Exit(1)


def execute(
    program: list[str],
    output: Path,
    *,
    cluster: str,
    workers: int | None,
    memory: str | None,
    quiet: bool,
    arguments: dict[str, Any],
    references: Path | None = None,
) -> RunResult:
    """Plan and run a program with progress, log and summary."""
    from rich.console import Console

    from bkgflow import api
    from bkgflow.cli.logs import LogListener, log_file
    from bkgflow.cli.progress import ProgressBar, ProgressLines
    from bkgflow.cli.show import show

    budget = api.task_memory(memory)
    planned = api.plan(
        program if len(program) > 1 else program[0],
        output,
        memory=budget,
        references=references,
        **arguments,
    )
    console = Console(stderr=True)
    bar = ProgressBar(console) if console.is_terminal and not quiet else None
    with (
        log_file(output / LOG_NAME),
        bar or ProgressLines(console, quiet=quiet) as progress,
    ):
        result = api.run(
            planned,
            cluster,
            workers=workers,
            memory=memory,
            listeners=(LogListener(), progress),
        )
    result.save(output / RESULT_NAME)
    show(result)
    return result
