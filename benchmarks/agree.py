"""Whether both sides made the same: speed without that would be worth nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits

__all__ = ["share_alike"]

ROUNDING = 32 * float(np.finfo(np.float32).eps)
"""What float32 may lose, relative to the pixel's own values: the peer averages the integrations
of a cube in it, some of which are far brighter than their mean."""


def share_alike(scratch: Path) -> float:
    """Return the share of pixels whose SCI and DQ are the same in both sides' products.

    Parameters
    ----------
    scratch : Path
        With the products in ``ours`` and ``peer``, and the targets in ``floor``; those of one
        target have names that sort alike.

    Raises
    ------
    ValueError
        If the folders do not hold as many files.
    """
    alike = pixels = 0
    folders = (sorted((scratch / name).glob("*.fits")) for name in ("ours", "peer", "floor"))
    for paths in zip(*folders, strict=True):
        ours, peer, target = (fits.getdata(path, "SCI") for path in paths)
        with np.errstate(invalid="ignore"):
            near = np.abs(ours - peer) <= ROUNDING * (np.abs(target) + np.abs(target - ours))
        near |= np.isnan(ours) & np.isnan(peer)
        flags = [fits.getdata(path, "DQ") for path in paths[:2]]
        alike += int(np.count_nonzero(near & (flags[0] == flags[1])))
        pixels += near.size
    return alike / pixels
