"""Source catalogs: which objects a direct image shows, how bright, and where on the sky."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial

import numpy as np
from astropy.table import QTable
from numpy.typing import ArrayLike, NDArray

from bkgflow.errors import FileError
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import reading, understood

__all__ = ["CORNERS", "Positions", "SourceCatalog", "read_catalog", "read_positions"]

CORNERS = ("sky_bbox_ll", "sky_bbox_lr", "sky_bbox_ul", "sky_bbox_ur")
"""The columns that hold the corners of a source's box on the sky."""

SIDES = ((0, 1), (2, 3), (0, 2), (1, 3))
"""Which corners a side of a box lies between."""

COLUMNS = ("label", "isophotal_abmag", *CORNERS)

CURE = (
    "Give the catalog (_cat.ecsv) that the pipeline's source_catalog step made, or the same "
    "columns as ECSV, FITS, VOTable or CSV"
)


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


@dataclass(frozen=True, slots=True)
class Positions:
    """Where sources are, and how large.

    Attributes
    ----------
    ra, dec : (n,) float64
        ICRS degrees.
    radius : (n,) float64
        Arcseconds; NaN where the catalog does not say it.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    radius: NDArray[np.float64]


def read_positions(path: PathLike) -> Positions:
    """Read where the sources of a catalog are, and how large: a table as for `read_catalog`.

    With the corners of their boxes, a source is in the middle of its box, and its radius is half
    of its longer side. Else there are columns ``ra`` and ``dec`` in degrees, or ``sky_centroid``,
    and maybe ``radius``, in arcseconds if it has no unit. Sources without a position are left
    out.

    Raises
    ------
    FileError
        If it is missing, no table, or has no positions.
    """
    table = _read_table(Location.of(path))
    corners = [pair for name in CORNERS if (pair := _pair(path, table, name)) is not None]
    with understood("Positions and radii must be numbers or sky coordinates", path, CURE):
        if len(corners) == len(CORNERS):
            found = _of_boxes(*(np.stack([_plain(each) for each in axis], axis=-1)
                                for axis in zip(*corners, strict=True)))  # fmt: skip
        elif (centres := _centres(path, table)) is not None:
            ra, dec = map(_plain, centres)
            found = Positions(ra, dec, _radii(path, table, len(ra)))
        else:
            raise FileError(
                "A catalog of sources must have their positions: the corners of their boxes "
                f"({', '.join(CORNERS)}), or ra and dec",
                file=path,
                value=", ".join(table.colnames) or "no column",
                cure=CURE,
            )
    there = np.isfinite(found.ra) & np.isfinite(found.dec)
    if len(there) and not there.any():
        rule = "The sources of a catalog must have positions on the sky"
        raise FileError(rule, file=path, value=f"all {len(there)} are NaN", cure=CURE)
    return Positions(found.ra[there], found.dec[there], found.radius[there])


def _of_boxes(ra: NDArray[np.float64], dec: NDArray[np.float64]) -> Positions:
    """Return the middle of boxes, and half of their longer sides: of corners (n, 4), degrees."""
    east = (ra - ra[:, :1] + 180) % 360 - 180  # of the first corner, also across 0
    centre = dec.mean(axis=1)
    x, y = 3600 * east * np.cos(np.radians(centre))[:, None], 3600 * dec
    sides = [np.hypot(x[:, a] - x[:, b], y[:, a] - y[:, b]) for a, b in SIDES]
    return Positions((ra[:, 0] + east.mean(axis=1)) % 360, centre, np.max(sides, axis=0) / 2)


def _centres(file: PathLike, table: QTable) -> tuple[ArrayLike, ArrayLike] | None:
    if (centroid := _pair(file, table, "sky_centroid")) is not None:
        return centroid
    named = _named(table)
    if "ra" in named and "dec" in named:
        return _degrees(table[named["ra"]]), _degrees(table[named["dec"]])
    return None


def _named(table: QTable) -> dict[str, str]:
    """Return what a table calls its columns, by their names in small letters; the first counts."""
    return {name.lower(): name for name in reversed(table.colnames)}


def _radii(file: PathLike, table: QTable, number: int) -> NDArray[np.float64]:
    if (name := _named(table).get("radius")) is None:
        return np.full(number, np.nan)
    column = table[name]
    unit = getattr(column, "unit", None)
    radii = _plain(column.to_value("arcsec") if unit and hasattr(column, "to_value") else column)
    wrong = np.isinf(radii) | (radii < 0)
    if wrong.any():
        raise FileError(
            "The radii of a catalog must be finite and not negative",
            file=file,
            value=f"{np.count_nonzero(wrong)} of {number}, the first {radii[wrong][0]:g}",
            cure="Leave a radius that is not known empty, or NaN: mask_grow then is its radius",
        )
    return radii


def read_catalog(path: PathLike) -> SourceCatalog:
    """Read a source catalog: ECSV, FITS, VOTable, or a plain table such as CSV.

    The corners are columns of sky coordinates, or pairs of columns as astropy writes these where
    a format has no such thing: ``sky_bbox_ll.ra`` and ``sky_bbox_ll.dec``, in degrees. A catalog
    without rows has no source.

    Raises
    ------
    FileError
        If it is missing, no table, lacks a column, or no source has a position.
    """
    refused = partial(FileError, file=path)
    table = _read_table(Location.of(path))
    missing = [name for name in COLUMNS[:2] if name not in table.colnames]
    missing += [name for name in CORNERS if _pair(path, table, name) is None]
    if missing:
        raise refused(
            f"A source catalog must have the columns {', '.join(COLUMNS)}",
            value=f"no {', '.join(missing)} among {', '.join(table.colnames) or 'none'}",
            cure=CURE,
        )
    with understood("Labels and magnitudes must be numbers, corners sky coordinates", path, CURE):
        pairs = [pair for name in CORNERS if (pair := _pair(path, table, name)) is not None]
        catalog = SourceCatalog(
            label=np.asarray(table["label"], np.int64),
            abmag=_plain(table["isophotal_abmag"]),
            ra=np.stack([_plain(ra) for ra, _ in pairs], axis=-1),
            dec=np.stack([_plain(dec) for _, dec in pairs], axis=-1),
        )
    if len(catalog) and not np.isfinite(catalog.ra + catalog.dec).any():
        rule = "The sources of a catalog must have positions on the sky"
        raise refused(rule, value=f"all {len(catalog)} boxes are NaN", cure=CURE)
    return catalog


def _read_table(location: Location) -> QTable:
    """Read a table whose format is told by how the file begins."""
    with location.open("A source catalog") as stream, reading(stream):
        raw = stream.read()
    rule = "A source catalog must be a table: ECSV, FITS, VOTable or CSV"
    begin = raw[:1024].lstrip()
    with understood(rule, location, CURE), unwarned():  # of columns that nobody needs
        if raw.startswith(b"SIMPLE"):
            return QTable.read(io.BytesIO(raw), format="fits")
        if begin.startswith((b"<?xml", b"<VOTABLE")):
            return QTable.read(io.BytesIO(raw), format="votable")
        # As lines: astropy takes a text of one line for the name of a file.
        lines = raw.decode("utf-8-sig").splitlines()
        if begin.removeprefix(b"\xef\xbb\xbf").startswith(b"# %ECSV"):
            return QTable.read(lines, format="ascii.ecsv")
        return QTable.read(lines, format="ascii", guess=True)


def _pair(file: PathLike, table: QTable, name: str) -> tuple[ArrayLike, ArrayLike] | None:
    """Return the right ascension and declination of a corner, degrees; None where it has none."""
    for ra, dec in ((f"{name}{mark}ra", f"{name}{mark}dec") for mark in "._"):
        if ra in table.colnames and dec in table.colnames:
            return _degrees(table[ra]), _degrees(table[dec])
    corner = table[name] if name in table.colnames else None
    if corner is None:
        return None
    icrs = getattr(corner, "icrs", None)
    if icrs is None:
        raise FileError(
            f"The corner {name} must be sky coordinates, or two columns {name}.ra and {name}.dec",
            file=file,
            value=f"a column of {corner.dtype}",
            cure=CURE,
        )
    return icrs.ra.deg, icrs.dec.deg


def _degrees(column: ArrayLike) -> ArrayLike:
    """Return a column in degrees where it has a unit."""
    unit = getattr(column, "unit", None)
    return column.to_value("deg") if unit and hasattr(column, "to_value") else column


def _plain(column: ArrayLike) -> NDArray[np.float64]:
    """Return a column as numbers: no unit, masked values as NaN."""
    values = getattr(column, "value", column)
    if np.ma.isMaskedArray(values) or hasattr(values, "filled"):
        values = np.ma.asarray(values, np.float64).filled(np.nan)
    return np.asarray(values, np.float64)
