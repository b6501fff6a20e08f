"""A product's group opened: its arrays, and the FITS file that it holds."""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from bkgflow.errors import FileError
from bkgflow.io.fits.cards import BLOCK, Cards
from bkgflow.io.fits.hdus import Hdu, hdu_of
from bkgflow.io.storage.icechunks import is_icechunk, last_store, place_of
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.many_files import METADATA, PARTS
from bkgflow.io.storage.reached import s3_options
from bkgflow.io.storage.reading import understood
from bkgflow.io.storage.remote import Remote
from bkgflow.io.zarr.attributes import LAYOUT
from bkgflow.io.zarr.layout import FITS, Pixels, Untyped

if TYPE_CHECKING:
    import zarr
    from zarr.storage import FsspecStore, LocalStore, StorePath

    ZarrArray = zarr.Array[Any]

__all__ = [
    "Group",
    "StoredHdu",
    "groups_of",
    "holds_group",
    "holds_product",
    "open_group",
    "store_of",
]

SUFFIXES = (".zarr", ".icechunk")

RULE = "A product in zarr must be a whole group that bkgflow wrote"

CURE = "Make it again, or give the group of one product"

Where = int | slice | EllipsisType | tuple[int | slice, ...]
"""Which part of an array."""


@dataclass(frozen=True, slots=True)
class StoredHdu:
    """One HDU as a group has it.

    Attributes
    ----------
    hdu : Hdu
        With its header; where its data begin is where they would in the FITS file.
    array : str
        Name of its array of pixels; empty where it has none.
    data : slice
        Its bytes, or those that pad its pixels, in ``fits/data``.
    """

    hdu: Hdu
    array: str
    data: slice


