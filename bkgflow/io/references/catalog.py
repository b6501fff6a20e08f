"""Source catalogs: which objects a direct image shows, how bright, and where on the sky."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from bkgflow.errors import FileError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood

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
    label : (n,) int64
        The numbers of the sources.
    abmag : (n,) float64
        Isophotal AB magnitude; NaN where none could be measured.
    ra, dec : (n, 4) float64
        Corners of each source's box, ICRS degrees: lower left, lower right, upper left, upper
        right.
    """

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
        return SourceCatalog(self.label[keep], self.abmag[keep], self.ra[keep], self.dec[keep])


def read_catalog(path: PathLike) -> SourceCatalog:
    """Read an ECSV source catalog.

    Raises
    ------
    FileError
        If it is missing, no ECSV table, lacks a column, has no rows, or no source has a position.
    """
    refused = partial(FileError, file=path)
    with Location.of(path).open("A source catalog") as stream:
        raw = stream.read()
    with understood("A source catalog must be an ECSV table", path, CURE):
        # As lines: astropy takes a text of one line for the name of a file.
        table = QTable.read(raw.decode("utf-8").splitlines(), format="ascii.ecsv")
    missing = ", ".join(name for name in COLUMNS if name not in table.colnames)
    if missing:
        rule = f"A source catalog must have the columns {', '.join(COLUMNS)}"
        raise refused(rule, value=f"no {missing}", cure=CURE)
    if not len(table):
        raise refused(
            "A source catalog must hold at least one source",
            value="0 rows",
            cure="Give a catalog with sources, or a mask (wfss_mask) of the background pixels",
        )
    with understood("Labels and magnitudes must be numbers, corners sky coordinates", path, CURE):
        corners = [table[name].icrs for name in CORNERS]
        catalog = SourceCatalog(
            label=np.asarray(table["label"], np.int64),
            abmag=_plain(table["isophotal_abmag"]),
            ra=np.stack([_plain(corner.ra.deg) for corner in corners], axis=-1),
            dec=np.stack([_plain(corner.dec.deg) for corner in corners], axis=-1),
        )
    if not np.isfinite(catalog.ra + catalog.dec).any():
        rule = "The sources of a catalog must have positions on the sky"
        raise refused(rule, value=f"all {len(catalog)} boxes are NaN", cure=CURE)
    return catalog


def _plain(column: ArrayLike) -> NDArray[np.float64]:
    """Return a column as numbers: no unit, masked values as NaN."""
    values = getattr(column, "value", column)
    if np.ma.isMaskedArray(values) or hasattr(values, "filled"):
        values = np.ma.asarray(values, np.float64).filled(np.nan)
    return np.asarray(values, np.float64)
