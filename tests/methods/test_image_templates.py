"""Templates and a constant fitted to images: known truth, quoted errors, odd templates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from bkgflow.methods.slitless import (
    dependent,
    first_sky,
    fit_background,
    fit_scale,
    image_mask,
    mask_doubts,
    residual_mask,
    with_constant,
)

SHAPE = (128, 160)


def smooth(rng, width, shape=SHAPE):
    """A random structure with a scatter of 1."""
    image = gaussian_filter(rng.normal(size=shape), width)
    return (image / image.std()).astype(np.float32)


def stars(rng, number, noise, shape=SHAPE):
    """Light of point sources, from faint ones to ones a thousand times the noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = np.zeros(shape)
    for _ in range(number):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        peak = noise * 10 ** rng.uniform(0.7, 3)
        light += peak * np.exp(-0.5 * ((y - row) ** 2 + (x - column) ** 2) / 1.2**2)
    return light


def scene(seed, truth=(0.4, -0.15, 2.0), noise=0.1, number=12):
    """SCI, ERR, DQ, the stack of components, and the light of the sources."""
    rng = np.random.default_rng(seed)
    templates = np.stack([smooth(rng, width) for width in (6, 12)][: len(truth) - 1])
    templates[0] += 3  # as real ones: never negative
    stack, _ = with_constant(templates)
    light = stars(rng, number, noise)
    err = (noise * rng.uniform(0.8, 1.2, SHAPE)).astype(np.float32)
    sky = np.tensordot(truth, stack.astype(np.float64), 1)
    sci = sky + light + rng.normal(size=SHAPE) * np.hypot(err, 0.1 * np.sqrt(light * noise))
    dq = (rng.random(SHAPE) < 0.02).astype(np.uint32)
    sci[dq == 1] = rng.choice([np.nan, 1e5, -1e5], np.count_nonzero(dq))
    return sci.astype(np.float32), err, dq, stack, light


@pytest.mark.slow
def test_factors_are_found_within_their_errors():
    truth, pulls = np.array([0.4, -0.15, 2.0]), []
    for seed in range(60):
        sci, err, dq, stack, _ = scene(seed, truth)
        mask = image_mask(sci, err, dq, stack)
        fit = fit_background(sci, err, dq, mask.mask, stack)
        assert fit.reason is None
        pulls.append((fit.coefficients - truth) / fit.standard_errors)
    pulls = np.array(pulls)
    # Standard error of the width of 180 pulls: 5 %; of the mean of 60: 0.13.
    assert 0.85 <= np.sqrt(np.mean(pulls**2)) <= 1.15
    assert np.abs(pulls.mean(axis=0)).max() < 0.45


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.0, 2.0, -0.5, 300.0])
def test_the_level_of_the_constant_does_not_matter(level):
    """The slitless first sky, a ratio to the summed templates, would know no level near 0."""
    sci, err, dq, stack, light = scene(1, (0.4, -0.15, level))
    found = image_mask(sci, err, dq, stack)
    assert found.stable
    assert found.mask.mean() > 0.6
    assert light[found.mask].max() < 0.3
    fit = fit_background(sci, err, dq, found.mask, stack)
    assert abs(fit.coefficients[-1] - level) < 5 * fit.standard_errors[-1] + 1e-5 * abs(level)


@pytest.mark.slow
def test_a_structure_far_above_the_noise_is_no_source():
    sci, err, dq, stack, light = scene(2, (20.0, 5.0, 2.0))  # 200 and 50 times the noise
    first = first_sky(sci, err, dq == 0, stack)
    assert first.mean() > 0.6
    found = image_mask(sci, err, dq, stack)
    assert found.mask.mean() > 0.6
    assert light[found.mask].max() < 0.3


@pytest.mark.slow
def test_bright_sources_do_not_bend_the_first_sky():
    sci, err, dq, stack, _ = scene(3, number=60)
    first = first_sky(sci, err, dq == 0, stack)
    fit = fit_scale(sci, err, first, stack)
    assert np.abs(fit.coefficients - (0.4, -0.15, 2.0)).max() < 0.02


@pytest.mark.slow
def test_the_mask_of_slitless_exposures_is_what_it_was():
    sci, err, dq, stack, _ = scene(4)
    one = residual_mask(sci, err, dq, stack[:1])
    other = residual_mask(sci, err, dq, stack[:1], first=None)
    np.testing.assert_array_equal(one.mask, other.mask)


def test_pixels_without_a_value_are_blank_in_every_component():
    templates = np.ones((2, 4, 5), np.float64)
    templates[0, 1, 2], templates[1, 3, 4] = np.nan, np.inf
    stack, blank = with_constant(templates)
    assert stack.dtype == np.float32
    assert stack.shape == (3, 4, 5)
    assert sorted(zip(*np.nonzero(blank), strict=True)) == [(1, 2), (3, 4)]
    assert not stack[:, blank].any()
    assert (stack[-1][~blank] == 1).all()


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda a, b: [a, b], None),
        (lambda a, b: [np.full_like(a, 7)], 0),
        (lambda a, b: [np.full_like(a, 1e3) + 1e-3 * a], 0),  # less than float32 can tell
        (lambda a, b: [np.full_like(a, 100) + 0.1 * a], None),
        (lambda a, b: [a, 3 * a], 1),
        (lambda a, b: [a, b, a - 2 * b + 5], 2),
        (lambda a, b: [a, np.full_like(a, 2), b], 1),
        (lambda a, b: [1e20 * a, 1e-12 * b], None),
    ],
)
def test_a_template_that_others_make_up_is_named(make, number):
    rng = np.random.default_rng(0)
    stack, _ = with_constant(np.stack(make(smooth(rng, 3), smooth(rng, 9))))
    assert dependent(stack) == number


def test_templates_that_are_one_where_the_sky_shows_have_no_fit():
    sci, err, dq, stack, _ = scene(5)
    mask = np.zeros(SHAPE, bool)
    mask[:40] = True
    stack[1, :40] = stack[0, :40]
    fit = fit_background(sci, err, dq, mask, stack)
    assert fit.reason is not None
    assert "combination" in fit.reason


def test_an_image_of_nothing_has_no_mask():
    _, err, dq, stack, _ = scene(6)
    nothing = np.full(SHAPE, np.nan, np.float32)
    found = image_mask(nothing, err, dq, stack)
    assert not found.mask.any()
    assert fit_background(nothing, err, dq, found.mask, stack).reason is not None


@pytest.mark.slow
def test_an_inverted_mask_is_doubted():
    sci, err, dq, stack, _ = scene(7, number=40)
    mask = image_mask(sci, err, dq, stack).mask
    fit = fit_background(sci, err, dq, mask, stack)
    structure = np.tensordot(fit.coefficients[:-1].astype(np.float32), stack[:-1], 1)
    assert not mask_doubts(sci - structure, dq, mask, stack[-1])
    assert any("inverted" in each for each in mask_doubts(sci - structure, dq, ~mask, stack[-1]))
