"""Whether both sides made the same: speed without that would be worth nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["share_alike"]

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
"""Both sides store float32; the peer subtracts in float32 what we subtract in float64."""


def share_alike(ours: Path, peer: Path) -> float:
    """Return the share of pixels whose SCI and DQ are the same in both folders' products.

    Products are paired in the order of their names, which begin alike.

    Raises
    ------
    ValueError
        If the folders do not hold as many products.
    """
    alike = pixels = 0
    for own, other in zip(_products(ours), _products(peer), strict=True):
        with fits.open(own, memmap=False) as left, fits.open(other, memmap=False) as right:
            same = _same(left["SCI"].data, right["SCI"].data)
            same &= np.asarray(left["DQ"].data) == np.asarray(right["DQ"].data)
        alike += int(np.count_nonzero(same))
        pixels += same.size
    return alike / pixels


def _products(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.fits") if "combinedbackground" not in path.name)


def _same(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isclose(left, right, equal_nan=True, **TOLERANCE)
