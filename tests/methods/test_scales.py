"""Levels of backgrounds: true offsets and factors are found within the errors that are quoted."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.detector import Window
from bkgflow.methods.scales import Regions, Scales, levelled, match, sample_rows

SHAPE = (40, 50)

SKY = 30 + 0.05 * np.arange(SHAPE[1]) + 2 * np.sin(np.arange(SHAPE[0]) / 5)[:, None]
"""With structure: what is brought to a level is not flat."""


def draw(rng, mode, value, *, sources=20, rows=0.0):
    """A target and a background, with noise, sources that no mask holds, and pixels without value.

    ``rows`` is the noise that the pixels of a row have in common.
    """
    both = []
    for level in (SKY * value if mode == "factor" else SKY + value, SKY):
        image = level + rng.normal(0, 1, SHAPE) + rows * rng.normal(0, 1, (SHAPE[0], 1))
        image[tuple(rng.integers(0, SHAPE, (sources, 2)).T)] += rng.uniform(10, 500, sources)
        image[rng.random(SHAPE) < 0.1] = np.nan
        both.append(image.astype(np.float32))
    return both


@pytest.mark.slow
@pytest.mark.parametrize("rows", [0.0, 0.5])
@pytest.mark.parametrize("mode", ["offset", "factor"])
def test_quoted_errors_hold(mode, rows):
    rng = np.random.default_rng(7)
    truths = rng.uniform(0.8, 1.3, 400) if mode == "factor" else rng.normal(0, 5, 400)
    pulls = []
    for truth in truths:
        found = match(*draw(rng, mode, truth, rows=rows), mode)
        pulls.append((found.value - truth) / found.error)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(len(pulls))
    assert 0.85 < np.std(pulls) < 1.15


@pytest.mark.slow
def test_a_factor_is_not_drawn_to_one_side_by_the_noise_of_the_background():
    """As a fit of one against the other would be: the sky has next to no structure here."""
    rng = np.random.default_rng(2)
    sky = rng.normal(20, 0.5, SHAPE)
    found = [match(1.5 * sky + rng.normal(0, 4, SHAPE), sky + rng.normal(0, 4, SHAPE), "factor")
             for _ in range(100)]  # fmt: skip
    errors = np.array([each.error for each in found])
    assert abs(np.mean([each.value for each in found]) - 1.5) < 4 * errors.mean() / 10


def test_values_that_stand_out_do_not_count():
    rng = np.random.default_rng(3)
    target, background = draw(rng, "offset", 4.0, sources=0)
    bright = rng.random(SHAPE) < 0.08
    clean = match(np.where(bright, np.nan, target), background, "offset")
    target[bright] += 1000
    found = match(target, background, "offset")
    assert abs(found.value - clean.value) < 0.5 * clean.error
    assert found.pixels == clean.pixels


def test_only_the_region_counts():
    target, background = np.full(SHAPE, 5.0), np.full(SHAPE, 3.0)
    left = np.zeros(SHAPE, bool)
    left[:, :10] = True
    target[left] = 9.0
    assert match(target, background, "offset", left).value == 6
    assert match(target, background, "offset", ~left).value == 2
    assert match(target, background, "factor", left).value == pytest.approx(3)


def test_nothing_in_common_is_no_number():
    nothing = np.full(SHAPE, np.nan)
    found = match(nothing, np.ones(SHAPE), "offset")
    assert math.isnan(found.value)
    assert math.isnan(found.error)
    assert found.pixels == 0
    scales = Scales.of("factor", [[found], [match(np.full(SHAPE, 4.0), np.ones(SHAPE), "factor")]])
    np.testing.assert_array_equal(scales.factor, [[1], [4]])
    np.testing.assert_array_equal(scales.offset, 0)


def test_a_background_of_nothing_has_no_factor():
    found = match(np.ones(SHAPE), np.zeros(SHAPE), "factor")
    assert not found.value > 0


@pytest.mark.slow
@given(
    x0=st.integers(0, 50), y0=st.integers(0, 50), nx=st.integers(1, 2048), ny=st.integers(1, 2048)
)
def test_sample_rows_are_spread_over_the_window(x0, y0, nx, ny):
    rows = sample_rows(Window(x0, y0, nx, ny))
    assert len(set(rows)) == len(rows)
    assert rows == sorted(rows)
    assert y0 <= rows[0] <= rows[-1] < y0 + ny
    assert len(rows) * nx >= min(100_000, nx * ny)
    gaps = np.diff([y0 - 1, *rows, y0 + ny])
    assert gaps.max() <= 2 * math.ceil(ny / len(rows))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_levels_are_changed_region_by_region(dtype):
    sci = np.arange(12, dtype=dtype).reshape(3, 4)
    index = np.array([[0, 0, 1, 1]] * 3, np.uint8)
    out = np.empty(sci.shape)
    offset, factor = np.array([1.0, -2.0]), np.array([2.0, 3.0])
    levelled(sci, index, offset, factor, out)
    np.testing.assert_array_equal(out, sci * factor[index] + offset[index])
    levelled(sci, None, offset[:1], factor[:1], out)
    np.testing.assert_array_equal(out, sci * 2 + 1)


def test_a_region_between_the_rows_is_looked_at():
    window = Window(5, 7, 1032, 1024)
    usual = sample_rows(window)
    index = np.zeros(window.shape, np.uint8)
    index[usual[0] - window.y0 + 1 : usual[1] - window.y0] = 1
    rows = sample_rows(window, Regions((0, 5), index))
    assert set(usual) < set(rows)
    assert rows == sorted(rows)
    assert np.count_nonzero(index[[row - window.y0 for row in rows]] == 1) >= 100
    index[:] = 0
    index[:, :500] = 1  # in every row: nothing is added, and no number changes
    assert sample_rows(window, Regions((0, 5), index)) == usual
