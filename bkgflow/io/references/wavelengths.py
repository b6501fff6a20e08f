"""The wavelength range that each order of a grism covers through a filter."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from stdatamodels.jwst.datamodels import WavelengthrangeModel

from bkgflow.errors import FileError, MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood
from bkgflow.matching import normal

__all__ = ["OrderPolicy", "Ranges", "blocking_filter", "wavelength_ranges"]

Rows = list[list[Any]]

Ranges = dict[int, tuple[float, float]]
"""Shortest and longest wavelength of each order, micron."""

OrderPolicy = Literal["extract", "all"]
"""Which orders to mask: those the reference says to extract, or every one that it lists."""

FILTER_KEYWORDS = {"NIRCAM": "FILTER", "MIRI": "FILTER", "NIRISS": "PUPIL"}
"""Which wheel holds the blocking filter: NIRISS carries its grisms in the filter wheel."""


def blocking_filter(facts: ExposureFacts) -> str:
    """Return the name of the filter that limits a grism exposure's wavelengths.

    Raises
    ------
    MetadataError
        If the instrument has no slitless mode, or the keyword is missing.
    """
    keyword = FILTER_KEYWORDS.get(facts.instrument)
    if keyword is None:
        raise MetadataError(
            f"A slitless exposure must be of {', '.join(FILTER_KEYWORDS)}",
            file=facts.location,
            value=f"INSTRUME = {facts.instrument or 'missing'}",
            cure="Correct INSTRUME, or take the exposure out of the program",
        )
    name = normal(facts.keyword(keyword))
    if not name:
        raise MetadataError(
            f"A slitless exposure of {facts.instrument} must name its filter in {keyword}",
            file=facts.location,
            value="missing",
            cure=f"Put {keyword} into the primary header",
        )
    return name


def wavelength_ranges(
    path: PathLike, filter_name: str, *, orders: OrderPolicy = "extract"
) -> Ranges:
    """Return the shortest and longest wavelength of each order, micron.

    Parameters
    ----------
    filter_name : str
        See `blocking_filter`.
    orders : {"extract", "all"}
        The orders that the reference says to extract, as the reference step takes them, or all
        that it lists for the filter, such as the zeroth order of NIRISS.

    Raises
    ------
    FileError
        If the file cannot be read, or is not for slitless spectroscopy.
    MetadataError
        If the filter, or the range of one of its orders, is not in it.
    """
    ranges, extract = _content(path)
    listed = {int(row[0]): (float(row[2]), float(row[3])) for row in reversed(ranges)
              if row[1] == filter_name}  # fmt: skip
    if orders == "all":
        wanted, names = sorted(listed), {str(row[1]) for row in ranges}
    else:
        chosen = {str(row[0]): row[1] for row in extract}
        wanted, names = list(map(int, chosen.get(filter_name, ()))), set(chosen)
    refused = partial(MetadataError, file=path)
    if filter_name not in names:
        raise refused(
            f"The wavelengthrange reference must hold the filter {filter_name}",
            value=f"it holds {', '.join(sorted(names)) or 'none'}",
            cure="Give the reference of this instrument and grism (override_wavelengthrange), or "
            "correct the exposure's FILTER or PUPIL",
        )
    missing = [order for order in wanted if order not in listed]
    if missing:
        raise refused(
            f"The wavelengthrange reference must have a range for every order of {filter_name}",
            value=f"none for {', '.join(map(str, missing))}",
            cure="Give another reference (override_wavelengthrange)",
        )
    return {order: listed[order] for order in wanted}


def _content(path: PathLike) -> tuple[Rows, Rows]:
    """Return the rows (order, filter, min, max) and (filter, orders) of the reference."""
    rule = "A wavelengthrange reference must be a readable ASDF file"
    cure = "Fetch it again, or give another with override_wavelengthrange"
    with (
        Location.of(path).as_file("A wavelengthrange reference") as file,
        understood(rule, path, cure),
        unwarned(),
        WavelengthrangeModel(str(file)) as model,
    ):
        kind = str(model.meta.exposure.type or "")
        ranges = [list(row) for row in model.wavelengthrange]
        extract = [list(row) for row in model.extract_orders or ()]
    if "WFSS" not in kind:
        raise FileError(
            "The wavelengthrange reference must be for slitless spectroscopy (WFSS)",
            file=path,
            value=f"EXP_TYPE = {kind or 'missing'}",
            cure="Give the reference of this grism (override_wavelengthrange)",
        )
    return ranges, extract
