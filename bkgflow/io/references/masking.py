"""By what sources are masked in exposures, as a plan keeps it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from bkgflow.errors import FileError
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

__all__ = ["WHAT", "Masking", "mask_file"]

Way = Literal["detect", "catalog", "segmentation", "folder"]

WHAT = "A map of sources"


@dataclass(frozen=True, slots=True)
class Masking:
    """How sources are masked.

    Attributes
    ----------
    way : str
        "detect" looks for them in each exposure; a "catalog" and a map of segments
        ("segmentation") are on the sky; a "folder" has a mask for each exposure.
    file : Location or None
        The catalog, the map or the folder.
    beside : Location or None
        What says where a map lies on the sky that does not say it itself: its mosaic.
    """

    way: Way
    file: Location | None = None
    beside: Location | None = None

    @property
    def projects(self) -> bool:
        """Whether it needs to know where an exposure lies on the sky."""
        return self.way in ("catalog", "segmentation")

    @property
    def words(self) -> str:
        """What a record says."""
        return self.way if self.file is None else f"{self.way} {self.file.name}"

    def identities(self) -> list[tuple[str, Identity]]:
        """Return which versions of which files decide about all masks, each with its role."""
        if self.way == "folder":
            return []  # each exposure has its own
        named = (("source mask", self.file), ("WCS of the source mask", self.beside))
        return [(name, each.identity(WHAT)) for name, each in named if each is not None]


def mask_file(folder: Location, exposure: Location) -> Location:
    """Return where the mask of an exposure is: NAME_mask.fits, NAME with or without its _rate.

    Raises
    ------
    FileError
        If it is not there.
    """
    stem = re.sub(r"\.fits(\.gz)?$|\.zarr$", "", exposure.name)
    names = dict.fromkeys((stem, re.sub(r"_[a-z0-9]+$", "", stem)))
    places = [folder / f"{name}_mask.fits" for name in names]
    for place in places:
        if place.is_file():
            return place
    raise FileError(
        "A folder of masks must hold one for every exposure that is masked",
        file=folder,
        value=f"no {' and no '.join(place.name for place in places)}",
        cure="Add it: 0 is sky, all else is masked; an image of zeros masks nothing",
    )
