"""Products as zarr groups and as FITS files: written, cut, and opened by the thousand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.contender import Work
from benchmarks.files import empty

__all__ = ["CUT", "cut_outs", "open_products", "write_product"]

CUT = 64
"""Side of a cut-out, in pixels."""


def _end(form: str) -> str:
    return f"product.{form}"


def _write(target: Path, to: Path, form: str) -> None:
    """Write an exposure as a product in which nothing was changed."""
    from bkgflow.io.exposures.from_fits import inspect
    from bkgflow.io.products.fits import FitsWriter
    from bkgflow.io.products.writer import Changes
    from bkgflow.io.products.zarr import ZarrWriter
    from bkgflow.io.storage.location import Location
    from bkgflow.record import Record
    from bkgflow.verdict import State, Verdict

    writer = ZarrWriter() if form == "zarr" else FitsWriter()
    verdict = Verdict(State.SKIPPED, "measured", record=Record("1"))
    with writer.open(inspect(target)) as opened:
        draft = opened.product(Changes(), verdict, Location.of(to))
    draft.publish()


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())


@contextmanager
def write_product(target: Path, folder: Path, form: str) -> Iterator[Work]:
    """Write one product, until the disk has it."""
    to = folder / _end(form)
    yield Work(
        lambda: _write(target, to, form),
        lambda: empty(folder),
        lambda: {"size": float(_size(to))},
    )


@contextmanager
def cut_outs(target: Path, folder: Path, form: str, number: int) -> Iterator[Work]:
    """Open a product and read one cut-out, again and again."""
    import zarr
    from astropy.io import fits

    empty(folder)
    path = folder / _end(form)
    _write(target, path, form)
    with fits.open(target) as hdus:
        corners = np.random.default_rng(1).integers(0, min(hdus["SCI"].shape) - CUT, (number, 2))

    def run() -> None:
        for y, x in corners:
            where = slice(y, y + CUT), slice(x, x + CUT)
            if form == "zarr":
                np.asarray(zarr.open_array(path / "sci", mode="r")[where])
            else:
                with fits.open(path, memmap=False) as hdus:
                    np.asarray(hdus["SCI"].section[where])

    yield Work(run)


@contextmanager
def open_products(target: Path, folder: Path, form: str, number: int) -> Iterator[Work]:
    """Open many products, so far that their arrays could be read."""
    import xarray as xr
    from astropy.io import fits

    empty(folder)
    first = folder / _end(form)
    _write(target, first, form)
    copies = [folder / f"{i:05d}.{form}" for i in range(number)]
    for copy in copies:
        shutil.copytree(first, copy) if first.is_dir() else shutil.copy(first, copy)

    def run() -> None:
        for copy in copies:
            if form == "zarr":
                xr.open_zarr(copy, chunks=None).close()
            else:
                with fits.open(copy) as hdus:
                    assert hdus["SCI"].shape

    yield Work(run)
