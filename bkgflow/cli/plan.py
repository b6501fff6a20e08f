"""``bkgflow plan``: what a run would do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bkgflow.cli.options import Maxiters, PropagateErrors, SaveCombinedBackground, Sigma

__all__ = ["Program", "plan"]

Program = Annotated[
    list[str],
    typer.Argument(
        metavar="PROGRAM", help="Folders of *_asn.json, or associations: one or several."
    ),
]


def plan(
    program: Program,
    output: Annotated[
        Path, typer.Option(help="Folder where the products would go.", metavar="DIR")
    ] = Path("bkgflow-out"),
    sigma: Sigma = 3.0,
    maxiters: Maxiters = None,
    save_combined_background: SaveCombinedBackground = False,
    propagate_errors: PropagateErrors = False,
    save: Annotated[
        Path | None, typer.Option(help="Also keep the plan as JSON.", metavar="FILE")
    ] = None,
) -> None:
    """Look at every exposure of a program and show what a run would do.

    Nothing is computed or written. Exit code 0: everything can be done; 1: some unit cannot;
    2: wrong usage, or nothing to plan.
    """
    from bkgflow import api
    from bkgflow.cli.show import show
    from bkgflow.outcome import Outcome

    planned = api.plan(
        program if len(program) > 1 else program[0],
        output,
        sigma=sigma,
        maxiters=maxiters,
        save_combined_background=save_combined_background,
        propagate_errors=propagate_errors,
    )
    show(planned)
    if save is not None:
        planned.save(save)
    if any(unit.outcome == Outcome.QUARANTINED for unit in planned.units):
        raise typer.Exit(1)
