"""What a slitless exposure is fitted with: skies, source corners on the detector, masks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError, MetadataError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.references.catalog import SourceCatalog, read_catalog
from bkgflow.io.references.grism_wcs import sky_to_grism
from bkgflow.io.references.mask import read_mask
from bkgflow.io.references.skies import Templates, read_templates
from bkgflow.io.references.wavelengths import (
    OrderPolicy,
    Ranges,
    blocking_filter,
    wavelength_ranges,
)
from bkgflow.io.storage.identity import Identity
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
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    orders: tuple[int, ...]


NO_CORNERS = Corners(np.empty((0, 1, 2, 4)), np.empty((0, 1, 2, 4)), ())


@dataclass(frozen=True, slots=True)
class SlitlessInputs:
    """What the fit of one exposure needs beside its own arrays.

    Attributes
    ----------
    templates : Templates
        On the exposure's window.
    dispersion_axis : int or None
        DISPAXIS: 1 for x, 2 for y.
    mask : (ny, nx) bool or None
        The user's mask, True for background.
    corners : Corners or None
        Of the catalog's sources; None without a catalog, or where the user's mask replaces it.
    notes : tuple of str
        What a user should know of them.
    """

    templates: Templates
    dispersion_axis: int | None
    mask: NDArray[np.bool_] | None
    corners: Corners | None
    notes: tuple[str, ...] = ()


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

    Of the exposure itself the WCS alone is read, if a catalog is to be used.

    Parameters
    ----------
    background : path-like or several
        See `read_templates`.
    wavelengthrange, catalog : path-like, optional
        The sources, and the reference that they need.
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
            "A slitless exposure must be an image (ny, nx)",
            file=facts.location,
            value=facts.shape,
            cure="Give the rate product, not the rateints",
        )
    several = [background] if isinstance(background, PathLike) else background
    skies = _skies(_versions(several), facts.window, facts.instrument)
    mask = None if user_mask is None else read_mask(user_mask, facts.window, facts.instrument)
    corners, notes = None, list[str]()
    if mask is None and catalog is not None:
        if wavelengthrange is None:
            raise FileError(
                "Boxes of sources must have a wavelengthrange reference",
                file=facts.location,
                value="none",
                cure="Give one with override_wavelengthrange, or a mask with wfss_mask",
            )
        sources = _sources(_versions([catalog])).brighter(mmag_extract)
        ranges = _ranges(_versions([wavelengthrange]), blocking_filter(facts), orders)
        if len(sources):
            corners = source_corners(facts, sources, ranges, skip_unknown=orders == "all")
        else:
            corners = NO_CORNERS
            brighter = "" if mmag_extract is None else f" brighter than {mmag_extract:g} mag"
            notes.append(
                f"the catalog {Location.of(catalog).name} has no source{brighter}: "
                "nothing is masked"
            )
    return SlitlessInputs(skies, facts.dispersion_axis, mask, corners, tuple(notes))


Versions = tuple[tuple[Location, Identity], ...]


def _versions(paths: Iterable[PathLike]) -> Versions:
    """Return where files are and which versions of them are there now."""
    locations = map(Location.of, paths)
    return tuple((each, each.identity("A reference file")) for each in locations)


# The exposures of a field share a catalog, and those of a program the rest: a worker reads them
# for the first one. What is kept is small but for the skies, of which it is the last one used.


@lru_cache(maxsize=1)
def _skies(files: Versions, window: Window, instrument: str) -> Templates:
    return read_templates([location for location, _ in files], window, instrument=instrument)


@lru_cache(maxsize=4)
def _sources(files: Versions) -> SourceCatalog:
    return read_catalog(files[0][0])


@lru_cache(maxsize=16)
def _ranges(files: Versions, filter_name: str, orders: OrderPolicy) -> Ranges:
    return wavelength_ranges(files[0][0], filter_name, orders=orders)


def source_corners(
    facts: ExposureFacts,
    catalog: SourceCatalog,
    ranges: Ranges,
    *,
    skip_unknown: bool = False,
) -> Corners:
    """Send the corners of all sources through the exposure's WCS, from the sky to the detector.

    Parameters
    ----------
    ranges : dict
        Shortest and longest wavelength by order, micron.
    skip_unknown : bool
        Leave out orders that the WCS does not have, instead of an error.

    Raises
    ------
    MetadataError
        If there is no WCS, or it is not a grism's, or lacks an order.
    """

    to_grism = sky_to_grism(facts)
    ra, dec = catalog.ra.ravel(), catalog.dec.ravel()
    known, unknown = {}, []
    for order, wavelengths in ranges.items():
        try:
            known[order] = [to_grism(ra, dec, each, order)[:2] for each in wavelengths]
        except ValueError as problem:
            if UNKNOWN_ORDER not in str(problem):
                raise
            unknown.append(order)
    if not known or (unknown and not skip_unknown):
        raise MetadataError(
            "The exposure's WCS must have every order that is to be boxed",
            file=facts.location,
            value=f"no order {', '.join(map(str, unknown))}",
            cure="Assign the WCS anew, or give the wavelengthrange reference that belongs to it",
        )
    shape = (len(known), 2, 2, len(catalog), catalog.ra.shape[1])  # order, wavelength, x or y
    stacked = np.array(list(known.values()), np.float64).reshape(shape)
    x, y = np.moveaxis(stacked, (2, 3), (0, 1))
    return Corners(x, y, tuple(known))
