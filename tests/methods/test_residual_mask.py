"""Masks from residuals: crowded fields, empty ones, and data that hold nothing."""

import numpy as np
import pytest

from bkgflow.methods.slitless import enough_background, fit_scale, residual_mask

pytestmark = pytest.mark.slow

SKY = 0.7


def field(n, seed, *, size=768, length=400, noise=0.1):
    """SCI, ERR, DQ, template, source light and the mask that boxes of the sources leave."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    template = (1 + 0.1 * np.sin(x / 300) + 0.05 * y / size).astype(np.float32)
    light, boxes = np.zeros((size, size)), np.ones((size, size), bool)
    for _ in range(n):
        row, column = rng.uniform(0, size), int(rng.uniform(-length, size))
        width, peak = rng.uniform(1, 2.5), SKY * 10 ** rng.uniform(-1.3, 1.5)
        part = np.s_[
            max(0, int(row - 15)) : int(row + 15), max(0, column) : max(0, column + length)
        ]
        boxes[part] = False
        light[part] += peak * np.exp(-0.5 * ((y[part] - row) / width) ** 2)
    err = np.full(template.shape, SKY * noise, np.float32)
    sci = SKY * template + light + rng.normal(0, SKY * noise, template.shape)
    dq = (rng.random(template.shape) < 0.01).astype(np.uint32)
    sci[dq == 1] = rng.choice([np.nan, 1e4, -1e4], np.count_nonzero(dq))
    return sci.astype(np.float32), err, dq, template, light, boxes


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_crowded_field(seed):
    sci, err, dq, template, light, boxes = field(310, seed)
    assert enough_background(boxes, dq, template) is not None  # boxes leave less than 5 %
    found = residual_mask(sci, err, dq, template, dispersion_axis=1)
    assert found.stable
    assert not found.mask[dq == 1].any()
    assert enough_background(found.mask, dq, template) is None
    assert light[found.mask].max() < 3 * SKY * 0.1  # nothing brighter than 3 sigma of a pixel
    fit = fit_scale(sci, err, found.mask, template)
    assert abs(fit.coefficients[0] / SKY - 1) < 0.003
    plain = fit_scale(sci, err, (dq == 0), template)
    assert plain.coefficients[0] / SKY - 1 > 0.2  # what the mask spares us


def test_a_field_without_sources_is_kept_and_unbiased():
    sci, err, dq, template, *_ = field(0, 5)
    found = residual_mask(sci, err, dq, template)
    fit = fit_scale(sci, err, found.mask, template)
    assert found.mask.mean() > 0.4
    assert abs(fit.coefficients[0] - SKY) < 4 * fit.standard_errors[0]


def test_the_kernel_follows_the_spectra():
    sci, err, dq, template, light, _ = field(150, 4)
    faint = (light > 0.05 * SKY) & (light < 0.1 * SKY)
    kept = [
        residual_mask(sci, err, dq, template, dispersion_axis=axis).mask[faint].mean()
        for axis in (1, 2, None)
    ]
    assert kept[0] < 0.6 * min(kept[1:])
    turned = residual_mask(sci.T, err.T, dq.T, template.T, dispersion_axis=2).mask.T
    assert turned[faint].mean() == pytest.approx(kept[0], abs=0.002)


def test_a_mask_that_swings_settles():
    for seed in (0, 1, 2):
        sci, err, dq, template, *_ = field(0, seed)
        for smooth in (1.0, 1.5, 2.0):
            assert residual_mask(sci, err, dq, template, smooth=smooth, grow=3).stable


def test_two_components():
    sci, err, dq, template, *_ = field(100, 6)
    arc = np.exp(-(((np.mgrid[:768, :768][0] - 300) / 90.0) ** 2)).astype(np.float32)
    sci = sci + 0.2 * arc
    templates = np.stack([template, arc])
    found = residual_mask(sci, err, dq, templates)
    fit = fit_scale(sci, err, found.mask, templates)
    np.testing.assert_allclose(fit.coefficients, [SKY, 0.2], atol=0.003)


@pytest.mark.parametrize("what", ["err", "sci", "template", "dq"])
def test_nothing_to_fit_is_an_empty_mask(what):
    sci, err, dq, template, *_ = field(3, 1, size=100)
    arrays = {"sci": sci, "err": err, "dq": dq, "template": template}
    arrays[what] = np.full_like(arrays[what], {"err": 0, "dq": 1, "template": 0}.get(what, np.nan))
    found = residual_mask(arrays["sci"], arrays["err"], arrays["dq"], arrays["template"])
    assert not found.mask.any() and not found.stable
