"""By how much a median, or a mean without its extremes, scatters more than a plain mean.

All numbers are of independent normal values with equal errors: the variances of their order
statistics, by quadrature (David & Nagaraja, Order Statistics, 3rd edition, sections 2.1 and 3.1),
and so exact for any small number. For the median they begin 1, 1, 1.346, 1.192, 1.434 and go to
pi / 2.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import ndtr

from bkgflow.methods.arrays import Doubles
from bkgflow.rules import StackRule

__all__ = ["mad_corrections", "variance_factors"]

MOST_EXACT = 20
"""Values, by quadrature; beyond, what is left to the limit goes as one over their number."""

MAD_CORRECTIONS = (1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
"""Of 2 to 9 values; Croux & Rousseeuw 1992, Computational Statistics 1, 411, table for MAD."""

STEP = 0.04
GRID = np.arange(-8.0, 8.0 + STEP / 2, STEP)
"""In standard deviations: trapezoids are exact to many digits for a function that fades out."""


def mad_corrections(n: int) -> Doubles:
    """Return, for 0 to n values, what their median absolute deviation is too small by.

    Beside the factor 1.4826 of very many values: n / (n - 0.8) for more than nine.
    """
    numbers = np.arange(n + 1, dtype=np.float64)
    many: Doubles = numbers / np.maximum(numbers - 0.8, 0.2)
    many[:10] = (1.0, 1.0, *MAD_CORRECTIONS)[: n + 1]
    return many


def variance_factors(rule: StackRule, n: int) -> Doubles:
    """Return, for 0 to n values, the variance of a rule's result over that of a plain mean.

    The mean is that of the values that are left. For ``minmax`` the number is that of the values
    before the extremes are dropped, otherwise of those that are kept.
    """
    ends = 0 if rule.clip.method != "minmax" else 2 if rule.clip.side == "both" else 1
    median = rule.combine == "median"
    if ends == 0 and not median:
        return np.ones(n + 1)
    exact = np.array([1.0, *(_factor(m, ends, median=median) for m in range(1, MOST_EXACT + 1))])
    limit = math.pi / 2 if median else 1.0
    numbers = np.arange(n + 1)
    # Odd and even numbers go to the limit each for itself.
    last = np.where(numbers % 2 == 0, MOST_EXACT, MOST_EXACT - 1)
    far = limit - (limit - exact[last]) * last / np.maximum(numbers, 1)
    return np.where(numbers <= MOST_EXACT, exact[np.minimum(numbers, MOST_EXACT)], far)


@cache
def _factor(n: int, ends: int, *, median: bool) -> float:
    """Return it for n values of which the highest is dropped, or both ends, or none."""
    if ends and n <= ends:
        ends = 0
    left = n - ends
    if median and left > 2:
        first = 1 if ends == 2 else 0  # of those that are left, counted from 0
        low, high = first + (left - 1) // 2 + 1, first + left // 2 + 1
        if low == high:
            return left * _variance(n, low)
        return left * (_variance(n, low) + _variance(n, high) + 2 * _neighbours(n, low)) / 4
    # The sum of all has the covariance 1 with any of them: the mean of normal values tells
    # nothing of how they lie around it.
    if ends == 1:
        return (n - 2 + _variance(n, n)) / left
    if ends == 2:
        return (n - 4 + 2 * _variance(n, n) + 2 * _both_ends(n)) / left
    return 1.0


def _density() -> Doubles:
    return np.exp(-0.5 * GRID * GRID) / math.sqrt(2 * math.pi)


@cache
def _variance(n: int, i: int) -> float:
    """Return the variance of the i-th lowest of n standard normal values."""
    share = _density() * ndtr(GRID) ** (i - 1) * ndtr(-GRID) ** (n - i)
    share *= math.comb(n, i) * i * STEP
    mean = float(np.sum(GRID * share))
    return float(np.sum(GRID * GRID * share)) - mean * mean


def _mean(n: int, i: int) -> float:
    share = _density() * ndtr(GRID) ** (i - 1) * ndtr(-GRID) ** (n - i)
    return float(np.sum(GRID * share)) * math.comb(n, i) * i * STEP


@cache
def _neighbours(n: int, i: int) -> float:
    """Return the covariance of the i-th and the next of n."""
    below = GRID * _density() * ndtr(GRID) ** (i - 1) * STEP
    above = GRID * _density() * ndtr(-GRID) ** (n - i - 1) * STEP
    # Trapezoids up to a point, and what they lack there (Euler and Maclaurin).
    summed = np.cumsum(below) - 0.5 * below - np.gradient(below) / 12
    product = float(np.sum(above * summed))
    return product * math.comb(n, i) * i * (n - i) - _mean(n, i) * _mean(n, i + 1)


@cache
def _both_ends(n: int) -> float:
    """Return the covariance of the lowest and the highest of n."""
    between = np.maximum(ndtr(GRID)[None] - ndtr(GRID)[:, None], 0.0) ** (n - 2)
    weighted = GRID * _density() * STEP
    return float(weighted @ between @ weighted) * n * (n - 1) - _mean(n, 1) * _mean(n, n)
