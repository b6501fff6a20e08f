"""``bkgflow demo``: a small mixed program, simulated, run and drawn."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bkgflow.cli.options import takes_cluster

if TYPE_CHECKING:
    from bkgflow.simulate import Simulated
    from bkgflow.simulate.truth import Exposure, Program

__all__ = ["demo"]


@takes_cluster
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")] = Path("demo"),
    size: Annotated[int, typer.Option(help="Side of the simulated images in pixels.")] = 1024,
    *,
    where: dict[str, object],
) -> None:
    """Simulate a small mixed program, run it, and draw what it did."""
    from bkgflow import api
    from bkgflow.cli.run import execute

    typer.echo(f"Simulating a program in {out / 'program'}")
    written = _simulate(out / "program", size)
    first = {Location.of(each.associations[0]).real() for each in written}
    result = execute(
        [str(path) for each in written for path in each.associations],
        out / "products",
        where=where,
        references=_gathered(written, out / "references"),
        arguments={"save_combined_background": True, "soss_fit": "integration"},
    )
    ...
