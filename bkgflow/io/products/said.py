"""What products say of themselves, read without a data model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from bkgflow.errors import FileError
from bkgflow.io.fits.tree import TREE, read_tree
from bkgflow.io.products.nodes import Tree
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading
from bkgflow.io.zarr.stream import open_product, walk_product

__all__ = ["Said", "file_called", "read_said"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a product says of what bkgflow has done.

    Attributes
    ----------
    record : mapping or None
        Its ``meta.bkgflow``; None where bkgflow did not write it.
    exp_type : str
        EXP_TYPE, in capitals.
    file_name : str
        FILENAME: what it was called when it was written.
    state : str
        S_BKDSUB.
    """

    record: Mapping[str, object] | None
    exp_type: str = ""
    file_name: str = ""
    state: str = ""


def file_called(name: str) -> str:
    """Return what the FITS file of a product is called, by the name that a folder has for it."""
    last = name.rpartition("/")[2]
    return last if last.endswith(".fits") else f"{last.removesuffix('.zarr')}.fits"


def read_said(location: Location) -> Said:
    """Read the headers and the tree of a file; its pixels must be there, and are not read.

    Raises
    ------
    FileError
        If it is no FITS file, not whole, or its tree cannot be understood.
    """
    hdus = walk_product(location)
    header = hdus["PRIMARY"].header
    words = [str(header.get(each) or "").strip() for each in ("EXP_TYPE", "FILENAME", "S_BKDSUB")]
    record = None
    if TREE in hdus:
        with open_product(location) as stream, reading(stream):
            content = read_tree(location, stream, hdus[TREE])
        record = _record(location, content)
    return Said(record, words[0].upper(), words[1], words[2])


def _record(location: Location, content: bytes) -> Mapping[str, object] | None:
    try:
        node = Tree(content).at("meta.bkgflow")
        found = (
            None if node is None else yaml.constructor.SafeConstructor().construct_document(node)
        )
    except (ValueError, yaml.YAMLError, RecursionError) as problem:
        raise FileError(
            "The tree of a product must be readable",
            file=location,
            value=str(problem).splitlines()[0][:200],
            cure="Do its unit again: bkgflow run, with the program of before",
        ) from None
    return found if isinstance(found, dict) else None
