"""The rules of a stack written down plainly, a pixel at a time: what the loops must give."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats

from bkgflow.rules import StackRule

__all__ = ["Pixel", "by_hand", "median_factor"]

Array = NDArray[Any]

MAD = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.2, 7: 1.14, 8: 1.129, 9: 1.107}


class Pixel(NamedTuple):
    """One pixel of a combined background."""

    sci: float
    err: float
    dq: int
    n_used: int


def median_factor(n: int) -> float:
    """The variance of the median of an odd number of normal values over that of their mean."""
    k = n // 2 + 1

    def density(x: float) -> float:
        return float(stats.beta.pdf(stats.norm.cdf(x), k, n + 1 - k) * stats.norm.pdf(x))

    return n * float(integrate.quad(lambda x: x * x * density(x), -9, 9, epsabs=1e-10)[0])


def _spread(kept: Array, method: str) -> float:
    if method == "sigma":
        return float(np.std(kept))
    middle, n = np.median(kept), len(kept)
    away = np.abs(kept - middle)
    factor = MAD.get(n, n / (n - 0.8)) if n > 1 else 1.0
    mad = float(stats.norm.ppf(0.75)) ** -1 * factor * float(np.median(away))
    return mad or math.sqrt(math.pi / 2) * float(np.mean(away))


def _far(values: Array, rule: StackRule) -> Array:
    """Which values are outside the last bounds."""
    clip, kept, rounds = rule.clip, np.ones(len(values), bool), 0
    outside = np.zeros(len(values), bool)
    while kept.any() and rounds < (clip.maxiters or 10**6):
        half = clip.sigma * _spread(values[kept], clip.method)
        middle = np.median(values[kept])
        if clip.method == "robust":
            half = max(half, 2.0**-21 * abs(middle))
        low = values < middle - half if clip.side != "high" else outside & False
        high = values > middle + half if clip.side != "low" else outside & False
        outside = low | high
        if not (outside & kept).any():
            break
        kept, rounds = kept & ~outside, rounds + 1
    return outside


def _noisy(values: Array, errors: Array, rule: StackRule) -> Array:
    """Which values are dropped one by one: each against the weighted mean of the others."""
    clip, kept, rounds = rule.clip, np.ones(len(values), bool), 0
    while kept.sum() >= (3 if clip.side == "both" else 2) and rounds < (clip.maxiters or 10**6):
        found = {}
        for i in np.flatnonzero(kept):
            others = kept.copy()
            others[i] = False
            weights = errors[others] ** -2.0
            mean = np.sum(weights * values[others]) / weights.sum()
            found[i] = (values[i] - mean) / math.hypot(errors[i], weights.sum() ** -0.5)
        sides = {"both": abs, "high": float, "low": lambda each: -each}
        worst = max(found, key=lambda i: sides[clip.side](found[i]))
        if not sides[clip.side](found[worst]) > clip.sigma:
            break
        kept[worst] = False
        rounds += 1
    return ~kept


def _ends(values: Array, rule: StackRule) -> Array:
    dropped = np.zeros(len(values), bool)
    if len(values) >= (3 if rule.clip.side == "both" else 2):
        order = np.argsort(values, kind="stable")
        if rule.clip.side != "high":
            dropped[order[0]] = True
        if rule.clip.side != "low":
            dropped[order[-1]] = True
    return dropped


def _dropped(values: Array, errors: Array, rule: StackRule) -> Array:
    method = rule.clip.method
    if method == "minmax":
        return _ends(values, rule)
    if method == "none" or not len(values) or math.isinf(rule.clip.sigma):
        return np.zeros(len(values), bool)
    return _noisy(values, errors, rule) if method == "noise" else _far(values, rule)


def _one(values: Array, errors: Array, times: Array, rule: StackRule) -> tuple[float, float]:
    """What kept values become, and its error but for the factors of small numbers."""
    n = len(values)
    if rule.combine == "median" and n > 2:
        with np.errstate(divide="ignore"):
            return float(np.median(values)), math.sqrt(n) / float(np.sum(1 / np.abs(errors)))
    weights = np.ones(n)
    if rule.combine == "weighted":
        weights = errors**-2.0 if rule.weights == "err" else times
    total = weights.sum()
    return float(np.sum(weights * values) / total), math.sqrt(
        float(np.sum((weights * errors) ** 2))
    ) / float(total)


def _joined(flags: Sequence[int], used: Sequence[int], rule: StackRule) -> int:
    if rule.dq_percent == 0 or not used:
        return int(np.bitwise_or.reduce(np.array(flags, np.uint32)))
    shares = {bit: 100 * sum(each >> bit & 1 for each in used) / len(used) for bit in range(32)}
    return sum(1 << bit for bit, share in shares.items() if share and share >= rule.dq_percent)


def by_hand(
    values: Array, errors: Array, flags: Array, rule: StackRule, times: Array | None = None
) -> Pixel:
    """Combine the values of one pixel; of the median the error is that of a mean."""
    times = np.ones(len(values)) if times is None else times
    part = np.isfinite(values) & (flags & np.uint32(rule.bad_bits) == 0)
    if rule.needs_errors:
        part &= errors > 0
    x, e = values[part].astype(float), errors[part].astype(float)
    kept = ~_dropped(x, e, rule)
    used = [int(each) for each in flags[part][kept]]
    dq = _joined([int(each) for each in flags], used, rule)
    if not used:
        return Pixel(math.nan, math.nan, dq, 0)
    return Pixel(*_one(x[kept], e[kept], times[part][kept], rule), dq, len(used))
