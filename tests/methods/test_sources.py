"""Masks of sources against fields whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from bkgflow.methods.sources import detect_sources, discs, grown
from bkgflow.rules import MaskRule
from tests.helpers.pace import examples

FWHM = 2.5
"""Pixels; MIRI has 1.9 at 5.6 µm and 2.9 at 10 µm."""


def crowded(rng, shape=(192, 200), number=120, *, slope=3.0):
    """A field of stars over an uneven sky, noise of 1; the light of the stars, places and peaks."""
    ny, nx = shape
    rows, columns = np.mgrid[:ny, :nx]
    sky = 40 + slope * columns / nx + slope * np.sin(2 * rows / ny)
    y, x = rng.uniform(3, ny - 4, number), rng.uniform(3, nx - 4, number)
    peak = 5 * 100 ** (rng.random(number) ** 2)
    light = np.zeros(shape)
    for cy, cx, top in zip(y, x, peak, strict=True):
        distance = (rows - cy) ** 2 + (columns - cx) ** 2
        light += top * np.exp(-4 * np.log(2) * distance / FWHM**2)
    image = (sky + light + rng.normal(0, 1, shape)).astype(np.float32)
    return image, light, (y, x, peak)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_sources_of_a_crowded_field_are_found_and_the_rest_is_left(seed):
    image, light, (y, x, _) = crowded(np.random.default_rng(seed))
    mask = detect_sources(image, MaskRule())
    assert mask[np.rint(y).astype(int), np.rint(x).astype(int)].mean() >= 0.97
    assert mask[light > 1].mean() > 0.98  # a sigma of light in a pixel
    assert light[~mask].mean() < 0.02
    assert mask.mean() < 0.35


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(256, 256), (64, 200), (40, 40)])
def test_an_empty_field_is_left_alone(shape):
    rng = np.random.default_rng(0)
    images = rng.normal(40, 3, (6, *shape)).astype(np.float32)
    assert np.mean([detect_sources(image, MaskRule()).mean() for image in images]) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("edge", [61, 96, 100, 127])
def test_the_edge_of_a_field_stop_is_no_source(edge):
    """As between MIRI's imager and its coronagraphs: dark on one side, sky on the other."""
    rng = np.random.default_rng(8)
    image, light, _ = crowded(rng, (300, 320), 150)
    dark = np.zeros(image.shape, bool)
    dark[:, :edge] = True
    dark[: 300 - edge, 250:] = True
    whole = detect_sources(image, MaskRule())
    image[dark] -= 40
    mask = detect_sources(image, MaskRule())
    sky = ~dark & (light < 0.02)
    assert mask[sky].mean() < whole[sky].mean() + 0.03
    assert mask[~dark & (light > 2)].mean() > 0.95


@pytest.mark.slow
def test_units_and_levels_do_not_matter():
    image, _, _ = crowded(np.random.default_rng(1), slope=0.0)
    mask = detect_sources(image, MaskRule())
    again = detect_sources((image * np.float32(2.0**-10)).astype(np.float32), MaskRule())
    assert (mask != again).mean() < 1e-3


@pytest.mark.slow
def test_invalid_pixels_do_not_count():
    rng = np.random.default_rng(4)
    image, _, _ = crowded(rng)
    bad = rng.random(image.shape) < 0.05
    hot = np.where(bad, np.float32(np.nan), image)
    clean, mended = detect_sources(image, MaskRule()), detect_sources(hot, MaskRule())
    assert (clean != mended).mean() < 0.04
    assert not detect_sources(np.full((30, 30), np.nan, np.float32), MaskRule()).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 7), (20, 3), (33, 65)])
def test_windows_of_any_shape(shape):
    image = np.random.default_rng(0).normal(5, 1, shape).astype(np.float32)
    assert detect_sources(image, MaskRule()).shape == shape
    assert not detect_sources(np.ones(shape, np.float32), MaskRule()).any()


@pytest.mark.slow
def test_threshold_and_growth_do_what_they_say():
    image, _, _ = crowded(np.random.default_rng(2))
    usual = detect_sources(image, MaskRule())
    assert not (detect_sources(image, MaskRule(threshold=6)) & ~usual).any()
    core = detect_sources(image, MaskRule(grow=0))
    np.testing.assert_array_equal(usual, distance_transform_edt(~core) <= 3)


@settings(max_examples=examples(40))
@given(
    seed=st.integers(0, 2**32 - 1),
    ny=st.integers(1, 40),
    nx=st.integers(1, 40),
    radius=st.floats(0, 12),
)
def test_growth_is_a_circle(seed, ny, nx, radius):
    mask = np.random.default_rng(seed).random((ny, nx)) < 0.02
    near = distance_transform_edt(~mask) <= radius if mask.any() else mask
    np.testing.assert_array_equal(grown(mask, radius), near)


@settings(max_examples=examples(40))
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(0, 6))
def test_discs_are_those_of_geometry(seed, number):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-10, 40, (2, number))
    radius = rng.uniform(0, 8, number)
    rows, columns = np.mgrid[:25, :30]
    wanted = np.zeros((25, 30), bool)
    for cx, cy, r in zip(x, y, radius, strict=True):
        wanted |= (columns - cx) ** 2 + (rows - cy) ** 2 <= r * r
        wanted |= (columns == np.rint(cx)) & (rows == np.rint(cy))
    np.testing.assert_array_equal(discs(x, y, radius, (25, 30)), wanted)


def test_discs_without_a_place_are_left_out():
    nan = np.nan
    mask = discs(np.array([nan, 5, 5]), np.array([5, nan, 5]), np.array([2, 2, nan]), (10, 10))
    assert not mask.any()
