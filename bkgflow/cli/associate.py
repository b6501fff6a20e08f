"""``bkgflow associate``: associations of exposures that are each other's background."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from bkgflow.cli.dither_options import dither_options
from bkgflow.cli.given import takes
from bkgflow.cli.options import Confine, Data, Members, Values
from bkgflow.errors import UsageError

__all__ = ["associate"]


def _takes_choice(command: Callable[..., None]) -> Callable[..., None]:
    return takes(command, "dithers", dither_options())


@_takes_choice
def associate(
    program: Members,
    output: Annotated[str, typer.Option(help="Folder of the associations.", metavar="DIR")],
    from_dithers: Annotated[
        bool,
        typer.Option(
            "--from-dithers",
            help="All exposures that were taken alike are each other's background.",
        ),
    ] = False,
    data: Data = None,
    confine: Confine = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Write over files of these names that hold another."),
    ] = False,
    *,
    dithers: Values,
) -> None:
    """Write associations that name the background of every exposure of a program.

    One for each group of exposures that were taken alike, with a product for each exposure. The
    pipeline reads them, and so do "bkgflow plan" and "bkgflow run", which have the same
    backgrounds without them by --backgrounds dithers. Nothing is written over unless it is asked
    for. Exit code 0: written; 2: wrong usage, or nothing to associate.
    """
    from bkgflow import api

    if not from_dithers:
        raise UsageError(
            "associate must be told where the backgrounds come from",
            value="nothing",
            cure="Give --from-dithers",
        )
    asked = program if len(program) > 1 else program[0]
    typer.echo(
        str(
            api.associate(
                asked, output, data=data or (), confine=confine, overwrite=overwrite, **dithers
            )
        )
    )
