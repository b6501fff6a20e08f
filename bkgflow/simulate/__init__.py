"""Synthetic JWST programs with a known truth, for the demo, tests and benchmarks.

A scene (imaging, nods, tso, slitless, soss) says what there is and which light falls where;
one detector makes exposures of it, and one writer makes files of those.
"""

from __future__ import annotations

from bkgflow.simulate.imaging import simulate_imaging
from bkgflow.simulate.nods import simulate_nods
from bkgflow.simulate.slitless import simulate_wfss
from bkgflow.simulate.soss import simulate_soss
from bkgflow.simulate.soss_truth import SossTruth
from bkgflow.simulate.spectra import SlitlessTruth
from bkgflow.simulate.truth import Truth
from bkgflow.simulate.tso import simulate_tso
from bkgflow.simulate.writer import Simulated

__all__ = [
    "Simulated",
    "SlitlessTruth",
    "SossTruth",
    "Truth",
    "simulate_imaging",
    "simulate_nods",
    "simulate_soss",
    "simulate_tso",
    "simulate_wfss",
]
