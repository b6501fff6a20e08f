"""Gaps filled from their neighbours: against astropy's interpolation, and on known surfaces."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans

from bkgflow.methods.fill import fill_gaps


def gaps(shape: tuple[int, int], seed: int) -> tuple[np.ndarray, ...]:
    """SCI and ERR of a background, how many exposures it is of, and its pixels without any."""
    rng = np.random.default_rng(seed)
    sci, err = rng.normal(10, 1, shape), rng.uniform(0.5, 1, shape)
    empty = rng.random(shape) < 0.05
    sci[empty] = err[empty] = np.nan
    n_used = np.where(empty, 0, 4).astype(np.uint16)
    return sci.astype(np.float32), err.astype(np.float32), n_used, empty


def test_small_gaps_are_filled_as_astropy_does_it() -> None:
    sci, err, n_used, empty = gaps((40, 50), 1)
    kernel = Gaussian2DKernel(1.0, x_size=7, y_size=7)
    want = interpolate_replace_nans(sci.astype(float), kernel, boundary="fill", fill_value=np.nan)
    squares = err.astype(float) ** 2
    variance = interpolate_replace_nans(squares, kernel, boundary="fill", fill_value=np.nan)
    before = sci.copy()
    filled = fill_gaps(sci, err, n_used)
    np.testing.assert_array_equal(filled, empty)
    np.testing.assert_array_equal(sci[~empty], before[~empty])
    np.testing.assert_allclose(sci, want, rtol=1e-5)
    np.testing.assert_allclose(err, np.sqrt(variance), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 20, 50])
def test_a_hole_of_any_size_is_filled(size: int) -> None:
    """A slope goes on through it; without ERR as well."""
    slope = np.add.outer(np.arange(100), np.arange(120)).astype(np.float32)
    sci, n_used = slope.copy(), np.ones(slope.shape, np.uint16)
    hole = slice(25, 25 + size), slice(35, 35 + size)
    sci[hole], n_used[hole] = np.nan, 0
    filled = fill_gaps(sci, np.empty((0, 120), np.float32), n_used)
    assert filled.sum() == size**2
    middle = 25 + size // 2, 35 + size // 2
    assert sci[middle] == pytest.approx(slope[middle], abs=0.6 + 0.1 * size)
    assert np.abs(sci - slope).max() < 1 + size


def test_nothing_is_filled_from_nothing() -> None:
    sci, err = np.full((2, 9, 9), np.nan, np.float32)
    assert not fill_gaps(sci, err, np.zeros((9, 9), np.uint16)).any()
    assert np.isnan(sci).all()


def test_infinite_neighbours_do_not_count() -> None:
    sci, err, n_used, _ = gaps((9, 9), 3)
    sci[4, 4], n_used[4, 4], sci[4, 5], n_used[4, 5] = np.nan, 0, np.inf, 1
    fill_gaps(sci, err, n_used)
    assert np.isfinite(sci[4, 4])
