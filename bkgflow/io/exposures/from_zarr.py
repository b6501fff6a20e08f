"""Exposures in zarr groups that bkgflow wrote: what was done to them can be looked at as any."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.exposures.facts import ExposureFacts, read_facts
from bkgflow.io.exposures.source import (
    VARIANCES,
    Layer,
    Pixels,
    Reader,
    check_absent,
    sky_keywords,
)
from bkgflow.io.fits.bounds import check_tree
from bkgflow.io.fits.tree import TREE, wcs_in
from bkgflow.io.storage.location import Location
from bkgflow.io.zarr.reading import Group, open_group

if TYPE_CHECKING:
    import zarr
    from gwcs import WCS

__all__ = ["ZarrSource", "inspect_group"]

LAYERS: tuple[Layer, ...] = ("sci", "err", "dq")


@dataclass(frozen=True, slots=True)
class ZarrSource:
    """See `Source`; a product in zarr.

    Attributes
    ----------
    absent : tuple of str
        Those of the layers that it has not.
    """

    format: ClassVar[str] = "zarr"

    location: Location
    window: Window
    n_integrations: int | None
    absent: tuple[str, ...] = ()

    def __dask_tokenize__(self) -> tuple[str, str]:
        """What tells it from another source."""
        return self.location.url, self.format

    @property
    def name(self) -> str:
        """The location."""
        return str(self.location)

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Open the group."""
        group = open_group(self.location)
        there = [name for name in LAYERS if name not in self.absent]
        yield _ZarrReader(self, group, {name: group.array(name) for name in there})

    def variances(self, window: Window) -> dict[str, NDArray[np.float32]]:
        """Read them; of a cube, of the first integration."""
        group = open_group(self.location)
        rows, columns = window.slices_in(self.window)
        found = {}
        for name in _variances_in(group):
            array = group.array(name.lower())
            where = (0, rows, columns) if array.ndim == 3 else (rows, columns)
            found[name] = np.asarray(group.read(array, where), np.float32)
        return found

    def wcs(self) -> WCS | None:
        """Return what the tree has as ``meta.wcs``."""
        tree = _tree_of(open_group(self.location))
        if tree is None:
            return None
        check_tree(tree, self.location)
        return wcs_in(tree, self.location)

    def has_wcs(self) -> bool:
        """Whether the tree has a ``meta.wcs``."""
        from bkgflow.io.fits.tree import says_wcs

        tree = _tree_of(open_group(self.location))
        return tree is not None and says_wcs(io.BytesIO(tree), len(tree))

    def sky_keywords(self) -> dict[str, str | float]:
        """Return what SCI's header has."""
        sci = open_group(self.location).named("SCI")
        return {} if sci is None else sky_keywords(sci.hdu.header.get)


@dataclass(frozen=True, slots=True)
class _ZarrReader:
    source: ZarrSource
    group: Group
    arrays: dict[Layer, zarr.Array[Any]]

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        array = self.arrays.get(layer)
        if array is None:
            check_absent(self.source.name, layer)
            out[...] = 0
            return
        rows, columns = window.slices_in(self.source.window)
        if array.ndim == 2:
            np.copyto(out, self.group.read(array, (rows, columns)), casting="unsafe")
            return
        some = slice(first, first + (len(out) if out.ndim == 3 else 1))
        pixels = self.group.read(array, (some, rows, columns))
        np.copyto(out if out.ndim == 3 else out[None], pixels, casting="unsafe")


def inspect_group(location: Location) -> ExposureFacts:
    """Read the headers of an exposure in zarr; see `bkgflow.io.exposures.from_fits.inspect`.

    Raises
    ------
    FileError
        If it is no group that bkgflow wrote, or lacks SCI.
    """
    identity = location.identity()
    group = open_group(location)
    sci = group.named("SCI")
    if sci is None or not sci.array:
        raise FileError(
            "An exposure must have the image extension SCI",
            file=location,
            value="none in the group",
            cure="Give the group of a product",
        )
    shape = sci.hdu.data.shape
    n_integrations = shape[0] if len(shape) == 3 else None
    there = {each.hdu.name for each in group.hdus if each.array}
    absent = tuple(name.upper() for name in LAYERS if name.upper() not in there)
    return read_facts(
        location,
        identity,
        shape,
        group.hdus[0].hdu.header.get,
        sci.hdu.header.get,
        lambda window: ZarrSource(
            location, window, n_integrations, tuple(each.lower() for each in absent)
        ),
        _variances_in(group),
        absent,
    )


def _variances_in(group: Group) -> list[str]:
    """Return the EXTNAME of the variances that a group has in the shape of SCI."""
    sci = group.named("SCI")
    found = {name: group.named(name) for name in VARIANCES}
    return [
        name
        for name, stored in found.items()
        if stored and sci and stored.array and stored.hdu.data.shape == sci.hdu.data.shape
    ]


def _tree_of(group: Group) -> bytes | None:
    stored = group.named(TREE)
    return None if stored is None else group.data(stored)[: stored.hdu.data.nbytes]
