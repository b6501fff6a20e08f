"""Sigma-clipped averages: many exposures to one image, many integrations to one.

The clip is that of ``astropy.stats.sigma_clip`` along the first axis with its defaults: median
centre, population standard deviation, float64, inclusive bounds, non-finite values ignored;
the bounds of the last iteration hold for all values, so that one rejected early can come back.
Only a value within rounding (1e-15 or so, relative) of a bound may fall on the other side,
because the sums behind the standard deviation add up in another order.

ERR and DQ follow SCI: ERR is the quadrature sum of what was kept over its number, DQ the OR
of everything, clipped or not. A pixel without any value is NaN with ``n_used`` = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bkgflow.errors import SettingsError, ShapeError
from bkgflow.methods._compiled import sorting_network
from bkgflow.methods._kernels import average

__all__ = ["Collapsed", "Combined", "can_clip", "collapse", "combine"]

Reals = NDArray[np.float32] | NDArray[np.float64]

MOST_EXPOSURES = 65535
"""The largest number that ``n_used`` (uint16) can hold."""


@dataclass(frozen=True, slots=True)
class Combined:
    """The average of several exposures, per pixel of (ny, nx).

    Attributes
    ----------
    sci : float32, the unit of the input
        Mean of what was kept; NaN where there is nothing.
    err : float32, the unit of the input
        Uncertainty of that mean; NaN where there is nothing, or where a kept ERR is NaN. It has
        no rows where ERR was not asked for.
    dq : uint32
        Bitwise OR of all inputs, kept or not.
    n_used : uint16
        How many values were kept.
    """

    sci: NDArray[np.float32]
    err: NDArray[np.float32]
    dq: NDArray[np.uint32]
    n_used: NDArray[np.uint16]

    def rows(self, part: slice) -> Combined:
        """Return a view of some rows."""
        return Combined(self.sci[part], self.err[part], self.dq[part], self.n_used[part])


@dataclass(frozen=True, slots=True)
class Collapsed:
    """The average of one exposure's integrations: as ``Combined``, but SCI and ERR in float64.

    Stacks of these are what ``combine`` takes next: a pixel without any integration is NaN
    and so does not count as a background of zero.
    """

    sci: NDArray[np.float64]
    err: NDArray[np.float64]
    dq: NDArray[np.uint32]
    n_used: NDArray[np.uint16]


def combine(
    sci: Reals,
    err: Reals | None,
    dq: NDArray[np.uint32],
    *,
    sigma: float = 3.0,
    maxiters: int | None = None,
    members: Sequence[int] | None = None,
    out: Combined | None = None,
) -> Combined:
    """Clip and average exposures.

    Parameters
    ----------
    sci, err : (n_exposures, ny, nx) float32 or float64, any unit
        Values and their uncertainties, NaN outside an exposure. Left as they are. Without ERR
        (None) none comes out.
    dq : (n_exposures, ny, nx) uint32
        Flags; 0 outside an exposure.
    sigma : float
        Bounds of the clip in standard deviations; inf for none.
    maxiters : int, optional
        How often to clip at most; None or 0 for until nothing changes.
    members : sequence of int, optional
        Which of the exposures; all by default.
    out : Combined, optional
        Arrays to write into, C-contiguous (a band of rows of a whole frame is).

    Returns
    -------
    Combined
        (ny, nx) arrays; ``out`` where it was given.

    Raises
    ------
    ShapeError
        The arrays do not fit each other.
    SettingsError
        ``sigma`` or ``maxiters`` is out of bounds.
    """
    shape = _checked_shape(sci, err, dq)
    if out is None:
        out = Combined(*_outputs(shape[1:], np.float32, with_err=err is not None))
    else:
        _check_out(out, shape[1:], with_err=err is not None)
    _average(sci, err, dq, sigma, maxiters, out, members)
    return out


def collapse(
    sci: Reals,
    err: Reals | None,
    dq: NDArray[np.uint32],
    *,
    sigma: float = 3.0,
    maxiters: int | None = None,
) -> Collapsed:
    """Clip and average the integrations of one exposure.

    The same as ``combine`` on (n_integrations, ny, nx), but nothing is rounded to float32
    between the two levels.
    """
    shape = _checked_shape(sci, err, dq)
    out = Collapsed(*_outputs(shape[1:], np.float64, with_err=err is not None))
    _average(sci, err, dq, sigma, maxiters, out)
    return out


def can_clip(n: int, sigma: float) -> bool:
    """Whether the clip can ever drop one of n values.

    One of n values stands farthest from the median, in standard deviations, where the
    n // 2 + 1 values around and below the median are equal and those between are at the mean,
    where they add nothing to the variance. With m = n // 2 + 2 values away from the mean, that
    is sqrt(n m / (m - 1)): 2.96 for seven values, 3.10 for eight.
    """
    if n <= 2:
        return n == 2 and sigma < 1.0
    m = n // 2 + 2
    return sigma < math.sqrt(n * m / (m - 1))


@lru_cache(maxsize=64)
def _least_reach(n: int, sigma: float) -> float:
    """How far from the mean, in standard deviations, a value outside the first bounds must be.

    Of any up to n values; 0 if it may be anywhere. Let m values have the mean 0 and the standard
    deviation 1, and the highest, v, be sigma or more above the median -a; if a < 0, v > sigma.
    The lowest h = m // 2 + 1 values average to some -b, b >= a, so their squares sum to h b² or
    more; those of the other r = m - h - 1, whose sum is h b - v, to (h b - v)² / r or more.
    Together with v² this is m at most, and v >= sigma - b. The lowest such v is where both are
    equal, at the larger root of a quadratic in b. 2.36 for eight values at 3 sigma, 2.11 for up
    to sixteen, sigma - 1 for very many.
    """
    if sigma <= 1.0:  # v may be below the mean, and the bound is nothing to go by
        return 0.0
    least = math.inf
    for m in range(3, n + 1):
        if can_clip(m, sigma):
            h = m // 2 + 1
            root = sigma**2 - (h + 1) * (sigma**2 * (m - h) / m - (m - h - 1))
            b = (sigma + math.sqrt(max(root, 0.0))) / (h + 1)
            least = min(least, sigma - max(b, 0.0))
    return least if least > 1.0 else 0.0


def _average(
    sci: Reals,
    err: Reals | None,
    dq: NDArray[np.uint32],
    sigma: float,
    maxiters: int | None,
    out: Combined | Collapsed,
    members: Sequence[int] | None = None,
) -> None:
    if not sigma > 0:
        raise SettingsError(
            "sigma must be greater than 0", value=sigma, cure="Give a positive number, such as 3"
        )
    if maxiters is not None and maxiters < 0:
        raise SettingsError(
            "maxiters must not be negative", value=maxiters, cure="Give None to clip to the end"
        )
    chosen = np.arange(len(sci)) if members is None else np.asarray(members, np.int64)
    if not chosen.size or chosen.min() < 0 or chosen.max() >= len(sci):
        raise ShapeError(
            "Members are some of the exposures, counted from 0",
            value=f"{chosen.tolist()} of {len(sci)}",
            cure="Name at least one, each below the number of exposures",
        )
    n = chosen.size
    if err is None:
        err = np.empty((0, *sci.shape[1:]), np.float32)
    narrow = np.can_cast(sci.dtype, np.float32) and np.can_cast(err.dtype, np.float32)
    real = np.float32 if narrow else np.float64
    average(
        _flat(sci, real),
        _flat(err, real),
        _flat(dq, np.uint32),
        chosen,
        sorting_network(n),
        float(sigma) if can_clip(n, sigma) else math.inf,
        _least_reach(n, float(sigma)),
        maxiters or 0,
        out.sci.reshape(-1),
        out.err.reshape(-1),
        out.dq.reshape(-1),
        out.n_used.reshape(-1),
    )


def _flat(stack: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return (n, ny * nx), contiguous and native: a view where the stack is so already.

    Read-only, so that the kernel is compiled once for arrays that may be written and others.
    """
    flat = (
        np.require(stack, dtype, ["C", "A"]).reshape(len(stack), math.prod(stack.shape[1:])).view()
    )
    flat.flags.writeable = False
    return flat


