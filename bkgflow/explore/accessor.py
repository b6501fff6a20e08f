"""What Datasets and trees of exposures have as ``.bkgflow``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import xarray as xr

if TYPE_CHECKING:
    import pandas as pd
    from gwcs import WCS

    from bkgflow.io.storage.location import Location, PathLike

__all__ = ["DatasetAccessor", "TreeAccessor", "register"]


@cache
def register() -> None:
    """Give Datasets and DataTrees their ``.bkgflow``, once in a process."""
    xr.register_dataset_accessor("bkgflow")(DatasetAccessor)  # type: ignore[no-untyped-call]
    xr.register_datatree_accessor("bkgflow")(TreeAccessor)  # type: ignore[no-untyped-call]


class DatasetAccessor:
    """``dataset.bkgflow``: from a Dataset back to products, and to the sky."""

    def __init__(self, data: xr.Dataset) -> None:
        self._data = data

    @property
    def wcs(self) -> WCS | None:
        """The WCS of the exposure's file; None where it has none.

        It is that of the file's array: its pixel 0 is the first of the whole exposure, at the
        coordinates ``x`` and ``y`` that this has in the file.

        Raises
        ------
        FileError
            If the file cannot be read, or its WCS cannot.
        SettingsError
            If the Dataset is not that of one exposure.
        """
        from bkgflow.explore.products import wcs_of

        return wcs_of(self._data)

    def to_fits(self, path: PathLike, *, overwrite: bool = False) -> Location:
        """Write it as a JWST product; return where it is. It appears whole or not at all.

        What `bkgflow.subtract_background` gives becomes what `bkgflow.subtract` writes; what
        `bkgflow.combine` gives, a combined background; an exposure whose pixels were changed
        otherwise, the exposure with these pixels. Headers, tables and all other extensions are
        those of the exposure's file, which must still be there. Arrays are computed, and held
        while they are written.

        Parameters
        ----------
        path : path
            Of the FITS file.
        overwrite : bool
            Whether a file that is there is replaced.

        Raises
        ------
        ShapeError
            If it is a part of the exposure.
        OutputError
            If a file is there already, would replace an input, or cannot be written.
        """
        from bkgflow.explore.products import write_fits

        return write_fits(self._data, path, overwrite=overwrite)

    def to_zarr(self, store: Any, **options: Any) -> Any:
        """Do `xarray.Dataset.to_zarr` with chunks for cut-outs, in shards of whole frames.

        Types are as they are (DQ is uint32 in the store, too), and the dask chunks that are
        written are whole shards.

        Parameters
        ----------
        store : path, URL or store
            As xarray takes it.
        **options
            Of `xarray.Dataset.to_zarr`.
        """
        from bkgflow.explore.products import write_zarr

        return write_zarr(self._data, store, options)


class TreeAccessor:
    """``tree.bkgflow``: the exposures of a program, looked through and selected."""

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def table(self) -> pd.DataFrame:
        """Return a pandas table: a row for each exposure, a column for what is known of it."""
        import pandas as pd

        from bkgflow.explore.program import table

        return pd.DataFrame(table(self._tree))

    def select(self, **wanted: object) -> xr.DataTree:
        """Return a tree of the exposures whose coordinates are as wanted.

        ``select(filter="F277W", role="background")``; values may be patterns (``"F2*"``), lists,
        or functions that say whether a value is wanted.

        Raises
        ------
        SettingsError
            If no exposure has such a coordinate, or none is as wanted.
        """
        from bkgflow.explore.program import select

        return select(self._tree, wanted)

    def exposures(self) -> list[xr.Dataset]:
        """Return all exposures of the tree as Datasets."""
        return [each.to_dataset() for each in self._tree.leaves if "path" in each.attrs]
