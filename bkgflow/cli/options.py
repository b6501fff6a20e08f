"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "BkgList",
    "Maxiters",
    "OutputDir",
    "PropagateErrors",
    "Quiet",
    "SaveCombinedBackground",
    "Sigma",
]

STEP = "Step arguments"

Sigma = Annotated[
    float,
    typer.Option(help="Clip at this many standard deviations.", rich_help_panel=STEP),
]
Maxiters = Annotated[
    int | None,
    typer.Option(
        help="Clip at most this often; without it, until nothing changes.", rich_help_panel=STEP
    ),
]
SaveCombinedBackground = Annotated[
    bool,
    typer.Option(
        "--save-combined-background",
        help="Also write each target's combined background.",
        rich_help_panel=STEP,
    ),
]
PropagateErrors = Annotated[
    bool,
    typer.Option(
        "--propagate-errors",
        help="Add the background's ERR to the target's in quadrature.",
        rich_help_panel=STEP,
    ),
]
BkgList = Annotated[
    str | None,
    typer.Option(
        help="Background exposures, separated by commas.",
        metavar="FILE[,FILE…]",
        rich_help_panel=STEP,
    ),
]
OutputDir = Annotated[
    Path, typer.Option(help="Folder of the products.", metavar="DIR", show_default="this folder")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say only what went wrong, and what was written.")
]
