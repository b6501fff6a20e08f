"""Source catalogs: which objects a direct image shows, how bright, and where on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.table import QTable
from numpy.typing import NDArray

from bkgflow.errors import FileError
from bkgflow.io.storage.location import Location, PathLike

__all__ = ["CORNERS", "SourceCatalog", "read_catalog"]

CORNERS = ("sky_bbox_ll", "sky_bbox_lr", "sky_bbox_ul", "sky_bbox_ur")
"""The columns that hold the corners of a source's box on the sky."""

COLUMNS = ("label", "isophotal_abmag", *CORNERS)

CURE = "Give the catalog (_cat.ecsv) that the pipeline's source_catalog step made"


@dataclass(frozen=True, slots=True)
class SourceCatalog:
    """The objects of a direct image.

    Attributes
    ----------
    path : PathLike
        The file.
    label : (n,) int64
        The numbers of the sources.
    abmag : (n,) float64
        Isophotal AB magnitude; NaN where none could be measured.
    ra, dec : (n, 4) float64
        Corners of each source's box, ICRS degrees: lower left, lower right, upper left, upper
        right.
    """

    path: PathLike
    label: NDArray[np.int64]
    abmag: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]

    def __len__(self) -> int:
        """How many sources there are."""
        return len(self.label)

    def brighter(self, limit: float | None) -> SourceCatalog:
        """Return the sources brighter than ``limit`` AB magnitudes (None: than 999).

        A source without a magnitude is kept, as in the reference step: what cannot be shown to
        be faint is masked.
        """
        keep = ~(self.abmag >= (999.0 if limit is None else limit))
        return SourceCatalog(
            self.path, self.label[keep], self.abmag[keep], self.ra[keep], self.dec[keep]
        )


def read_catalog(path: PathLike) -> SourceCatalog:
    """Read an ECSV source catalog.

    Raises
    ------
    FileError
        If it is missing, no ECSV table, lacks a column, has no rows, or no source has a position.
    """
    table = _table(path)
    missing = [name for name in COLUMNS if name not in table.colnames]
    if missing:
        raise FileError(
            f"A source catalog has the columns {', '.join(COLUMNS)}",
            file=path,
            value=f"no {', '.join(missing)}",
            cure=CURE,
        )
    if not len(table):
        raise FileError(
            "A source catalog holds at least one source",
            file=path,
            value="0 rows",
            cure="Give a catalog with sources, or a mask (wfss_mask) of the background pixels",
        )
    try:
        corners = [table[name].icrs for name in CORNERS]
        catalog = SourceCatalog(
            path=path,
            label=np.asarray(table["label"], np.int64),
            abmag=_plain(table["isophotal_abmag"]),
            ra=np.stack([_plain(corner.ra.deg) for corner in corners], axis=-1),
            dec=np.stack([_plain(corner.dec.deg) for corner in corners], axis=-1),
        )
    except (AttributeError, TypeError, ValueError) as problem:
        raise FileError(
            "Labels and magnitudes are numbers, corners are sky coordinates",
            file=path,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure=CURE,
        ) from problem
    if not np.isfinite(catalog.ra + catalog.dec).any():
        raise FileError(
            "The sources of a catalog have positions on the sky",
            file=path,
            value=f"all {len(catalog)} boxes are NaN",
            cure=CURE,
        )
    return catalog


def _table(path: PathLike) -> QTable:
    with Location.of(path).open("A source catalog") as stream:
        raw = stream.read()
    try:
        # As lines: astropy takes a text of one line for the name of a file.
        return QTable.read(raw.decode("utf-8").splitlines(), format="ascii.ecsv")
    except Exception as problem:  # astropy and yaml each raise their own
        raise FileError(
            "A source catalog is an ECSV table",
            file=path,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure=CURE,
        ) from problem


def _plain(column: Any) -> NDArray[np.float64]:
    """Return a column as numbers: no unit, masked values as NaN."""
    values = getattr(column, "value", column)
    if np.ma.isMaskedArray(values) or hasattr(values, "filled"):
        values = np.ma.asarray(values, np.float64).filled(np.nan)
    return np.asarray(values, np.float64)
