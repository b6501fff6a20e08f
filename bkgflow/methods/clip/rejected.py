"""Which values a clip drops: the usual rule plainly, pixel by pixel, the others as they are.

Nothing that is subtracted comes from here: it shows people what the compiled loops decide.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import SettingsError
from bkgflow.methods.arrays import Bools, Reals, Words
from bkgflow.rules import ClipRule, StackRule

__all__ = ["errors_needed", "rejected"]


def rejected(
    sci: Reals, rule: StackRule, err: Reals | None = None, dq: Words | None = None
) -> Bools:
    """Return which values of a stack a clip rejects.

    Parameters
    ----------
    sci : (n, ...) float32 or float64
        Values along the first axis; what is not finite takes no part and is not rejected.
    err, dq : (n, ...) float32 or float64, uint32
        For a rule that looks at them; a value that takes no part because of these is not
        rejected either.

    Returns
    -------
    (n, ...) bool
        Outside the bounds of the last iteration, which are inclusive; or what another rule drops.

    Raises
    ------
    SettingsError
        The rule needs ERR, and there is none.
    """
    if rule.usual:
        return _far(sci, rule.clip)
    if err is None and rule.needs_errors:
        raise errors_needed(rule)
    from bkgflow.methods.clip.ruled import dropped_by_rule

    flat = (len(sci), 1, -1)
    flags = np.zeros(sci.shape, np.uint32) if dq is None else dq
    errors = None if err is None else err.reshape(flat)
    return dropped_by_rule(sci.reshape(flat), errors, flags.reshape(flat), rule).reshape(sci.shape)


def errors_needed(rule: StackRule) -> SettingsError:
    """Return what is wrong where there is no ERR for a rule that looks at it."""
    return SettingsError(
        "A rule that looks at ERR must be given it",
        value=f"clip={rule.clip.method}, combine={rule.combine}, no ERR",
        cure="Give ERR, or take another rule",
    )


def _far(sci: Reals, rule: ClipRule) -> Bools:
    """Return what is outside the bounds of the usual rule."""
    values = np.where(np.isfinite(sci), sci, np.nan).astype(np.float64)
    valid = ~np.isnan(values)
    kept, rounds = valid.copy(), 0
    outside = np.zeros(values.shape, bool)
    if not rule.can_clip(len(sci)):  # where the compiled loops do not look either
        return outside
    while rule.maxiters in (None, 0) or rounds < rule.maxiters:
        low, high = _bounds(np.where(kept, values, np.nan), rule.sigma)
        # Without a value that is left there are no bounds, and nothing is within them.
        outside = valid & ~((values >= low) & (values <= high))
        inside = kept & ~outside
        if np.array_equal(inside, kept):
            break
        kept, rounds = inside, rounds + 1
    return outside


def _bounds(values: NDArray[np.float64], sigma: float) -> tuple[Reals, Reals]:
    """Return median ± sigma standard deviations along the first axis; NaN where all are NaN."""
    ordered = np.sort(values, axis=0)  # NaN last
    number = np.sum(~np.isnan(ordered), axis=0)
    empty = number == 0
    between = [np.where(empty, 0, place)[None] for place in ((number - 1) // 2, number // 2)]
    middle = sum(np.take_along_axis(ordered, place, 0)[0] for place in between) / 2
    some = np.maximum(number, 1)
    mean = np.nansum(values, axis=0) / some
    spread = np.sqrt(np.nansum(np.square(values - mean), axis=0) / some)
    return middle - sigma * spread, middle + sigma * spread