def _outputs(
    shape: tuple[int, ...], real: DTypeLike, *, with_err: bool
) -> tuple[NDArray[Any], ...]:
    sci, dq, n_used = (np.empty(shape, dtype) for dtype in (real, np.uint32, np.uint16))
    return sci, np.empty(_err_shape(shape, with_err), real), dq, n_used


def _err_shape(shape: tuple[int, ...], with_err: bool) -> tuple[int, ...]:
    return shape if with_err else (0, *shape[1:])


def _checked_shape(sci: Reals, err: Reals | None, dq: NDArray[np.uint32]) -> tuple[int, int, int]:
    if sci.ndim != 3 or not 1 <= len(sci) <= MOST_EXPOSURES:
        raise ShapeError(
            f"A stack has the shape (n, ny, nx) with n from 1 to {MOST_EXPOSURES}",
            value=sci.shape,
            cure="Stack the images along a new first axis",
        )
    err_shape = sci.shape if err is None else err.shape
    if not sci.shape == err_shape == dq.shape:
        raise ShapeError(
            "SCI, ERR and DQ must have one shape",
            value=f"SCI {sci.shape}, ERR {err_shape}, DQ {dq.shape}",
            cure="Cut all three to the same window",
        )
    return sci.shape[0], sci.shape[1], sci.shape[2]


def _check_out(out: Combined, shape: tuple[int, ...], *, with_err: bool) -> None:
    for name, dtype in (
        ("sci", np.float32), ("err", np.float32), ("dq", np.uint32), ("n_used", np.uint16)
    ):  # fmt: skip
        array: NDArray[Any] = getattr(out, name)
        wanted = _err_shape(shape, with_err) if name == "err" else shape
        fits = array.shape == wanted and array.dtype == dtype and array.flags.c_contiguous
        if not fits or not array.flags.writeable:
            raise ShapeError(
                f"out.{name} must be a writable, C-contiguous {np.dtype(dtype)} array of {wanted}",
                value=f"{array.dtype} {array.shape}, strides {array.strides}",
                cure="Give whole rows of a frame, or leave out away",
            )
