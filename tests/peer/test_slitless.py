"""The peer's tests of slitless subtraction that need no reference server, on bkgflow.

All others assign a WCS with reference files from the server: see `NEED_A_SERVER`. What they
look at is held against the peer on simulated WCS in tests/peer/test_slitless_against_peer.py,
tests/methods/test_slitless_boxes.py and tests/kinds/test_slitless_run.py.
"""

import jwst.background.tests.test_background_wfss as peer
import numpy as np
import pytest
from jwst.background.tests.test_background_wfss import *  # noqa: F403

from bkgflow.errors import MetadataError, SettingsError
from bkgflow.methods.slitless import enough_background, fit_scale
from bkgflow.rules import ScaleRule

NEED_A_SERVER = {
    "test_nrc_wfss_background",
    "test_nis_wfss_background",
    "test_nrc_wfss_full_run",
    "test_nis_wfss_full_run",
    "test_wfss_asn_input",
    "test_missing_bkg",
    "test_bkg_fail",
    "test_infinite_factor",
    "test_user_mask",
    "test_user_mask_no_catalog",
    "test_user_mask_low_pixels",
    "test_user_mask_no_valid_pixels",
    "test_no_catalog_no_user_mask",
    "test_user_mask_step",
    "test_user_mask_no_mask_attribute",
    "test_user_mask_wrong_shape",
}
"""Their fixtures run the peer's assign_wcs, which fetches references from the server."""

for name in NEED_A_SERVER:
    del globals()[name]


class ScalingFactorComputer:
    """bkgflow's fit under the name and arguments of the peer's."""

    def __init__(self, p=1.0, maxiter=5, delta_rms_thresh=0.0, dispersion_axis=None):
        self.options = {"outlier_percent": p, "rms_stop": 100 * delta_rms_thresh}
        self.axis = dispersion_axis
        self.maxiter, self.delta_rms_thresh = maxiter, delta_rms_thresh
        one = np.ones((2, 2), np.float32)
        try:
            self._fit(one, one, one, maxiter)
        except (SettingsError, MetadataError) as error:
            raise ValueError(str(error)) from None

    def _fit(self, sci, bkg, var, maxiter):
        arrays = (np.asarray(array, np.float32) for array in (sci, np.sqrt(var), bkg))
        sci, err, bkg = arrays
        mask = np.ones(sci.shape, bool)
        return fit_scale(
            sci,
            err,
            mask,
            bkg,
            ScaleRule(maxiter=maxiter, **self.options),
            dispersion_axis=self.axis,
        )

    def err_weighted_mean(self, sci, bkg, var):
        return self._fit(sci, bkg, var, 0).coefficients[0]

    def __call__(self, sci, bkg, var):
        """Factor and rejected pixels: as many as there are, for bkgflow does not say which."""
        fit = self._fit(sci, bkg, var, self.maxiter)
        self._iters_run_last_call = fit.iterations
        rejected = np.zeros(sci.size, bool)
        rejected[: self._fit(sci, bkg, var, 0).n_used - fit.n_used] = True
        return fit.coefficients[0], rejected.reshape(sci.shape)


@pytest.fixture(autouse=True)
def _bkgflow_instead_of_the_peer(monkeypatch):
    def sufficient(dq, mask, bkg):
        return enough_background(mask, np.asarray(dq, np.uint32), bkg) is None

    monkeypatch.setattr(peer, "_sufficient_background_pixels", sufficient)
    monkeypatch.setattr(peer, "ScalingFactorComputer", ScalingFactorComputer)


@pytest.fixture
def tmp_cwd(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_test_of_the_peer_is_here_or_listed():
    theirs = {name for name in vars(peer) if name.startswith("test_")}
    assert theirs - NEED_A_SERVER == {
        "test_sufficient_background_pixels",
        "test_sufficient_background_pixels_nonoverlapping",
        "test_weighted_mean",
    }
    assert theirs - NEED_A_SERVER <= set(globals())
