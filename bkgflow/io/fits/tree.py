"""The ASDF tree that stdatamodels keeps in a FITS file, read without a data model."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from bkgflow.io.fits.bounds import check_tree
from bkgflow.io.fits.hdus import Hdu, walk
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import reading, understood

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["TREE", "has_wcs", "read_tree", "read_wcs", "says_wcs", "unvalidated", "wcs_in"]

TREE = "ASDF"
"""EXTNAME of the tree: an ASDF file in the one cell of a table."""


YAML_END = b"\n...\n"
"""What ends the part of a tree that is text; arrays follow."""

WCS_KEY = re.compile(rb"(?m)^  wcs:\s*[!&{]")
"""``meta.wcs`` as asdf writes it, with something in it."""

PART = 1 << 16  # bytes of a tree that are read at a time


@contextmanager
def unvalidated() -> Iterator[None]:
    """Have asdf take a tree as it is read: it was validated when it was written."""
    import asdf  # most files are read without it

    # What asdf found of its extensions is kept with the shared configuration alone: asked for
    # within the context, they would be searched anew for every file.
    shared = asdf.get_config()
    _ = shared.extensions, shared.resource_manager
    with asdf.config_context() as config:
        config.validate_on_read = False
        yield


def read_tree(file: PathLike, stream: BinaryIO, hdu: Hdu) -> bytes:
    """Return the ASDF file in a FITS file's extension; `FileError` if nobody should read it."""
    stream.seek(hdu.data.offset)
    content = stream.read(hdu.data.nbytes)
    check_tree(content, file)
    return content


def read_wcs(location: Location) -> WCS | None:
    """Return the ``meta.wcs`` of a file's tree; None where it has none.

    Raises
    ------
    FileError
        If the file cannot be read, or its tree not be understood.
    """
    hdu = walk(location).get(TREE)
    if hdu is None:
        return None
    with location.open() as stream, reading(stream):
        content = read_tree(location, stream, hdu)
    return wcs_in(content, location)


def wcs_in(content: bytes, file: PathLike) -> WCS | None:
    """Return the ``meta.wcs`` of a tree that may be read; `FileError` if nobody understands it."""
    import asdf

    rule = "The ASDF tree of an exposure must be readable"
    cure = "Fetch the file again, or make it again with the pipeline"
    # For every tag there would be a warning of the versions of asdf's extensions.
    with understood(rule, file, cure), unwarned(), unvalidated():
        # Never closed: it is memory, and arrays of the tree may be asked for later.
        tree = asdf.open(io.BytesIO(content)).tree
    return tree.get("meta", {}).get("wcs")


def has_wcs(location: Location) -> bool:
    """Whether a file's tree has a ``meta.wcs``, told by its text: nothing is made of it.

    Raises
    ------
    FileError
        If the file cannot be read.
    """
    hdu = walk(location).get(TREE)
    if hdu is None:
        return False
    with location.open() as stream, reading(stream):
        stream.seek(hdu.data.offset)
        return says_wcs(stream, hdu.data.nbytes)


def says_wcs(stream: BinaryIO, size: int) -> bool:
    """Whether the tree of so many bytes that begins where a stream stands has a ``meta.wcs``."""
    text = b""
    while len(text) < size and YAML_END not in text[-PART - len(YAML_END) :]:
        text += stream.read(min(PART, size - len(text))) or YAML_END
    return WCS_KEY.search(text.partition(YAML_END)[0]) is not None
