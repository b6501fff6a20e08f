"""What is done to the strips of exposures before they are combined: masked, brought to a level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.source import Source
from bkgflow.io.products.writer import Plane
from bkgflow.kinds.looks import Mask
from bkgflow.methods.scales import Regions, Scales, levelled

__all__ = ["Adjusted", "Adjustments", "hide"]


@dataclass(frozen=True, slots=True, eq=False)
class Adjusted:
    """What was done to the members of a combined background in a band.

    Attributes
    ----------
    masked, seen : (n,) int64, or None
        How many pixels of each member are masked in the band, and how many it has there; None
        where nothing is masked.
    scales : Scales or None
        What was done to their levels.
    regions : tuple of int
        The numbers of the regions that were scaled apart; empty for one.
    """

    masked: NDArray[np.int64] | None = None
    seen: NDArray[np.int64] | None = None
    scales: Scales | None = None
    regions: tuple[int, ...] = ()


def hide(sci: Plane, mask: Mask, window: Window) -> int:
    """Make the masked pixels of an exposure NaN in a window, in place; return how many they are.

    ``sci`` is (ny, nx) float, or a cube of such.
    """
    masked = mask.over(window)
    sci[..., masked] = np.nan
    return int(np.count_nonzero(masked))


@dataclass(eq=False)
class Adjustments:
    """What is done to the strips of a family, and what it came to.

    Attributes
    ----------
    masks : sequence of Mask
        Of each exposure; empty where nothing is masked.
    regions : Regions
        Of the family's window.
    window : Window
        That of the family, which ``regions`` covers.
    scales : sequence of (Scales or BkgflowError)
        For each set; empty where nothing is scaled.
    """

    window: Window
    masks: Sequence[Mask] = ()
    regions: Regions = field(default_factory=Regions)
    scales: Sequence[Scales | BkgflowError] = ()

    def __post_init__(self) -> None:
        """Begin to count."""
        self._masked, self._seen = np.zeros((2, len(self.masks)), np.int64)
        self._sci: Plane | None = None
        self._err: Plane | None = None

    def hide(self, number: int, source: Source, sci: Plane, strip: Window) -> None:
        """Make the masked pixels of an exposure's strip NaN, in place: (rows, nx) or a cube.

        Of a cube before its mean is taken: flags of what takes no part are joined, whatever
        share of its integrations must have them.
        """
        if self.masks:
            self._masked[number] += hide(sci, self.masks[number], strip)
            held = source.window.overlap(strip)
            self._seen[number] += held.nx * held.ny if held else 0

    def levelled(
        self, number: int, members: Sequence[int], sci: Plane, err: Plane | None, strip: Window
    ) -> tuple[Plane, Plane | None]:
        """Return SCI and ERR of a strip as one set has them: the levels of its members changed.

        They are float64 then, and overwritten by the next call.
        """
        if not self.scales or isinstance(scales := self.scales[number], BkgflowError):
            return sci, err
        self._sci = own = _like(self._sci, sci)
        index = None
        if self.regions.index is not None:
            index = self.regions.index[strip.slices_in(self.window)]
        for place, i in enumerate(members):
            levelled(sci[i], index, scales.offset[place], scales.factor[place], own[i])
        if err is None:
            return own, err
        self._err = errors = _like(self._err, err)
        for place, i in enumerate(members):
            factor = np.abs(scales.factor[place])
            levelled(err[i], index, np.zeros_like(factor), factor, errors[i])
        return own, errors

    def refused(self, number: int) -> BkgflowError | None:
        """Return why a set cannot be combined; None where it can."""
        found = self.scales[number] if self.scales else None
        return found if isinstance(found, BkgflowError) else None

    def of(self, number: int, members: Sequence[int]) -> Adjusted:
        """Return what was done to the members of a set."""
        at = list(members)
        scales = self.scales[number] if self.scales else None
        return Adjusted(
            self._masked[at] if self.masks else None,
            self._seen[at] if self.masks else None,
            None if isinstance(scales, BkgflowError) else scales,
            self.regions.numbers if self.regions.index is not None else (),
        )


def _like(held: Plane | None, wanted: Plane) -> Plane:
    """Return a float64 array of a shape, the one that is held where it has it."""
    if held is not None and held.shape == wanted.shape:
        return held
    return np.empty(wanted.shape)
