"""``bkgflow demo``: a small mixed program, simulated, run and drawn."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bkgflow.cli.options import takes_cluster

if TYPE_CHECKING:
    from bkgflow.simulate import Simulated

__all__ = ["demo"]


@takes_cluster
def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")] = Path("demo"),
    size: Annotated[int, typer.Option(help="Side of the simulated images in pixels.")] = 1024,
    *,
    where: dict[str, Any],
) -> None:
    """Simulate a small mixed program, run it, and draw what it did."""
    from bkgflow import api
    from bkgflow.cli.run import execute
    from bkgflow.simulate import (
        simulate_imaging,
        simulate_nods,
        simulate_soss,
        simulate_tso,
        simulate_wfss,
    )

    program, products, pictures = out / "program", out / "products", out / "pictures"
    typer.echo(f"Simulating a program in {program}")
    soss = simulate_soss(program / "soss", integrations=8, segments=2, templates=3, drift=0.05)
    slitless = simulate_wfss(program / "wfss", exposures=2, size=min(size, 512))
    written: list[Simulated[Any]] = [
        simulate_imaging(program / "imaging", targets=4, backgrounds=8, size=size),
        simulate_nods(program / "nods", points=5),
        simulate_tso(program / "tso", integrations=10, backgrounds=2, size=min(size, 256)),
        slitless,
        soss,
    ]
    references = out / "references"
    references.mkdir(exist_ok=True)
    for path in (*soss.references, *slitless.references):
        shutil.copy(path, references)
    first = {str(each.associations[0].absolute()) for each in written}
    associations = [str(path) for each in written for path in each.associations]
    result = execute(
        associations,
        products,
        where=where,
        references=references,
        arguments={"save_combined_background": True, "soss_fit": "integration"},
    )
    drawn = [
        api.draw(unit.target, path, pictures / f"{Path(path).stem}.png")
        for unit, verdict in result.pairs()
        for path in verdict.products[:1]
        if unit.association in first
    ]
    typer.echo(f"Products: {products.absolute()}")
    for path in drawn:
        typer.echo(f"Picture: {path.absolute()}")
    if not result.ok:
        raise typer.Exit(1)
