"""Images of one's own, as people keep them: in any HDU of a FITS file, or in a numpy file."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.fits.cards import Cards
from bkgflow.io.fits.checksums import check_checksums
from bkgflow.io.fits.hdus import ByteRange, Hdu, read_hdus
from bkgflow.io.fits.planes import planes, read_rows
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import reading, understood

__all__ = ["ASDF_MAGIC", "StoredImage", "begins_with", "find_image"]

ASDF_MAGIC = b"#ASDF"
NPY_MAGIC = b"\x93NUMPY"

BESIDE = ("ERR", "DQ", "AREA", "WHT", "CON", "WMAP")
"""Images that stand beside the one that is meant, and VAR_* with them."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredImage:
    """A 2-D or 3-D array in a file, found but not read yet.

    Attributes
    ----------
    location : Location
        The file.
    name : str
        EXTNAME, or PRIMARY; empty for a numpy file.
    shape : tuple of int
        (ny, nx) or (n, ny, nx).
    keyword : callable
        The value of a keyword of the primary header; None where there is none.
    hdus : dict
        All HDUs of the file by name; empty for a numpy file.
    array : array or None
        What a numpy file holds.
    """

    location: Location
    name: str
    shape: tuple[int, ...]
    keyword: Callable[[str], object]
    hdus: dict[str, Hdu]
    data: ByteRange | None = None
    array: NDArray[np.generic] | None = None

    def read(
        self, part: Window | None = None, dtype: type[np.floating] = np.float32
    ) -> NDArray[np.floating]:
        """Return a part of its planes, or all of them: (n, ny, nx), of one for an image.

        ``part`` counts from the array's first column and row.
        """
        ny, nx = self.shape[-2:]
        part = part or Window(0, 0, nx, ny)
        out = np.empty((math.prod(self.shape[:-2]), *part.shape), dtype)
        if self.array is not None:
            stack = self.array.reshape(-1, ny, nx)
            np.copyto(out, stack[(..., *part.slices_in(Window(0, 0, nx, ny)))], casting="unsafe")
        elif self.data is not None:
            with self.location.open() as stream:
                for plane, image in zip(planes(self.data), out, strict=True):
                    read_rows(stream, plane, part, image)
        return out


def begins_with(where: PathLike, magic: bytes, what: str) -> bool:
    """Whether a file begins with some bytes; ``what`` it is stands in the error without one."""
    with Location.of(where).open(what) as stream, reading(stream):
        return stream.read(len(magic)) == magic


def find_image(where: PathLike, names: Sequence[str], what: str, cure: str) -> StoredImage:
    """Find the image or cube that a file is about.

    In FITS that is the extension of one of the names, wherever it stands; else the file's only
    image but for errors and flags. The primary HDU counts as any other.

    Parameters
    ----------
    names : sequence of str
        Extensions that are meant for certain, the best one first.
    what, cure : str
        What the file is, for errors: "A mask"; what can be done about a wrong one.

    Raises
    ------
    FileError
        If the file cannot be read, is neither FITS nor numpy's, or does not say which image
        is meant.
    """
    location = Location.of(where)
    if begins_with(location, NPY_MAGIC, what):
        return _from_numpy(location, what, cure)
    hdus = _all_hdus(location, what, cure)
    if any(hdu.has_checksum for hdu in hdus):
        check_checksums(location)
    images = [hdu for hdu in hdus if _is_image(hdu)]
    chosen = [hdu for name in names for hdu in images if hdu.name == name][:1]
    chosen = chosen or [hdu for hdu in images if not _stands_beside(hdu.name)]
    if len(chosen) != 1:
        found = ", ".join(_described(hdu) for hdu in hdus)
        raise FileError(
            f"{what} must be in {' or '.join(names)}, or the only image of its file, 2-D or 3-D",
            file=location,
            value=found,
            cure=cure,
        )
    by_name = {hdu.name: hdu for hdu in reversed(hdus)}
    keyword = _keyword(hdus[0].header, chosen[0].header)
    data = chosen[0].data
    return StoredImage(location, chosen[0].name, data.shape, keyword, by_name, data)


def _all_hdus(location: Location, what: str, cure: str) -> list[Hdu]:
    """Return all HDUs of a FITS file, those of one name and those without any too."""
    with location.open(what) as stream, reading(stream):
        if not stream.read(len(b"SIMPLE")).strip():
            raise FileError(f"{what} must not be an empty file", file=location, cure=cure)
        stream.seek(0)
        try:
            return list(read_hdus(location, stream))
        except FileError as problem:
            rule = f"{what} must be a FITS file that is all there, or a numpy file (.npy)"
            found = problem.value or problem.rule
            raise FileError(rule, file=location, value=found, cure=cure) from None


def _from_numpy(location: Location, what: str, cure: str) -> StoredImage:
    with location.open(what) as stream:
        content = io.BytesIO(stream.read())
    with understood(f"{what} must be a numpy file that can be read", location, cure):
        array: NDArray[np.generic] = np.load(content, allow_pickle=False)
    if array.ndim not in (2, 3) or 0 in array.shape or array.dtype.kind not in "biuf":
        raise FileError(
            f"{what} in a numpy file must be numbers, (ny, nx) or (n, ny, nx)",
            file=location,
            value=f"{array.dtype}, {array.shape}",
            cure=cure,
        )
    return StoredImage(location, "", array.shape, lambda _: None, {}, array=array)


def _is_image(hdu: Hdu) -> bool:
    kind = str(hdu.header.get("XTENSION", "IMAGE")).strip()
    return kind == "IMAGE" and len(hdu.data.shape) in (2, 3) and 0 not in hdu.data.shape


def _stands_beside(name: str) -> bool:
    return name in BESIDE or name.startswith("VAR_")


def _described(hdu: Hdu) -> str:
    kind = str(hdu.header.get("XTENSION", "IMAGE")).strip()
    what = hdu.data.shape if kind == "IMAGE" else f"a {kind}"
    if hdu.header.get("ZIMAGE"):
        what = "a compressed image (funpack it)"
    return f"{hdu.name or 'without a name'} {what if hdu.data.shape else 'without an array'}"


def _keyword(primary: Cards, own: Cards) -> Callable[[str], object]:
    """Look into the primary header, and then into the image's own."""

    def look(name: str) -> object:
        found = primary.get(name)
        return own.get(name) if found is None else found

    return look
