"""FITS as people write it: read as the peer reads it, or refused with a clear word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from jwst.background.background_sub import background_sub
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow import api
from tests.helpers.exposures import make_model
from tests.helpers.fits_habits import HABITS
from tests.helpers.products import lasting

SHAPE = (24, 32)
BACKGROUNDS = 3

AS_IT_WAS = {
    "another version of each extension",
    "a second sci",
    "extensions without a name",
    "a card without a value",
    "no err",
    "no dq",
    "sci alone",
}
"""What the peer crashes on, or mixes up: the result must be that of the file as it was, but for
what the file does not have."""


def exposures(folder, habit="as it was", suffix=".fits"):
    """Write a target and its backgrounds as a habit has it; return their paths."""
    random, paths = np.random.default_rng(7), []
    for i in range(1 + BACKGROUNDS):
        sci = random.integers(10, 90, SHAPE).astype("f4")
        dq = random.integers(0, 5, SHAPE)
        path = folder / f"jw0{i}_rate{suffix}"
        with make_model(sci, random.uniform(0.5, 2, SHAPE), dq) as model:
            model.var_poisson = np.full(SHAPE, 0.25, "f4")
            model.meta.target.catalog_name = "M 31"
            model.meta.cal_step.dq_init = "COMPLETE"
            model.save(str(path.with_suffix(".fits")))
        with fits.open(path.with_suffix(".fits"), memmap=False) as hdus:
            raw = HABITS[habit](hdus)
        path.with_suffix(".fits").unlink()
        path.write_bytes(raw)
        paths.append(path)
    return paths


def peers(paths, product):
    """Do the same by the peer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with datamodels.open(str(paths[0])) as target:
            _, result = background_sub(target, list(map(str, paths[1:])), 3.0, None)
            result.meta.cal_step.bkg_subtract = "COMPLETE"
            result.save(str(product))
    return product


def own(flat):
    """What a product says of the exposure, not of how it was made."""
    names = ("meta.bkgflow", "history", "meta.model_type")
    return {key: value for key, value in lasting(flat).items() if not key.startswith(names)}


def assert_equal(ours, theirs, *, everything=True, absent=()):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with datamodels.open(str(ours)) as one, datamodels.open(str(theirs)) as other:
            for name in {"data", "err", "dq", "var_poisson"}.difference(absent):
                found, wanted = (getattr(each, name) for each in (one, other))
                assert found.dtype == wanted.dtype
                np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=name)
            if everything:
                flat, expected = (
                    own(each.to_flat_dict(include_arrays=False)) for each in (one, other)
                )
                assert flat == expected


@pytest.mark.parametrize("habit", HABITS)
def test_a_file_that_the_peer_reads_has_the_peers_result(tmp_path, habit):
    paths = exposures(tmp_path, habit)
    product = api.subtract_to_file(paths[0], list(map(str, paths[1:])), tmp_path / "out")
    known = habit not in AS_IT_WAS
    everything = known and habit != "checksums"  # which the peer leaves as they were
    (tmp_path / "plain").mkdir()
    given = paths if known else exposures(tmp_path / "plain")
    absent = {"sci alone": ("err", "dq", "var_poisson"), "no err": ("err",), "no dq": ("dq",)}
    missing = absent.get(habit, ())
    assert_equal(product, peers(given, tmp_path / "peer.fits"), everything=everything, absent=missing)
    with bkgflow.subtract(paths[0], list(map(str, paths[1:]))) as model:
        model.save(str(tmp_path / "model.fits"))
    assert_equal(tmp_path / "model.fits", product, absent=missing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of checksums, among others
        with fits.open(product, checksum=True) as hdus:
            hdus.verify("exception")
