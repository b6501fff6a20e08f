"""Exposures in FITS files: their headers looked at once, their pixels read by byte range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts, read_facts
from bkgflow.io.exposures.source import (
    VARIANCES,
    Layer,
    Pixels,
    Reader,
    check_absent,
    sky_keywords,
)
from bkgflow.io.fits.checksums import check_checksums
from bkgflow.io.fits.hdus import ByteRange, Hdu, Hdus, walk
from bkgflow.io.fits.planes import PlaneReader, planes, read_rows, rows_of
from bkgflow.io.fits.standard import check_standard
from bkgflow.io.fits.tiles import Tiles, open_tiles, read_tiles
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.ranges import announce
from bkgflow.io.storage.versions import Version, expect, expected
from bkgflow.io.zarr.reading import holds_group

if TYPE_CHECKING:
    from astropy.io.fits import HDUList
    from gwcs import WCS

__all__ = ["FitsSource", "inspect"]

LAYERS = ("SCI", "ERR", "DQ")

Array = ByteRange | Tiles
"""Where an array is in its file."""


@dataclass(frozen=True, slots=True)
class FitsSource:
    """See `Source`; the arrays are found by byte offsets.

    Attributes
    ----------
    sci, err, dq : ByteRange, Tiles or None
        Where the array is; None where the file has none. DQ then reads as 0, ERR not at all.
    has_checksums : bool
        Whether headers say what the bytes add up to; they are added up before they are read.
    seen : Version or None
        Of an object behind a URL, the version whose headers were looked at: no other is read.
    """

    format: ClassVar[str] = "fits"

    location: Location
    window: Window
    n_integrations: int | None
    sci: Array
    err: Array | None
    dq: Array | None
    has_checksums: bool = False
    seen: Version | None = None

    def __dask_tokenize__(self) -> tuple[str, str]:
        """What tells it from another source."""
        return self.location.url, str(self.sci)

    @property
    def name(self) -> str:
        """The location."""
        return str(self.location)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Open the file."""
        if self.seen is not None:
            expect(self.location.url, self.seen)
        if self.has_checksums:
            check_checksums(self.location)
        with self.location.open() as stream:
            if not any(isinstance(each, Tiles) for each in (self.sci, self.err, self.dq)):
                yield _FitsReader(self, stream)
                return
            with self.location.open() as packed, open_tiles(self.location, packed) as opened:
                yield _FitsReader(self, stream, opened)

    def variances(self, window: Window) -> dict[str, NDArray[np.float32]]:
        """Look where they are, and read them: few ask, so that no graph carries it."""
        hdus, found = walk(self.location), dict[str, NDArray[np.float32]]()
        rows, columns = window.slices_in(self.window)
        local = Window(columns.start, rows.start, window.nx, window.ny)
        with self.location.open() as stream:
            for name in _variances(hdus, hdus["SCI"].data.shape):
                found[name] = np.empty(window.shape, np.float32)
                read_rows(stream, next(planes(hdus[name].data)), local, found[name])
        return found

    def wcs(self) -> WCS | None:
        """Return what the tree has as ``meta.wcs``."""
        from bkgflow.io.fits.tree import read_wcs  # asdf, which only slitless exposures need

        return read_wcs(self.location)

    def has_wcs(self) -> bool:
        """Whether the tree has a ``meta.wcs``."""
        from bkgflow.io.fits.tree import has_wcs

        return has_wcs(self.location)

    def sky_keywords(self) -> dict[str, str | float]:
        """Return what SCI's header has."""
        return sky_keywords(walk(self.location)["SCI"].header.get)


@dataclass(frozen=True, slots=True)
class _FitsReader:
    source: FitsSource
    stream: BinaryIO
    opened: HDUList | None = None
    ready: dict[Layer, PlaneReader] = field(default_factory=dict)

    def expect(self, layers: Iterable[Layer], window: Window) -> None:
        """See `Expecting.expect`."""
        if self.source.seen is None:  # a disk
            return
        held = self.source.window.overlap(window)
        arrays = [getattr(self.source, layer) for layer in layers]
        if held is None:
            return
        rows, _ = held.slices_in(self.source.window)
        announce(
            self.stream,
            (
                rows_of(plane, rows.start, rows.stop)
                for data in arrays
                if isinstance(data, ByteRange)
                for plane in planes(data)
            ),
        )

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        data: Array | None = getattr(self.source, layer)
        rows, columns = window.slices_in(self.source.window)
        local = Window(columns.start, rows.start, window.nx, window.ny)
        if isinstance(data, ByteRange) and len(data.shape) == 2 and out.ndim == 2:
            plane = self.ready.get(layer)
            if plane is None:
                plane = self.ready[layer] = PlaneReader(self.stream, data)
            plane.read(local, out)
            return
        stack = out[None] if out.ndim == 2 else out
        if data is None:
            check_absent(self.source.name, layer)
            stack[...] = 0
        elif isinstance(data, ByteRange):
            for each, image in zip(planes(data, first, len(stack)), stack, strict=True):
                read_rows(self.stream, each, local, image)
        else:
            unpacked = read_tiles(self.source.location, self.opened, data, local, first)
            for image, pixels in zip(stack, unpacked, strict=False):
                np.copyto(image, pixels, casting="unsafe")


