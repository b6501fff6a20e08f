"""Exposures in FITS files: their headers looked at once, their pixels read by byte range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, ClassVar

from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts, read_facts
from bkgflow.io.exposures.source import Layer, Pixels, Reader
from bkgflow.io.fits.hdus import ByteRange, Hdu, walk
from bkgflow.io.fits.planes import planes, read_rows
from bkgflow.io.storage.location import Location, PathLike

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["FitsSource", "inspect"]

ARRAYS = ("SCI", "ERR", "DQ")


@dataclass(frozen=True, slots=True)
class FitsSource:
    """See `Source`; the arrays are found by byte offsets."""

    format: ClassVar[str] = "fits"

    location: Location
    window: Window
    n_integrations: int | None
    sci: ByteRange
    err: ByteRange
    dq: ByteRange

    def __dask_tokenize__(self) -> tuple[str, int]:
        """What tells it from another source."""
        return self.location.url, self.sci.offset

    @property
    def name(self) -> str:
        """The location."""
        return str(self.location)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Open the file."""
        with self.location.open() as stream:
            yield _FitsReader(self, stream)

    def wcs(self) -> WCS | None:
        """Return what the tree has as ``meta.wcs``."""
        from bkgflow.io.fits.tree import read_wcs  # asdf, which only slitless exposures need

        return read_wcs(self.location)


@dataclass(frozen=True, slots=True)
class _FitsReader:
    source: FitsSource
    stream: BinaryIO

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        data: ByteRange = getattr(self.source, layer)
        rows, columns = window.slices_in(self.source.window)
        local = Window(columns.start, rows.start, window.nx, window.ny)
        stack = out[None] if out.ndim == 2 else out
        for plane, image in zip(planes(data, first, len(stack)), stack, strict=True):
            read_rows(self.stream, plane, local, image)


def inspect(where: PathLike) -> ExposureFacts:
    """Read an exposure's headers and check that they agree with each other.

    Raises
    ------
    FileError
        If the file is missing, unreadable, truncated, or lacks SCI, ERR or DQ.
    ShapeError
        If SCI, ERR and DQ differ in shape, or SUBSIZE contradicts the array.
    WindowError
        If its window on the detector is unknown.
    """
    location = Location.of(where)
    # Before the headers: a file that is written in between is then seen to have changed.
    identity = location.identity()
    hdus = walk(location)
    shape = _common_shape(location, hdus)
    n_integrations = shape[0] if len(shape) == 3 else None
    arrays = [hdus[name].data for name in ARRAYS]
    return read_facts(
        location,
        identity,
        shape,
        hdus["PRIMARY"].header.get,
        hdus["SCI"].header.get,
        lambda window: FitsSource(location, window, n_integrations, *arrays),
    )


def _common_shape(location: Location, hdus: dict[str, Hdu]) -> tuple[int, ...]:
    model = str(hdus["PRIMARY"].header.get("DATAMODL", ""))
    if model.startswith("Multi"):
        raise FileError(
            "An exposure must be one image or one cube",
            file=location,
            value=f"a {model}, slits cut out of an exposure",
            cure="Give the exposure itself, as it was before it was cut",
        )
    for name in ARRAYS:
        if name not in hdus or not hdus[name].data.shape:
            among = ", ".join(key for key in hdus if key) or "none"
            raise FileError(
                "An exposure must have the extensions SCI, ERR and DQ",
                file=location,
                value=f"{name} has no array" if name in hdus else f"no {name} among {among}",
                cure="Give a rate or rateints product of the pipeline's first stage",
            )
        header, data = hdus[name].header, hdus[name].data
        kind = str(header.get("XTENSION", "IMAGE"))
        if kind != "IMAGE":
            raise FileError(
                "SCI, ERR and DQ must be image extensions",
                file=location,
                value=f"{name} is a {kind}",
                cure="Unpack a compressed file (funpack), or make the product again",
            )
        if data.bitpix > 0 and header.get("BLANK") is not None:
            raise FileError(
                "Pixels without a value must be NaN",
                file=location,
                value=f"{name} holds whole numbers, one of which stands for none (BLANK)",
                cure="Store the array as float32",
            )
    shape = hdus["SCI"].data.shape
    if len(shape) not in (2, 3) or 0 in shape:
        raise ShapeError(
            "SCI must be an image (ny, nx) or a cube (n_integrations, ny, nx)",
            file=location,
            value=shape,
            cure="Give a rate or rateints product, not a ramp",
        )
    for name in ARRAYS[1:]:
        if hdus[name].data.shape != shape:
            raise ShapeError(
                f"{name} must have the shape of SCI",
                file=location,
                value=f"SCI {shape}, {name} {hdus[name].data.shape}",
                cure="Make the product again; its extensions do not belong together",
            )
    return shape
