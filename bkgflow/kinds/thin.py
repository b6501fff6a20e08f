"""Fits that rest on little: when a user is told, and when they are not to be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Scaled", "thin_fits", "too_uncertain"]

FEW_PIXELS = 500
"""Fewer than this, and what is wrong with some of them is what the scale says."""

WIDE = 0.3
"""Of a scale, an error that a user should know of; good fits quote up to a fifth."""


class Scaled(NamedTuple):
    """A scale that was fitted: how it is called, its value and error, and its pixels."""

    name: str
    value: float
    error: float
    pixels: int

    @property
    def relative_error(self) -> float:
        """Error over scale; infinite where the scale is 0 or either is none."""
        known = self.value != 0 and math.isfinite(self.value) and math.isfinite(self.error)
        return abs(self.error / self.value) if known else math.inf


def thin_fits(found: Iterable[Scaled]) -> tuple[str, ...]:
    """Return a sentence for each scale that rests on few pixels, or whose error is wide."""
    words = []
    for each in found:
        if each.pixels < FEW_PIXELS:
            words.append(f"{each.name} rests on {each.pixels} pixels, which are few")
        if each.relative_error > WIDE:
            words.append(f"{each.name} is uncertain: {_in_words(each)}")
    return tuple(words)


def too_uncertain(found: Iterable[Scaled], limit: float | None, option: str) -> str:
    """Return why a fit is not used: an error above the limit; empty where all are below."""
    bad = [each for each in found if limit is not None and each.relative_error > limit]
    said = "; ".join(f"{each.name} {_in_words(each)} from {each.pixels} pixels" for each in bad)
    return f"The fit is too uncertain: {said}; {option} allows {limit:.3g}" if bad else ""


def _in_words(each: Scaled) -> str:
    share = f"{each.relative_error:.0%}" if math.isfinite(each.relative_error) else "all"
    return f"{each.value:.4g} ± {each.error:.2g} ({share} of it)"
