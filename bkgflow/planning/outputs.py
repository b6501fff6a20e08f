"""What products are stored as, and where: files, or groups of zarr, in a folder or in a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bkgflow.errors import UsageError
from bkgflow.io.storage.icechunks import check_installed, is_icechunk, place_of
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reached import ICECHUNK
from bkgflow.io.storage.space import name_in
from bkgflow.io.zarr.layout import writing_bytes

__all__ = ["FORMATS", "Outputs"]

FORMATS: Mapping[str, str] = {"fits": ".fits", "zarr": ".zarr"}
"""What products may be stored as, and how their names end then."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """How the products of a plan are stored.

    Attributes
    ----------
    format : str
        One of `FORMATS`.
    store : Location or None
        A zarr store that all of them lie in, a group each; None where each is for itself.
    """

    format: str = "fits"
    store: Location | None = None

    @classmethod
    def of(cls, format: str | None = None, store: PathLike | None = None) -> Outputs:
        """Check what a user says; products in a store are zarr without being asked.

        Raises
        ------
        UsageError
            If there is no such format, or it has no stores.
        """
        where = None if not store else Location.of(store)
        chosen = format or ("fits" if where is None else "zarr")
        if chosen not in FORMATS:
            raise UsageError(
                f"The format of products must be among: {', '.join(FORMATS)}",
                value=chosen,
                cure="Give one of these (--format, format=)",
            )
        if where is not None and is_icechunk(where.url):
            check_installed(where.url)
            root, _ = place_of(where.url)
            where = Location(f"{ICECHUNK}{root}")
        if where is not None and chosen != "zarr":
            raise UsageError(
                "A store must hold products in zarr",
                value=f"format {chosen}, store {where}",
                cure='Give --format zarr (format="zarr"), or no store',
            )
        return cls(chosen, where)

    def held(self, shape: tuple[int, ...]) -> int:
        """Return the bytes of memory that a format takes beside what any product does."""
        return writing_bytes(shape) if self.format == "zarr" else 0

    def name(self, file: str, folder: Location) -> str:
        """Return by what name an output folder has a product.

        Parameters
        ----------
        file : str
            The name of its FITS file.
        """
        stem = file.removesuffix(FORMATS["fits"])
        if self.store is None:
            return stem + FORMATS[self.format]
        return name_in(folder, self.store / stem)
