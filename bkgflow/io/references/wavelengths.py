"""The wavelength range that each order of a grism covers through a filter."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import Any, Literal

from stdatamodels.jwst.datamodels import WavelengthrangeModel

from bkgflow.errors import FileError, MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.location import PathLike

__all__ = ["OrderPolicy", "blocking_filter", "wavelength_ranges"]

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
    instrument = facts.instrument
    keyword = FILTER_KEYWORDS.get(instrument)
    if keyword is None:
        raise MetadataError(
            f"A slitless exposure is of {', '.join(FILTER_KEYWORDS)}",
            file=facts.location,
            value=f"INSTRUME = {instrument or 'missing'}",
            cure="Correct INSTRUME, or take the exposure out of the program",
        )
    name = facts.keyword(keyword)
    if not name:
        raise MetadataError(
            f"A slitless exposure of {instrument} names its filter in {keyword}",
            file=facts.location,
            value="missing",
            cure=f"Put {keyword} into the primary header",
        )
    return name


def wavelength_ranges(
    path: PathLike, filter_name: str, *, orders: OrderPolicy = "extract"
) -> dict[int, tuple[float, float]]:
    """Return the shortest and longest wavelength of each order, micron.

    Parameters
    ----------
    path : path-like
        A ``wavelengthrange`` reference file.
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
        wanted: list[int] | None = sorted(listed) or None
    else:
        chosen = [row[1] for row in extract if row[0] == filter_name]
        wanted = [int(order) for order in chosen[-1]] if chosen else None
    if wanted is None:
        names = {str(row[1]) for row in ranges} if orders == "all" else {row[0] for row in extract}
        raise MetadataError(
            f"The wavelengthrange reference holds the filter {filter_name}",
            file=path,
            value=f"it holds {', '.join(sorted(names)) or 'none'}",
            cure="Give the reference of this instrument and grism (override_wavelengthrange), or "
            "correct the exposure's FILTER or PUPIL",
        )
    missing = [order for order in wanted if order not in listed]
    if missing:
        raise MetadataError(
            f"The wavelengthrange reference has a range for every order of {filter_name}",
            file=path,
            value=f"none for {', '.join(map(str, missing))}",
            cure="Give another reference (override_wavelengthrange)",
        )
    return {order: listed[order] for order in wanted}


def _content(path: PathLike) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return the rows (order, filter, min, max) and (filter, orders) of the reference."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with WavelengthrangeModel(os.fspath(path)) as model:
                kind = str(model.meta.exposure.type or "")
                ranges = [list(row) for row in model.wavelengthrange]
                extract = [list(row) for row in model.extract_orders or ()]
    except Exception as problem:  # stdatamodels and asdf each raise their own
        raise FileError(
            "A wavelengthrange reference is a readable ASDF file",
            file=path,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure="Fetch it again, or give another with override_wavelengthrange",
        ) from problem
    if "WFSS" not in kind:
        raise FileError(
            "The wavelengthrange reference is for slitless spectroscopy (WFSS)",
            file=path,
            value=f"EXP_TYPE = {kind or 'missing'}",
            cure="Give the reference of this grism (override_wavelengthrange)",
        )
    return ranges, extract