def inspect(where: PathLike, *, anywhere: bool = False) -> ExposureFacts:
    """Read an exposure's headers and check that they agree with each other.

    A product in zarr is looked at by what it keeps of its FITS file.

    All pixels of an exposure without DQ are good; one without ERR is an exposure until ERR is
    asked for.

    Parameters
    ----------
    anywhere : bool
        Whether it may lie on no detector, such as a mosaic; see `read_facts`.

    Raises
    ------
    FileError
        If the file is missing, unreadable, truncated, not as FITS has it, or lacks SCI.
    ShapeError
        If SCI, ERR and DQ differ in shape, or SUBSIZE contradicts the array.
    WindowError
        If its window on the detector is unknown.
    """
    location = Location.of(where)
    if holds_group(location):
        from bkgflow.io.exposures.from_zarr import inspect_group

        return inspect_group(location)
    # Before the headers: a file that is written in between is then seen to have changed.
    identity = location.identity()
    hdus = walk(location, partial(check_standard, location))
    _check_whole(location, hdus)
    arrays = [_array(location, hdus, name) for name in LAYERS]
    shape = _common_shape(location, arrays)
    n_integrations = shape[0] if len(shape) == 3 else None
    sci, err, dq = arrays
    assert sci is not None  # `_array` would have said so
    summed = any(hdu.has_checksum for hdu in hdus.values())
    seen = None if location.is_local else expected(location.url)
    return read_facts(
        location,
        identity,
        shape,
        hdus["PRIMARY"].header.get,
        hdus["SCI"].header.get,
        lambda window: FitsSource(location, window, n_integrations, sci, err, dq, summed, seen),
        _variances(hdus, shape),
        tuple(name for name, array in zip(LAYERS, arrays, strict=True) if array is None),
        anywhere=anywhere,
    )


def _variances(hdus: Mapping[str, Hdu], shape: tuple[int, ...]) -> list[str]:
    """Return the names of the images that are variances of SCI."""
    found = [hdus[name] for name in VARIANCES if name in hdus]
    return [hdu.name for hdu in found if hdu.data.shape == shape and hdu.kind == "IMAGE"]


def _check_whole(location: Location, hdus: Hdus) -> None:
    model = str(hdus["PRIMARY"].header.get("DATAMODL", ""))
    if model.startswith("Multi"):
        raise FileError(
            "An exposure must be one image or one cube",
            file=location,
            value=f"a {model}, slits cut out of an exposure",
            cure="Give the exposure itself, as it was before it was cut",
        )


def _array(location: Location, hdus: Hdus, name: str) -> Array | None:
    """Say where an array is; None where it may be missing and is."""
    hdu = hdus.get(name)
    if hdu is None and name != "SCI":
        return None
    found = None if hdu is None else _stored(hdu)
    if hdu is None or found is None or not found.shape:
        among = ", ".join(key for key in hdus if key) or "none"
        raise FileError(
            "An exposure must have the image extension SCI",
            file=location,
            value=f"no SCI among {among}" if hdu is None
            else f"{name} is a {hdu.kind}" if found is None else f"{name} has no array",
            cure="Give a rate or rateints product of the pipeline's first stage",
        )  # fmt: skip
    if isinstance(found, ByteRange) and found.bitpix > 0 and hdu.header.get("BLANK") is not None:
        raise FileError(
            "Pixels without a value must be NaN",
            file=location,
            value=f"{name} holds whole numbers, one of which stands for none (BLANK)",
            cure="Store the array as float32",
        )
    return found


def _stored(hdu: Hdu) -> Array | None:
    """Return where the array of an HDU is; None where it is no image."""
    match hdu.kind:
        case "IMAGE":
            return hdu.data
        case "COMPRESSED":
            axes = range(hdu.header.whole("ZNAXIS"), 0, -1)
            return Tiles(hdu.index, tuple(hdu.header.whole(f"ZNAXIS{axis}") for axis in axes))
    return None


def _common_shape(location: Location, arrays: Sequence[Array | None]) -> tuple[int, ...]:
    shapes = {
        name: array.shape for name, array in zip(LAYERS, arrays, strict=True) if array is not None
    }
    shape = shapes["SCI"]
    if len(shape) not in (2, 3) or 0 in shape:
        raise ShapeError(
            "SCI must be an image (ny, nx) or a cube (n_integrations, ny, nx)",
            file=location,
            value=shape,
            cure="Give a rate or rateints product, not a ramp",
        )
    for name, other in shapes.items():
        if other != shape:
            raise ShapeError(
                f"{name} must have the shape of SCI",
                file=location,
                value=f"SCI {shape}, {name} {other}",
                cure="Make the product again; its extensions do not belong together",
            )
    return shape
