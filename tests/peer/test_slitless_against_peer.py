"""The whole slitless subtraction against the peer's: status, mask, data, flags, factor."""

import logging
import warnings

import numpy as np
import pytest
from jwst.background.background_sub_wfss import subtract_wfss_bkg

from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.references.slitless import slitless_inputs
from bkgflow.methods.slitless import boxes_to_mask, fit_background, grism_boxes, subtract_scaled
from bkgflow.rules import ScaleRule
from tests.helpers.pace import few_fast
from tests.helpers.slitless import (
    MODES,
    exposure,
    write_catalog,
    write_ranges,
    write_reference,
)

logging.getLogger("jwst").setLevel(logging.ERROR)

FRAME = (400, 500)


def sky_of(rng):
    y, x = np.mgrid[: FRAME[0], : FRAME[1]]
    sky = 1 + 0.3 * np.sin(x / 150) + y / 900
    sky[rng.random(FRAME) < 0.01] = 0
    return sky.astype(np.float32)


def fill(model, sky, corner, rng):
    """Give the model a sky of known strength, noise, sources, NaN and flags."""
    ny, nx = model.data.shape
    err = 0.05 * rng.uniform(0.7, 1.5, (ny, nx))
    part = sky[corner[1] : corner[1] + ny, corner[0] : corner[0] + nx]
    data = 0.6 * part + err * rng.normal(size=err.shape)
    data[rng.random(err.shape) < 0.02] += 3
    bad = rng.random(err.shape) < 0.02
    data[bad] = err[bad] = np.nan
    err[rng.random(err.shape) < 0.01] = 0
    model.data, model.err = data.astype(np.float32), err.astype(np.float32)
    model.dq = np.where(bad, 1, rng.choice([0, 4], err.shape)).astype(np.uint32)


def ours(model, sky, catalog, ranges, limit, mask_path, **options):
    """What the graph will do with the parts: arrays in, arrays out."""
    found = slitless_inputs(
        model_facts(model, "a_rate.fits"), sky, wavelengthrange=ranges, catalog=catalog,
        user_mask=mask_path, mmag_extract=limit,
    )  # fmt: skip
    mask = found.mask
    if mask is None:
        boxes = grism_boxes(found.corners.x, found.corners.y, model.data.shape,
                            found.dispersion_axis)  # fmt: skip
        mask = boxes_to_mask(boxes, model.data.shape)
    sci, err, dq = (np.array(a) for a in (model.data, model.err, model.dq))
    fit = fit_background(
        sci, err, dq, mask, found.templates.sci, users=found.mask is not None,
        dispersion_axis=found.dispersion_axis, rule=ScaleRule(**options),
    )  # fmt: skip
    if fit.reason is None:
        subtract_scaled(sci, found.templates.sci, fit.coefficients)
        dq |= found.templates.dq
    return fit, mask, sci, dq


def peers(model, sky, catalog, ranges, limit, mask, **options):
    model = model.copy()
    model.meta.source_catalog = str(catalog)
    rescaler = {
        "p": options["outlier_percent"],
        "maxiter": options["maxiter"],
        "delta_rms_thresh": options["rms_stop"] / 100,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return subtract_wfss_bkg(model, str(sky), str(ranges), limit, mask, rescaler)


@pytest.mark.slow
@pytest.mark.parametrize("seed", few_fast(range(60), 6))
def test_results_are_the_peers(seed, tmp_path):
    rng = np.random.default_rng(seed)
    mode = list(MODES.values())[seed % len(MODES)]
    shape = (int(rng.integers(150, 300)), int(rng.integers(150, 300)))
    corner = (int(rng.integers(0, FRAME[1] - shape[1])), int(rng.integers(0, FRAME[0] - shape[0])))
    model = exposure(mode, shape, corner)
    sky = sky_of(rng)
    fill(model, sky, corner, rng)
    flags = rng.choice(np.array([0, 2], np.uint32), FRAME)
    files = (
        write_reference(tmp_path / "sky.fits", sky, dq=flags, instrument=mode.instrument),
        write_catalog(tmp_path / "c.ecsv", mode, shape, corner, [6, 14, 120][seed % 3], rng),
        write_ranges(tmp_path / "r.asdf", mode),
    )
    limit = [None, 25.0, 22.0][(seed // 3) % 3]
    mask = path = None
    if seed % 4 == 3:
        mask = rng.random(shape) < 0.02
        if seed == 7:
            mask[:] = False
        path = tmp_path / "mask.fits"
        holder = model.copy()
        holder.mask = mask.astype(np.uint32)
        holder.save(str(path))
    options = {
        "maxiter": [5, 0, 3][seed % 3],
        "outlier_percent": [1.0, 5.0][seed % 2],
        "rms_stop": [0.0, 0.0, 2.0][seed % 3],
    }
    fit, our_mask, sci, dq = ours(model, *files, limit, path, **options)
    peer = peers(model, *files, limit, mask, **options)
    np.testing.assert_array_equal(our_mask, peer.mask == 1)
    np.testing.assert_array_equal(dq, peer.dq)
    if peer.meta.cal_step.bkg_subtract == "FAILED":
        assert fit.reason is not None
        assert peer.meta.background.scaling_factor == fit.coefficients[0] == 0
        np.testing.assert_array_equal(sci, model.data)
    else:
        assert fit.reason is None
        np.testing.assert_allclose(
            fit.coefficients[0], peer.meta.background.scaling_factor, rtol=1e-6
        )
        np.testing.assert_allclose(sci, peer.data, rtol=0, atol=3e-6)


@pytest.mark.slow
def test_both_outcomes_are_among_the_scenes(tmp_path):
    """A crowded field and a mask of nothing fail; the reasons say by how much."""
    mode, shape = MODES["A-R"], (200, 200)
    rng = np.random.default_rng(0)
    model, sky = exposure(mode, shape), sky_of(rng)
    fill(model, sky, (0, 0), rng)
    files = (
        write_reference(tmp_path / "sky.fits", sky),
        write_catalog(tmp_path / "c.ecsv", mode, shape, (0, 0), 200, rng),
        write_ranges(tmp_path / "r.asdf", mode),
    )
    options = {"maxiter": 5, "outlier_percent": 1.0, "rms_stop": 0.0}
    fit, mask, sci, _ = ours(model, *files, None, None, **options)
    assert mask.mean() < 0.05
    assert "more than 2000 are needed" in fit.reason
    np.testing.assert_array_equal(sci, model.data)
    assert peers(model, *files, None, None, **options).meta.cal_step.bkg_subtract == "FAILED"

    model.err = np.zeros(shape, np.float32)
    everything = np.ones(shape, bool)
    result = peers(model, *files, None, everything, **options)
    assert result.meta.cal_step.bkg_subtract == "FAILED"
    fit = fit_background(model.data, model.err, model.dq, everything, sky[:200, :200], users=True)
    assert "ERR is 0" in fit.reason
