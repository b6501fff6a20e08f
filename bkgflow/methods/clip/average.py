"""Averages without outliers: many exposures to one image, many integrations to one.

The usual clip is that of ``astropy.stats.sigma_clip`` along the first axis with its defaults:
median centre, population standard deviation, float64, inclusive bounds, non-finite values ignored;
the bounds of the last iteration hold for all values, so that one rejected early can come back.
Only a value within rounding (1e-15 or so, relative) of a bound may fall on the other side,
because the sums behind the standard deviation add up in another order.

ERR and DQ follow SCI: ERR is the quadrature sum of what was kept over its number, DQ the OR
of everything, clipped or not. A pixel without any value is NaN with ``n_used`` = 0. Other rules
are computed elsewhere (``ruled``), and compiled only where somebody asks for one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import SettingsError, ShapeError
from bkgflow.methods._compiled import read_only
from bkgflow.methods.arrays import Doubles, Floats, Integers, Reals, Words
from bkgflow.methods.clip._kernels import BATCH, average_stack, tile_width
from bkgflow.methods.clip._outliers import Output, new_batch
from bkgflow.methods.clip._tiles import CAUTION, Clip, Stack, new_layer, new_tile
from bkgflow.methods.clip.rejected import errors_needed
from bkgflow.methods.clip.search import bound, sorting_network
from bkgflow.rules import StackRule

__all__ = ["Collapsed", "Combined", "average", "collapse", "combine"]

MOST_EXPOSURES = 65535  # the largest number that ``n_used`` (uint16) can hold
DEFAULT = StackRule()


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

    sci: Floats
    err: Floats
    dq: Words
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

    sci: Doubles
    err: Doubles
    dq: Words
    n_used: NDArray[np.uint16]


def combine(
    sci: Reals,
    err: Reals | None,
    dq: Words,
    rule: StackRule = DEFAULT,
    *,
    members: Sequence[int] | None = None,
    out: Combined | None = None,
    exptime: Sequence[float] | None = None,
) -> Combined:
    """Clip and average exposures.

    Parameters
    ----------
    sci, err : (n_exposures, ny, nx) float32 or float64, any unit
        Values and their uncertainties, NaN outside an exposure. Left as they are. Without ERR
        (None) none comes out, and no rule can be used that needs it.
    dq : (n_exposures, ny, nx) uint32
        Flags; 0 outside an exposure. For the usual rule also (1, ny, nx): those of all members,
        joined already.
    members : sequence of int, optional
        Which of the exposures; all by default.
    out : Combined, optional
        Arrays to write into and return, C-contiguous (a band of rows of a whole frame is).
    exptime : sequence of float, optional
        How long each exposure was, in any unit: for a mean that is weighted by it.

    Raises
    ------
    ShapeError
        The arrays do not fit each other.
    SettingsError
        The rule needs ERR, or exposure times, and there are none.
    """
    shape = _checked_shape(sci, err, dq, joined=rule.usual)
    err_shape = shape if err is not None else (0, shape[1])
    if out is None:
        means, errors = np.empty(shape, np.float32), np.empty(err_shape, np.float32)
        out = Combined(means, errors, np.empty(shape, np.uint32), np.empty(shape, np.uint16))
    else:
        _check_out("sci", out.sci, shape, np.float32)
        _check_out("err", out.err, err_shape, np.float32)
        _check_out("dq", out.dq, shape, np.uint32)
        _check_out("n_used", out.n_used, shape, np.uint16)
    chosen = np.arange(len(sci)) if members is None else np.asarray(members, np.int64)
    if not chosen.size or chosen.min() < 0 or chosen.max() >= len(sci):
        raise ShapeError(
            "Members must be some of the exposures, counted from 0",
            value=f"{chosen.tolist()} of {len(sci)}",
            cure="Name at least one, each below the number of exposures",
        )
    weights = np.ones(len(sci)) if not rule.needs_times else _checked_times(exptime, len(sci))
    _average(sci, err, dq, rule, chosen, weights, out)
    return out


def collapse(sci: Reals, err: Reals | None, dq: Words, rule: StackRule = DEFAULT) -> Collapsed:
    """Clip and average the integrations of one exposure.

    The same as ``combine`` on (n_integrations, ny, nx), but nothing is rounded to float32
    between the two levels. Integrations of one exposure are of one length.
    """
    shape = _checked_shape(sci, err, dq)
    errors = np.empty(shape if err is not None else (0, shape[1]))
    out = Collapsed(np.empty(shape), errors, np.empty(shape, np.uint32), np.empty(shape, np.uint16))
    _average(sci, err, dq, rule, np.arange(len(sci)), np.ones(len(sci)), out)
    return out


def _average(
    sci: Reals,
    err: Reals | None,
    dq: Words,
    rule: StackRule,
    members: Integers,
    weights: Doubles,
    out: Combined | Collapsed,
) -> None:
    """Average as the rule says: by the fast loops where it is the usual one."""
    if rule.usual:
        average(sci, err, dq, rule, members, bound(rule.clip, members.size), out)
        return
    if err is None and rule.needs_errors:
        raise errors_needed(rule)
    from bkgflow.methods.clip.ruled import average_by_rule

    average_by_rule(sci, err, dq, rule, members, weights, _output(out))


def average(
    sci: Reals,
    err: Reals | None,
    dq: Words,
    rule: StackRule,
    members: Integers,
    reach: float | None,
    out: Combined | Collapsed,
) -> None:
    """Average some members of stacks that fit each other and ``out`` by the usual rule.

    ``reach`` is its `bound`, or None to sort every pixel: slower, to the same result.
    """
    n = members.size
    width = tile_width(n)
    if err is None:
        err = np.empty((0, *sci.shape[1:]), np.float32)
    narrow = np.can_cast(sci.dtype, np.float32) and np.can_cast(err.dtype, np.float32)
    real: np.dtype[np.floating] = np.dtype(np.float32 if narrow else np.float64)
    average_stack(
        Stack(
            new_layer(sci, real, width, np.nan),
            new_layer(err, real, width, 0),
            new_layer(dq, np.dtype(np.uint32), width, 0),
            read_only(members, np.int64),
            read_only(members if len(dq) == len(sci) else np.zeros(1, np.int64), np.int64),
        ),
        Clip(
            math.inf if reach == math.inf else float(rule.clip.sigma),
            -1.0 if reach is None else reach,
            rule.clip.maxiters or 0,
            sorting_network(n),
            *_limits(n, real),
        ),
        new_tile(width, real),
        new_batch(n, width + BATCH, real),
        _output(out),
    )


def _limits(n: int, real: np.dtype[np.floating]) -> tuple[float, float, float]:
    """Return what rounding may take from ``squares``, and between what these can be trusted.

    In units of ``squares`` S, with u = eps / 2: S is off by (n + 2) u, shifts² / n by 2 (n + 3) u.
    The farthest value is off by (n + 4) u sqrt(S); its square then by CAUTION of itself, which
    the search allows for, and the last term. Outside the other two, squares may have under- or
    overflown.
    """
    info = np.finfo(real)
    rounding = (n + 4) * float(info.eps)
    share = 4 * rounding + n * rounding * rounding / CAUTION
    return share, float(info.tiny) * 2.0**26, float(info.max) * 2.0**-26


def _output(out: Combined | Collapsed) -> Output:
    single, double = np.empty(0, np.float32), np.empty(0)
    dq, n_used = out.dq.reshape(-1), out.n_used.reshape(-1)
    if isinstance(out, Combined):
        return Output(out.sci.reshape(-1), out.err.reshape(-1), double, double, dq, n_used)
    return Output(single, single, out.sci.reshape(-1), out.err.reshape(-1), dq, n_used)


def _checked_shape(
    sci: Reals, err: Reals | None, dq: Words, *, joined: bool = False
) -> tuple[int, int]:
    """Return (ny, nx); DQ may be that of all exposures, joined."""
    if sci.ndim != 3 or not 1 <= len(sci) <= MOST_EXPOSURES:
        raise ShapeError(
            f"A stack must have the shape (n, ny, nx) with n from 1 to {MOST_EXPOSURES}",
            value=sci.shape,
            cure="Stack the images along a new first axis",
        )
    err_shape = sci.shape if err is None else err.shape
    dq_shape = sci.shape if joined and len(dq) == 1 and dq.shape[1:] == sci.shape[1:] else dq.shape
    if not sci.shape == err_shape == dq_shape:
        raise ShapeError(
            "SCI, ERR and DQ must have one shape",
            value=f"SCI {sci.shape}, ERR {err_shape}, DQ {dq.shape}",
            cure="Cut all three to the same window",
        )
    return sci.shape[1], sci.shape[2]


def _checked_times(exptime: Sequence[float] | None, n: int) -> Doubles:
    """Return exposure times that can be weights."""
    times = np.asarray([] if exptime is None else exptime, np.float64)
    if times.shape != (n,) or not (np.isfinite(times) & (times > 0)).all():
        raise SettingsError(
            "A mean weighted by exposure times must have one for each exposure, greater than 0",
            value=f"{times.tolist()}, {n} exposures",
            cure="Give them, or weigh by ERR",
        )
    return times


def _check_out(
    name: str, array: NDArray[np.generic], shape: tuple[int, ...], dtype: type[np.generic]
) -> None:
    flags = array.flags
    fits = array.shape == shape and array.dtype == dtype
    if not (fits and flags.c_contiguous and flags.writeable):
        raise ShapeError(
            f"out.{name} must be a writable, C-contiguous {np.dtype(dtype)} array of {shape}",
            value=f"{array.dtype} {array.shape}, strides {array.strides}",
            cure="Give whole rows of a frame, or leave `out` away",
        )
