"""``bkgflow simulate``: synthetic programs with known truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from bkgflow.simulate import Simulated, SimulatedSlitless

__all__ = ["simulate"]

simulate = typer.Typer(
    name="simulate",
    help="Write a synthetic program: exposures, associations, and the truth.",
    no_args_is_help=True,
)

Out = Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")]
Size = Annotated[
    int | None,
    typer.Option(help="Side of the detector window in pixels.", show_default="the whole subarray"),
]
Seed = Annotated[int, typer.Option(help="Of the random numbers; same seed, same program.")]


@simulate.command()
def imaging(
    out: Out,
    targets: Annotated[int, typer.Option(help="Target exposures.")] = 4,
    backgrounds: Annotated[int, typer.Option(help="Background exposures they share.")] = 4,
    size: Size = None,
    seed: Seed = 1,
    instrument: Annotated[str, typer.Option(help="NIRCam or MIRI.")] = "NIRCam",
    subarrays: Annotated[
        bool, typer.Option("--subarrays", help="Mix subarrays and full frames.")
    ] = False,
) -> None:
    """Targets that share dedicated background exposures (rate images)."""
    from bkgflow.simulate import simulate_imaging

    _write(
        lambda note: simulate_imaging(
            out,
            targets=targets,
            backgrounds=backgrounds,
            size=size,
            seed=seed,
            instrument=instrument.upper(),
            subarrays=subarrays,
            on_exposure=note,
        )
    )


@simulate.command()
def nods(
    out: Out,
    points: Annotated[int, typer.Option(help="Nod positions.")] = 5,
    size: Size = None,
    seed: Seed = 1,
) -> None:
    """A NIRSpec nod pattern: each exposure is the background of the others."""
    from bkgflow.simulate import simulate_nods

    _write(lambda note: simulate_nods(out, points=points, size=size, seed=seed, on_exposure=note))


@simulate.command()
def tso(
    out: Out,
    integrations: Annotated[int, typer.Option(help="Integrations of the target.")] = 10,
    backgrounds: Annotated[int, typer.Option(help="Background exposures.")] = 2,
    size: Size = None,
    seed: Seed = 1,
) -> None:
    """A time series with a transit (rateints cubes)."""
    from bkgflow.simulate import simulate_tso

    _write(
        lambda note: simulate_tso(
            out,
            integrations=integrations,
            backgrounds=backgrounds,
            size=size,
            seed=seed,
            on_exposure=note,
        )
    )


@simulate.command()
def soss(
    out: Out,
    integrations: Annotated[int, typer.Option(help="Integrations of the exposure.")] = 12,
    segments: Annotated[int, typer.Option(help="Files that the exposure is cut into.")] = 4,
    subarray: Annotated[str, typer.Option(help="SUBSTRIP256 or SUBSTRIP96.")] = "SUBSTRIP256",
    templates: Annotated[int, typer.Option(help="Templates of the sky library.")] = 5,
    depth: Annotated[float, typer.Option(help="Of the transit.")] = 0.02,
    drift: Annotated[float, typer.Option(help="Change of the sky over the exposure.")] = 0.0,
    stripes: Annotated[float, typer.Option(help="Column noise, DN/s.")] = 0.05,
    seed: Seed = 1,
) -> None:
    """A NIRISS SOSS time series in segments, and a library of sky templates."""
    from bkgflow.simulate import simulate_soss

    _write(
        lambda note: simulate_soss(
            out,
            integrations=integrations,
            segments=segments,
            subarray=cast("Any", subarray.upper()),
            templates=templates,
            depth=depth,
            drift=drift,
            stripes=stripes,
            seed=seed,
            on_exposure=note,
        )
    )


@simulate.command()
def wfss(
    out: Out,
    instrument: Annotated[str, typer.Option(help="NIRISS, NIRCam or MIRI.")] = "NIRISS",
    grism: Annotated[
        str | None, typer.Option(help="GR150C, GR150R; GRISMR, GRISMC.", show_default="the first")
    ] = None,
    module: Annotated[str | None, typer.Option(help="Of NIRCam: A or B.", show_default="A")] = None,
    band: Annotated[
        str | None, typer.Option(help="Blocking filter.", show_default="the first")
    ] = None,
    exposures: Annotated[int, typer.Option(help="Dithered exposures.")] = 2,
    components: Annotated[int, typer.Option(help="Components of the sky.")] = 1,
    crowding: Annotated[float, typer.Option(help="Share of pixels that boxes cover.")] = 0.15,
    size: Size = None,
    seed: Seed = 1,
) -> None:
    """Slitless exposures with their catalogue and references (wavelengthrange, sky)."""
    from bkgflow.simulate import simulate_wfss

    _write(
        lambda note: simulate_wfss(
            out,
            instrument=instrument.upper(),
            grism=grism,
            module=module,
            band=band,
            exposures=exposures,
            components=components,
            crowding=crowding,
            size=size,
            seed=seed,
            on_exposure=note,
        )
    )


def _write(make: Callable[[Callable[[Path], None]], Simulated | SimulatedSlitless]) -> None:
    written = make(typer.echo)
    typer.echo(
        f"{len(written.exposures)} exposures and {len(written.associations)} associations "
        f"in {written.folder}"
    )