@dataclass(frozen=True, eq=False)
class Group:
    """An open product."""

    location: Location
    group: zarr.Group

    @cached_property
    def hdus(self) -> tuple[StoredHdu, ...]:
        """All HDUs, in the order of the FITS file.

        Raises
        ------
        FileError
            If the group is none that bkgflow wrote, or damaged.
        """
        with self._reading():
            fits: Untyped = self.group[FITS]
            cards = np.asarray(fits["cards"]).tobytes()
            width, place, found = 80, 0, []
            for index, each in enumerate(fits.attrs["hdus"]):
                first, stop = each["cards"]
                raw = cards[first * width : stop * width]
                raw += b" " * (-len(raw) % BLOCK)
                hdu = hdu_of(self.location, Cards(self.location, raw), place + len(raw), index)
                place = hdu.stop
                found.append(StoredHdu(hdu, str(each["array"]), slice(*each["data"])))
            return tuple(found)

    def named(self, name: str) -> StoredHdu | None:
        """Return the first HDU of a name; None where there is none."""
        return next((each for each in self.hdus if each.hdu.name == name), None)

    def array(self, name: str) -> ZarrArray:
        """Return an array of pixels, which is not read yet."""
        with self._reading():
            found: Untyped = self.group[name]
        if not hasattr(found, "shape"):
            raise FileError(RULE, file=self.location, value=f"{name} is no array", cure=CURE)
        array: ZarrArray = found
        return array

    def read(self, array: ZarrArray, where: Where) -> Pixels:
        """Return a part of an array; `FileError` where the store does not give it."""
        with self._reading():
            pixels: Pixels = np.asarray(array[where])
            return pixels

    def data(self, hdu: StoredHdu) -> bytes:
        """Return the bytes of an HDU that is no array; of one that is, those that pad it."""
        if hdu.data.stop <= hdu.data.start:
            return b""
        with self._reading():
            kept: Untyped = self.group[f"{FITS}/data"]
            return np.asarray(kept[hdu.data]).tobytes()

    def check_whole(self) -> None:
        """See that every shard of every array is there, as it was written, and can be opened.

        zarr itself takes a shard that is missing for one of which nobody has written a pixel.

        Raises
        ------
        FileError
            If one is not.
        """
        for name in filter(None, (each.array for each in self.hdus)):
            array = self.array(name)
            with self._reading():
                size = array.shards or array.chunks
                number = prod(-(-n // step) for n, step in zip(array.shape, size, strict=True))
                inner = prod(a // b for a, b in zip(size, array.chunks, strict=True))
                there = array.nchunks_initialized // inner
            if there < number:
                found = f"{number - there} of {number} shards of {name} missing"
                raise FileError(RULE, file=self.location, value=found, cure=CURE)
            corners = (range(0, n, step) for n, step in zip(array.shape, size, strict=True))
            for corner in product(*corners):
                self.read(array, corner)  # a shard that was cut has no index

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with understood(RULE, self.location, CURE):
            yield


def holds_group(location: Location) -> bool:
    """Whether a location is that of a group: on a disk a folder with its metadata, else by name."""
    if location.is_local:
        try:
            return location.is_dir() and (location / METADATA).is_file()
        except (OSError, ValueError):  # it is said when it is opened
            return False
    path = location.url.partition("://")[2]
    return any(part.endswith(SUFFIXES) for part in path.split("/"))


def holds_product(location: Location) -> bool:
    """Whether the group of one product is there, not a store of several, and not half of one."""
    return all((location / name).is_file() for name in (METADATA, f"{PARTS}/{METADATA}"))


def store_of(location: Location, *, read_only: bool = True) -> LocalStore | FsspecStore | StorePath:
    """Return the store whose root a location is; in a repository of icechunk, at its last commit.

    That one is to be read alone: it is written by commits.
    """
    from zarr.storage import FsspecStore, LocalStore, StorePath  # half a second

    if is_icechunk(location.url):
        return StorePath(last_store(location.url), place_of(location.url)[1])

    if location.is_local:
        return LocalStore(location.path, read_only=read_only)
    remote = Remote.of(location.url)
    if not remote.is_s3:
        return FsspecStore.from_url(location.url, read_only=read_only)
    return FsspecStore(_s3(), read_only=read_only, path=remote.path)


_systems: dict[int, tuple[Untyped, Untyped]] = {}


def _s3() -> Untyped:
    """Return the one S3 file system of this process that zarr asks, from its own thread.

    fsspec would make one for every thread, and leave their connections open at the end.
    """
    import fsspec

    options = s3_options()
    _, system = _systems.get(id(options), (None, None))
    if system is None:
        system = fsspec.filesystem("s3", asynchronous=True, skip_instance_cache=True, **options)
        _systems[id(options)] = options, system  # the id is theirs as long as they live
        atexit.register(_close, system)
    return system


def _close(system: Untyped) -> None:
    """Close the connections of a file system, in the thread that they were opened in."""
    from zarr.core.sync import sync

    with suppress(Exception):  # it was never asked, or the thread has ended
        sync(system.s3.close(), timeout=2)


def groups_of(location: Location) -> list[Location]:
    """Return the products in a store, by name; of the group of one product, itself."""
    import zarr

    group = zarr.open_group(store_of(location), mode="r", use_consolidated=False)
    if "bkgflow_layout" in group.attrs:
        return [location]
    names = sorted(name for name, _ in group.groups())
    return [location / name for name in names if not name.startswith(".")]


def open_group(location: Location) -> Group:
    """Open the group of a product.

    Raises
    ------
    FileError
        If there is none, or it is none that this version of bkgflow can read.
    """
    import zarr

    with understood(RULE, location, CURE):
        found = zarr.open_group(store_of(location), mode="r")
        layout = found.attrs.get("bkgflow_layout")
    if layout is None or FITS not in found:
        raise FileError(RULE, file=location, value="another group", cure=CURE)
    if layout != LAYOUT:
        raise FileError(
            "A product in zarr must have a layout that this bkgflow knows",
            file=location,
            value=f"layout {layout}, known is {LAYOUT}",
            cure="Use the bkgflow that wrote it, or a later one",
        )
    return Group(location, found)
