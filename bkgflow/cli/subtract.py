"""``bkgflow subtract``: one target, here and now."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from bkgflow.cli.options import BkgList, OutputDir, Quiet, References, takes_step_arguments

__all__ = ["subtract"]


@takes_step_arguments
def subtract(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="An exposure, or an association of one product."),
    ],
    bkg_list: BkgList = None,
    output_dir: OutputDir = Path(),
    references: References = None,
    quiet: Quiet = False,
    *,
    arguments: dict[str, Any],
) -> None:
    """Subtract the background from one exposure and write its product.

    The product is named as the pipeline names it: exp_001_rate.fits becomes
    exp_001_bsub.fits, and exp_001_rateints.fits becomes exp_001_bsubints.fits.
    """
    from bkgflow import api
    from bkgflow.cli.terminal import log_to_terminal

    log_to_terminal(logging.ERROR if quiet else logging.INFO)
    product = api.subtract_to_file(
        target,
        bkg_list,
        output_dir,
        references=references,
        **arguments,
    )
    typer.echo(product)
