"""Doubts about a mask of the user's: it may be inverted, or leave next to nothing."""

from __future__ import annotations

import numpy as np

from bkgflow.methods.arrays import Bools, Doubles, Flags, Reals
from bkgflow.methods.slitless.subtract import LEAST_FRACTION, usable_pixels

__all__ = ["mask_doubts"]

SAMPLE = 1 << 19  # pixels that are compared, of many

BRIGHTER = 0.02
"""Of the level: a sky that the reference does not show well may differ by less."""

SURE = 5.0  # standard errors

TAIL = 1.0  # percent at each end that the means leave out

MEANING = "1 must be background, 0 a source"


def mask_doubts(sci: Reals, dq: Flags, mask: Bools, templates: Reals) -> tuple[str, ...]:
    """Return what speaks against a mask, a sentence each.

    Sources only add light. A mask whose background is brighter than the rest, measured in the
    reference sky, has the sources where it says that there is none.

    Parameters
    ----------
    sci : (ny, nx) float
        The exposure.
    dq : (ny, nx) uint32
        Its flags: DO_NOT_USE pixels do not count.
    mask : (ny, nx) bool
        True for background.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies.
    """
    doubts = []
    share = float(mask.mean())
    if share <= LEAST_FRACTION:
        doubts.append(
            f"the mask leaves next to nothing: {100 * share:.2g} % of the pixels are background; "
            f"is it inverted? {MEANING}"
        )
    # Odd, so that it does not run along columns.
    some = slice(None, None, sci.size // SAMPLE | 1)
    chosen = mask.reshape(-1)[some]
    with np.errstate(all="ignore"):
        sky = templates.reshape(-1, sci.size)[:, some].sum(axis=0, dtype=np.float64)
        ratio = sci.reshape(-1)[some] / sky
        good = usable_pixels(np.isfinite(ratio), dq.reshape(-1)[some])
        background, rest = (_level(ratio[good & part]) for part in (chosen, ~chosen))
    if background is None or rest is None:
        return tuple(doubts)
    gap, error = background[0] - rest[0], float(np.hypot(background[1], rest[1]))
    if gap > max(SURE * error, BRIGHTER * abs(rest[0])):
        doubts.append(
            f"the background of the mask is brighter than the rest, {background[0]:.4g} to "
            f"{rest[0]:.4g} of the reference; is it inverted? {MEANING}"
        )
    return tuple(doubts)


def _level(ratios: Doubles) -> tuple[float, float] | None:
    """Return the mean without its tails, and its error; None where there is hardly a pixel."""
    if ratios.size < 2:
        return None
    low, high = np.percentile(ratios, (TAIL, 100 - TAIL))
    middle = ratios[(ratios >= low) & (ratios <= high)]
    return float(middle.mean()), float(middle.std() / np.sqrt(middle.size))
