"""What a slitless exposure is fitted with: skies, source corners on the detector, masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import BkgflowError, FileError, MetadataError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.references.catalog import SourceCatalog, read_catalog
from bkgflow.io.references.mask import read_mask
from bkgflow.io.references.skies import Templates, read_templates
from bkgflow.io.references.wavelengths import OrderPolicy, blocking_filter, wavelength_ranges
from bkgflow.io.storage.location import Location, PathLike

__all__ = ["Corners", "SlitlessInputs", "slitless_inputs", "source_corners"]

UNKNOWN_ORDER = "order is not available"
"""How the dispersion models of stdatamodels refuse an order."""


@dataclass(frozen=True, slots=True)
class Corners:
    """Where the corners of the sources fall on the grism image.

    Attributes
    ----------
    x, y : (n_sources, n_orders, 2, 4) float64
        Pixels of the exposure's array, the centre of the first one at 0; the wavelengths are
        the shortest and the longest of the order.
    orders : tuple of int
        The spectral orders.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    orders: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SlitlessInputs:
    """What the fit of one exposure needs beside its own arrays.

    Attributes
    ----------
    templates : Templates
        The reference skies on the exposure's window.
    dispersion_axis : int or None
        DISPAXIS: 1 for x, 2 for y.
    mask : (ny, nx) bool or None
        The user's mask, True for background.
    corners : Corners or None
        Of the catalog's sources; None without a catalog, or where the user's mask replaces it.
    """

    templates: Templates
    dispersion_axis: int | None
    mask: NDArray[np.bool_] | None
    corners: Corners | None


def slitless_inputs(
    facts: ExposureFacts,
    background: PathLike | Sequence[PathLike],
    *,
    wavelengthrange: PathLike | None = None,
    catalog: PathLike | None = None,
    user_mask: PathLike | None = None,
    mmag_extract: float | None = None,
    orders: OrderPolicy = "extract",
) -> SlitlessInputs:
    """Read and check everything that an exposure's fit needs.

    Parameters
    ----------
    facts : ExposureFacts
        The exposure's; its source has a WCS if a catalog is to be used. Nothing else is read of
        it.
    background : path-like or several
        See `read_templates`.
    wavelengthrange : path-like, optional
        The reference that a catalog needs.
    catalog : path-like, optional
        The source catalog.
    user_mask : path-like, optional
        A mask; the catalog is then not even opened.
    mmag_extract : float, optional
        Only sources brighter than this AB magnitude are boxed.
    orders : {"extract", "all"}
        Which spectral orders are boxed.

    Raises
    ------
    BkgflowError
        One of its kinds, for whatever is missing or wrong.
    """
    if facts.n_integrations is not None:
        raise ShapeError(
            "A slitless exposure is an image (ny, nx)",
            file=facts.location,
            value=facts.shape,
            cure="Give the rate product, not the rateints",
        )
    skies = read_templates(background, facts.window, instrument=facts.instrument)
    mask = None if user_mask is None else read_mask(user_mask, facts.window.shape)
    corners = None
    if mask is None and catalog is not None:
        if wavelengthrange is None:
            raise FileError(
                "Boxes of sources need a wavelengthrange reference",
                file=facts.location,
                value="none",
                cure="Give one with override_wavelengthrange, or a mask with wfss_mask",
            )
        sources = read_catalog(catalog).brighter(mmag_extract)
        ranges = wavelength_ranges(wavelengthrange, blocking_filter(facts), orders=orders)
        corners = source_corners(facts, sources, ranges, skip_unknown=orders == "all")
    return SlitlessInputs(skies, facts.dispersion_axis, mask, corners)


def source_corners(
    facts: ExposureFacts,
    catalog: SourceCatalog,
    ranges: dict[int, tuple[float, float]],
    *,
    skip_unknown: bool = False,
) -> Corners:
    """Send the corners of all sources through the exposure's WCS, from the sky to the detector.

    Parameters
    ----------
    facts : ExposureFacts
        The exposure's; its source has a grism's WCS.
    catalog : SourceCatalog
        The sources.
    ranges : dict
        Shortest and longest wavelength by order, micron.
    skip_unknown : bool
        Leave out orders that the WCS does not have, instead of an error.

    Raises
    ------
    MetadataError
        If there is no WCS, or it is not a grism's, or lacks an order.
    """
    to_grism = _sky_to_grism(facts)
    ra, dec = catalog.ra.ravel(), catalog.dec.ravel()
    known, found = [], []
    for order, wavelengths in ranges.items():
        try:
            pairs = [to_grism(ra, dec, wavelength, order)[:2] for wavelength in wavelengths]
        except ValueError as problem:
            if UNKNOWN_ORDER not in str(problem):
                raise
            if skip_unknown:
                continue
            raise _no_order(facts.location, order) from None
        known.append(order)
        found.append(pairs)
    if not known:
        raise _no_order(facts.location, *ranges)
    shape = (len(known), 2, 2, len(catalog), catalog.ra.shape[1])  # order, wavelength, x or y
    stacked = np.array(found, np.float64).reshape(shape)
    x, y = np.moveaxis(stacked, (2, 3), (0, 1))
    return Corners(x, y, tuple(known))


def _no_order(file: Location, *orders: int) -> BkgflowError:
    return MetadataError(
        "The exposure's WCS has every order that is to be boxed",
        file=file,
        value=f"no order {', '.join(map(str, orders))}",
        cure="Assign the WCS anew, or give the wavelengthrange reference that belongs to it",
    )


def _sky_to_grism(facts: ExposureFacts) -> Any:
    """Return the transform (ra, dec, wavelength, order) to (x, y, ...)."""
    wcs = facts.source.wcs()
    if wcs is None:
        raise MetadataError(
            "A slitless exposure with a source catalog has a WCS",
            file=facts.location,
            value="none",
            cure="Run the pipeline's assign_wcs step first",
        )
    try:
        transform = wcs.backward_transform
    except (AttributeError, NotImplementedError) as problem:
        raise _not_a_grism(facts.location, str(problem)) from None
    if transform.n_inputs != 4 or transform.n_outputs < 2:
        found = f"{transform.n_inputs} inputs, {transform.n_outputs} outputs"
        raise _not_a_grism(facts.location, found)
    return transform


def _not_a_grism(file: Location, found: str) -> BkgflowError:
    return MetadataError(
        "The WCS of a slitless exposure leads from (ra, dec, wavelength, order) to the detector",
        file=file,
        value=found[:200],
        cure="Run the pipeline's assign_wcs step on the exposure; its EXP_TYPE must be a WFSS one",
    )
