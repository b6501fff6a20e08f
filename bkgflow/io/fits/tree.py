"""The ASDF tree that stdatamodels keeps in a FITS file, read without a data model."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asdf

from bkgflow.io.fits.hdus import walk
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading, understood

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["TREE", "read_wcs", "unvalidated"]

TREE = "ASDF"
"""EXTNAME of the tree: an ASDF file in the one cell of a table."""


@contextmanager
def unvalidated() -> Iterator[None]:
    """Have asdf take a tree as it is read: it was validated when it was written."""
    # What asdf found of its extensions is kept with the shared configuration alone: asked for
    # within the context, they would be searched anew for every file.
    shared = asdf.get_config()
    _ = shared.extensions, shared.resource_manager
    with asdf.config_context() as config:
        config.validate_on_read = False
        yield


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
        stream.seek(hdu.data.offset)
        content = io.BytesIO(stream.read(hdu.data.nbytes))
    rule = "The ASDF tree of an exposure must be readable"
    cure = "Fetch the file again, or make it again with the pipeline"
    with understood(rule, location, cure), warnings.catch_warnings(), unvalidated():
        warnings.simplefilter("ignore")  # of versions of asdf's extensions, for every tag
        # Never closed: it is memory, and arrays of the tree may be asked for later.
        tree = asdf.open(content).tree
    return tree.get("meta", {}).get("wcs")
