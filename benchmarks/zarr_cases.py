"""The cases of products in zarr, beside the same products as FITS files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks import zarr_sides
from benchmarks.case import Bar, Case, Samples
from benchmarks.contender import Contender
from benchmarks.inputs import Inputs
from benchmarks.pairs import Spread, ratios

__all__ = ["ZARR"]

CUT_OUTS, PRODUCTS = 50, 1000

SMALL = 256
"""Side of the products that are opened by the thousand."""


def writes(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """One full frame as a product of either format."""
    [target] = inputs.image(1)
    return {
        name: partial(zarr_sides.write_product, target, scratch / name, form)
        for name, form in SIDES.items()
    }


def cuts(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """A full frame opened and cut, in either format."""
    [target] = inputs.image(1)
    return {
        name: partial(zarr_sides.cut_outs, target, scratch / name, form, CUT_OUTS)
        for name, form in SIDES.items()
    }


def opens(inputs: Inputs, scratch: Path) -> dict[str, Contender]:
    """Small products opened, in either format."""
    [target] = Inputs(inputs.folder, inputs.note, SMALL).image(1)
    return {
        name: partial(zarr_sides.open_products, target, scratch / name, form, PRODUCTS)
        for name, form in SIDES.items()
    }


SIDES = {"ours": "zarr", "FITS": "fits"}


def _size(samples: Samples) -> float:
    sizes = {
        name: Spread.of([sample.numbers["size"] for sample in samples[name]]).median
        for name in SIDES
    }
    return sizes["ours"] / sizes["FITS"]


def _times(limit: float, what: str) -> Bar:
    return Bar(
        f"times what FITS takes to {what}",
        limit,
        lambda samples: ratios(samples["ours"], samples["FITS"]).median,
        at_least=False,
    )


ZARR = (
    Case(
        "zarr-write",
        "one full-frame product as zarr and as FITS, until the disk has it",
        writes,
        (_times(6, "be written"), Bar("times the size of FITS", 0.8, _size, False)),
        runs=7,
    ),
    Case(
        "zarr-cutout",
        f"{CUT_OUTS} cut-outs of {zarr_sides.CUT} × {zarr_sides.CUT} pixels, each product opened "
        "for each",
        cuts,
        (_times(1, "be cut"),),
    ),
    Case(
        "zarr-open-1000",
        f"{PRODUCTS:,} products opened one after the other, xarray and astropy",
        opens,
        (_times(6, "be opened"),),
        runs=3,
    ),
)
