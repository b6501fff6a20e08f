"""Products that are folders of files: put in their place at once, and known as one thing."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from bkgflow.io.storage.identity import Stamp

__all__ = [
    "METADATA",
    "PARTS",
    "below",
    "exchange",
    "grouped",
    "holds_products",
    "is_product",
    "put_in_place",
    "stamp_of",
    "sync_below",
]

METADATA, PARTS = "zarr.json", "fits"
"""What tells the folder of a product from any other: a group of zarr, and the group of all that
is no pixel in it. A folder with the first one alone is a store of products."""

SYNCS = 8
"""Files that are synced at a time."""

AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of Linux: paths count from the working folder; both names change their places."""

CANNOT = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}
"""What systems, and network disks, answer that cannot exchange two names."""


def is_product(path: Path) -> bool:
    """Whether a folder is a product."""
    return (path / METADATA).is_file() and (path / PARTS / METADATA).is_file()


def holds_products(path: Path) -> bool:
    """Whether a folder is a store with products in it."""
    return (path / METADATA).is_file() and not (path / PARTS).exists()


def below(folder: Path) -> Iterator[Path]:
    """Yield what lies in a folder and below it, folders after what is in them; in order."""
    for top, folders, files in os.walk(folder, topdown=False):
        folders.sort()
        for name in sorted(files):
            yield Path(top) / name
        if Path(top) != folder:
            yield Path(top)


def sync_below(folder: Path, sync: Callable[[Path], object]) -> None:
    """Have the file system keep all that lies below a folder; of a file, nothing does.

    Side by side, so that it waits for its journal once for many.
    """
    if folder.is_dir():
        with ThreadPoolExecutor(SYNCS, thread_name_prefix="bkgflow-sync") as pool:
            list(pool.map(sync, below(folder)))


def stamp_of(folder: Path) -> Stamp:
    """Return the bytes of all files of a product, and when its metadata were written.

    Raises
    ------
    OSError
        If it is no product.
    """
    when = (folder / METADATA).stat().st_mtime_ns
    (folder / PARTS / METADATA).stat()
    return Stamp(sum(each.stat().st_size for each in below(folder) if each.is_file()), when)


def grouped(files: Mapping[str, Stamp]) -> dict[str, Stamp]:
    """Return the files of a folder, and the products in it or in its stores, as one each.

    Parameters
    ----------
    files : mapping
        Of all files below the folder, by their paths from there.
    """
    mark = f"/{PARTS}/{METADATA}"
    tops = {path.removesuffix(mark) for path in files if path.endswith(mark)}
    tops = {top for top in tops if f"{top}/{METADATA}" in files and not top.startswith(".")}
    sizes = dict.fromkeys(tops, 0)
    for path, stamp in files.items():
        folders = path.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            if (top := "/".join(folders[:depth])) in sizes:
                sizes[top] += stamp.size
    single = {path: stamp for path, stamp in files.items() if "/" not in path}
    many = {top: Stamp(size, files[f"{top}/{METADATA}"].mtime_ns) for top, size in sizes.items()}
    return single | many


def exchange(one: Path, other: Path) -> bool:
    """Have two names change their places at once; return whether the system can."""
    call = _renameat2()
    if call is None:
        return False
    if call(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in CANNOT:
        return False
    raise OSError(number, os.strerror(number), str(other))


def put_in_place(scratch: Path, to: Path, by: Callable[[Path, Path], bool] = exchange) -> None:
    """Rename a file or folder, over an older one.

    A folder that is not empty cannot be renamed over: the two change their places at once, and
    the older one is then where the scratch was. Where the system cannot do that, the place is
    empty for a moment, and the older one waits beside it until the new one is there.

    Parameters
    ----------
    by : callable
        See `exchange`.
    """
    if not (scratch.is_dir() and to.is_dir()):
        scratch.replace(to)
        return
    if by(scratch, to):
        return
    old = scratch.with_name(f"{scratch.name}.old")
    to.rename(old)
    try:
        scratch.rename(to)
    except OSError:
        old.rename(to)
        raise


@cache
def _renameat2() -> Callable[..., int] | None:
    """Return the system's call, which Python has no name for."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
