"""``bkgflow demo``: a small mixed program, simulated, run and drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bkgflow.cli.cluster_options import takes_cluster

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
    from bkgflow.cli.drawing import draw_pictures
    from bkgflow.cli.run import execute
    from bkgflow.clusters.choose import choose
    from bkgflow.io.storage.location import Location
    from bkgflow.io.storage.publish import copy_file
    from bkgflow.plot.figure import check_drawing
    from bkgflow.simulate.arguments import check
    from bkgflow.simulate.instruments import load_instrument

    check_drawing()
    check(load_instrument("NRC_IMAGE").frame, size, 0)
    cluster = choose(**where)
    program, references = out / "program", out / "references"
    typer.echo(f"Simulating a program in {program}: some ten seconds")
    written = _simulated(program, size)
    for path in (path for each in written for path in each.references):
        copy_file(path, references / path.name)
    first = {str(Location.of(each.associations[0])) for each in written}
    typer.echo("Subtracting its backgrounds; the first run on a machine compiles kernels first")
    result = execute(
        [str(path) for each in written for path in each.associations],
        out / "products",
        where={"cluster": cluster},
        references=references,
        arguments={"save_combined_background": True, "soss_fit": "integration"},
    )
    shown = [(unit, verdict) for unit, verdict in result.pairs() if unit.association in first]
    drawn = draw_pictures(shown, out / "pictures")
    typer.echo(f"Products: {Location.of(out / 'products')}")
    for picture in drawn:
        typer.echo(f"Picture: {Location.of(picture)}")
    if not result.ok:
        raise typer.Exit(1)


def _simulated(folder: Path, size: int) -> list[Simulated[Program[Exposure]]]:
    """Simulate a program of every kind, each in a folder that is called after its command."""
    from bkgflow import simulate

    arguments: dict[Callable[..., Simulated[Program[Exposure]]], dict[str, Any]] = {
        simulate.simulate_imaging: {"targets": 4, "backgrounds": 8, "size": size},
        simulate.simulate_nods: {"points": 5},
        simulate.simulate_tso: {"integrations": 10, "backgrounds": 2, "size": min(size, 256)},
        simulate.simulate_wfss: {"exposures": 2, "size": min(size, 512)},
        simulate.simulate_soss: {"integrations": 8, "segments": 2, "templates": 3, "drift": 0.05},
    }
    return [
        make(folder / make.__name__.removeprefix("simulate_"), **options)
        for make, options in arguments.items()
    ]
