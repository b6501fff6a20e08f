"""A repository of icechunk as fsspec has folders of files: for whoever asks a URL what is there.

Keys of zarr are files, groups and arrays are folders. What is asked of a product's files counts
for the commit that was seen last when it was listed, so that all of them are of one version.
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NoReturn

from bkgflow.io.storage.icechunks import asking, last_store, place_of, remove_group
from bkgflow.io.storage.many_files import METADATA
from bkgflow.io.storage.reached import ICECHUNK
from bkgflow.io.storage.told import Answer

if TYPE_CHECKING:
    from icechunk import IcechunkStore

__all__ = ["CREATED", "IcechunkFiles"]

CREATED = "date_created"
"""Attribute of a product's group: when it was committed, by the name that ACDD has for it."""

AT_ONCE = 64
"""Questions that are under way at a time."""

_seen: dict[str, IcechunkStore] = {}
"""By repository, what it held when somebody last asked what is there."""


class IcechunkFiles:
    """The verbs of fsspec's file systems that `Remote` uses of one that has no conditions."""

    protocol = "icechunk"

    def invalidate_cache(self, path: str = "") -> None:
        """Every question but that for bytes looks anew."""

    def info(self, path: str) -> Answer:
        """Return what is there; `FileNotFoundError` where nothing is."""
        store, inside = self._now(path)
        with asking(ICECHUNK + path):
            from zarr.core.sync import sync

            found = sync(_info(store, inside))
        if not found:
            raise FileNotFoundError(errno.ENOENT, "nothing there", ICECHUNK + path)
        return {"name": path, **found}

    def ls(self, path: str, detail: bool = True) -> list[Answer]:
        """Return what lies in a folder."""
        store, inside = self._now(path)
        with asking(ICECHUNK + path):
            from zarr.core.sync import sync

            names = sync(_listed(store, inside))
            found = sync(_files(store, (f"{inside}/{each}".lstrip("/") for each in names
                                        if each == METADATA)))  # fmt: skip
        folders = [{"name": each, "type": "directory", "size": 0} for each in names
                   if each != METADATA]  # fmt: skip
        if not (found or folders):
            raise FileNotFoundError(errno.ENOENT, "nothing there", ICECHUNK + path)
        top = path.rstrip("/")
        files = [{**each, "name": METADATA} for each in found]
        return [{**each, "name": f"{top}/{each['name']}"} for each in (*files, *folders)]

    def find(self, path: str, detail: bool = True) -> dict[str, Answer]:
        """Return all files below a folder."""
        store, inside = self._now(path)
        with asking(ICECHUNK + path):
            from zarr.core.sync import sync

            keys = sync(_below(store, inside))
            found = sync(_files(store, keys))
        top = path.rstrip("/").removesuffix(inside).rstrip("/")
        return {name: {**each, "name": name} for each in found
                for name in (f"{top}/{each['name']}",)}  # fmt: skip

    def cat_file(self, path: str, start: int | None = None, end: int | None = None) -> bytes:
        """Return the bytes of a file, or some of them, as of the commit that was listed last."""
        root, inside = place_of(path)
        if (store := _seen.get(root)) is None:
            store, _ = self._now(path)
        with asking(ICECHUNK + path):
            from zarr.core.sync import sync

            data = sync(_bytes(store, inside)) if _is_key(inside) else None
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "no such file", ICECHUNK + path)
        return data[start:end]

    def rm_file(self, path: str) -> None:
        """Remove the group of a product, in one commit."""
        remove_group(ICECHUNK + path)

    def pipe_file(self, path: str, data: bytes, **_: object) -> NoReturn:
        """Refuse a single file."""
        said = "a repository of icechunk holds groups of zarr alone"
        raise OSError(errno.EROFS, said, ICECHUNK + path)

    def _now(self, path: str) -> tuple[IcechunkStore, str]:
        root, inside = place_of(path)
        _seen[root] = store = last_store(path)
        return store, inside


def _is_key(path: str) -> bool:
    """Whether it is what zarr calls a key: metadata, or a chunk."""
    return path.rpartition("/")[2] == METADATA or "/c/" in path


async def _info(store: IcechunkStore, path: str) -> Answer:
    if _is_key(path):
        if not await store.exists(path):
            return {}
        [found] = await _files(store, [path])
        return found
    return {"type": "directory", "size": 0} if await _listed(store, path) else {}


async def _listed(store: IcechunkStore, path: str) -> list[str]:
    return sorted({each.strip("/").rpartition("/")[2] async for each in store.list_dir(path)})


async def _below(store: IcechunkStore, path: str) -> list[str]:
    start = f"{path}/" if path else ""
    return [each async for each in store.list_prefix(path) if each.startswith(start)]


async def _files(store: IcechunkStore, keys: Iterable[str]) -> list[Answer]:
    """Return what is known of files: their sizes, and when their product was committed."""
    wanted, times, found = list(keys), dict[str, float](), list[Answer]()
    for top in {each.partition("/")[0] for each in wanted if "/" in each}:
        times[top] = await _committed(store, top)
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        sizes = await asyncio.gather(*map(store.getsize, some))
        found += [
            {"name": key, "type": "file", "size": size, "mtime": times.get(key.split("/")[0], 0.0)}
            for key, size in zip(some, sizes, strict=True)
        ]
    return found


async def _committed(store: IcechunkStore, group: str) -> float:
    """Return when a product was committed, as it says itself; 0 where it does not."""
    raw = await _bytes(store, f"{group}/{METADATA}")
    said = json.loads(raw or b"{}").get("attributes", {}).get(CREATED, "")
    try:
        return datetime.fromisoformat(said).timestamp()
    except (TypeError, ValueError):
        return 0.0


async def _bytes(store: IcechunkStore, key: str) -> bytes | None:
    from zarr.core.buffer import default_buffer_prototype

    found = await store.get(key, default_buffer_prototype())
    return None if found is None else found.to_bytes()
