"""The peer's tests of SOSS subtraction, with bkgflow underneath.

Two cannot apply, for they reach into the peer's own parts: see `LEFT_OUT`.
"""

import logging

import jwst.background.tests.test_background_soss as peer
import numpy as np
import pytest
from jwst.background.tests.test_background_soss import *  # noqa: F403

import bkgflow
from bkgflow.io.references.soss_library import cut_library, read_library
from bkgflow.methods.soss import ArraySegment, fit_soss, subtract_soss
from bkgflow.methods.soss.regions import discontinuity
from bkgflow.rules import SossRule

LEFT_OUT = {
    "test_generate_background_masks": "bkgflow makes no masks of the sides: it cuts the template "
    "at its step instead (tests/methods/test_soss_fit.py holds the result against the peer)",
    "test_bkg_fail": "replaces a private function of the peer by one that fails; an exposure "
    "that no template fits is in tests/methods/test_soss_fit.py",
}

for name in LEFT_OUT:
    del globals()[name]

THEIR_WORDS = {'is "N/A"': "No BKG reference file found"}
"""What the peer logs where bkgflow gives this reason."""

log = logging.getLogger(__name__)


@pytest.fixture(autouse=True)
def _bkgflow_instead_of_the_peer(monkeypatch, tmp_path):
    def saved(library):
        if isinstance(library, str):
            return library
        library.save(str(tmp_path / "library.fits"))
        return str(tmp_path / "library.fits")

    def subtract_soss_bkg(model, library, source_percentile, bkg_percentile):
        templates = cut_library(read_library(saved(library)), model.data.shape)[0]
        rule = SossRule(source_percentile=source_percentile, bkg_percentile=tuple(bkg_percentile))
        sci = np.array(model.data, np.float32)
        [fit] = fit_soss([ArraySegment(sci, model.dq)], templates, rule)
        assert fit.template is not None
        subtract_soss(sci, templates, fit)
        model.data = sci
        return model

    class BackgroundStep:
        @staticmethod
        def call(model, override_bkg, **arguments):
            # The peer's exposures do not say where they lie on the detector; real ones do.
            rows, columns = model.data.shape[-2:]
            place = {"xstart": 1, "ystart": 1, "xsize": columns, "ysize": rows}
            model.meta.subarray.instance.update(place)
            result = bkgflow.subtract(model, override_bkg=saved(override_bkg), **arguments)
            reason = result.meta.bkgflow.instance["reason"]
            for ours, theirs in THEIR_WORDS.items():
                if ours in reason:
                    log.warning(theirs)
            return result

    def find_discontinuity(template):
        columns = discontinuity(np.asarray(template, np.float32))
        return np.stack([columns, np.arange(len(columns))], axis=1)

    monkeypatch.setattr(peer, "subtract_soss_bkg", subtract_soss_bkg)
    monkeypatch.setattr(peer, "BackgroundStep", BackgroundStep)
    monkeypatch.setattr(peer, "find_discontinuity", find_discontinuity)


def test_every_test_of_the_peer_is_here_or_listed():
    theirs = {name for name in vars(peer) if name.startswith("test_")}
    assert len(theirs) >= 6
    assert theirs - set(LEFT_OUT) <= set(globals())
