"""A campaign's store: one group for all products, made by the driver, listed when all is done."""

from __future__ import annotations

from bkgflow.errors import OutputError
from bkgflow.io.storage.disks import on_one_disk
from bkgflow.io.storage.icechunks import commit_root, is_icechunk
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.zarr.reading import holds_product, store_of
from bkgflow.io.zarr.writing import consolidate

__all__ = ["finish_store", "make_store"]


def make_store(store: Location, output: Location) -> None:
    """Make the group of a campaign's products, if it is not there.

    A list of what is below it, which an earlier run left, goes: it will not be true for long.

    Raises
    ------
    OutputError
        If it cannot be made there: it is something else, or lies on another file system than
        the output folder, in which products are prepared.
    """
    import zarr

    said = {"title": store.name, "source": "bkgflow"}
    try:
        if holds_product(store):
            raise OutputError(
                "A store must be a zarr group of products",
                file=store,
                value="one product",
                cure="Give another path (--store)",
            )
        if is_icechunk(store.url):
            commit_root(store.url, said)
            return
        group = zarr.open_group(store_of(store, read_only=False), mode="a", use_consolidated=False)
        group.update_attributes(said)
        if store.is_local and not on_one_disk(store, output):
            raise OutputError(
                "A store must lie on the file system of the output folder",
                file=store,
                value=f"the products are prepared in {output}, and renamed from there",
                cure="Give a store in the output folder, or beside it",
            )
    except OSError as problem:
        raise not_writable(store, problem) from problem
    except ValueError as problem:
        raise OutputError(
            "A store must be a zarr group of products",
            file=store,
            value=str(problem)[:200],
            cure="Give another path (--store)",
        ) from problem


def finish_store(store: Location) -> None:
    """List all that is in a store in its own metadata, so that one read finds every product.

    A repository of icechunk has such a list in each commit.
    """
    if is_icechunk(store.url):
        return
    try:
        consolidate(store_of(store, read_only=False))
    except OSError as problem:
        raise not_writable(store, problem) from problem
