"""``bkgflow subtract``: one target, here and now."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from bkgflow.cli.options import (
    BkgList,
    Confine,
    Data,
    Imprints,
    Quiet,
    References,
    Values,
    takes_step_arguments,
)
from bkgflow.cli.run_options import Format

if TYPE_CHECKING:
    from bkgflow.verdict import Verdict

__all__ = ["subtract"]


@takes_step_arguments
def subtract(
    target: Annotated[
        str,
        typer.Argument(metavar="TARGET", help="An exposure, or an association of one product."),
    ],
    bkg_list: BkgList = None,
    imprints: Imprints = None,
    output_dir: Annotated[
        str,
        typer.Option(help="Folder of the products.", metavar="DIR", show_default="this folder"),
    ] = ".",
    references: References = None,
    data: Data = None,
    confine: Confine = None,
    format: Format = None,
    quiet: Quiet = False,
    *,
    arguments: Values,
) -> None:
    """Subtract the background from one exposure and write its product.

    The product is named as the pipeline names it: exp_001_rate.fits becomes
    exp_001_bsub.fits, and exp_001_rateints.fits becomes exp_001_bsubints.fits. The exit code
    is 1 where there was nothing that could be subtracted (FAILED); the product says so.
    """
    from bkgflow import api

    verdicts: list[Verdict] = []
    handler = logging.StreamHandler()  # to standard error
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    log = logging.getLogger("bkgflow")
    log.addHandler(handler)
    before = log.level
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    try:
        typer.echo(
            api.subtract_to_file(
                target,
                bkg_list,
                output_dir,
                references=references,
                imprints=imprints,
                data=data or (),
                confine=confine,
                format=format or "fits",
                told=verdicts.append,
                **arguments,
            )
        )
    finally:  # a process may call several commands
        log.removeHandler(handler)
        log.setLevel(before)
    if not all(verdict.state.good for verdict in verdicts):
        raise typer.Exit(1)
