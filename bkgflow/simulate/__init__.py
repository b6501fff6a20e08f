"""Synthetic JWST programs with a known truth, for the demo, tests and benchmarks."""

from __future__ import annotations

from bkgflow.simulate.imaging import simulate_imaging
from bkgflow.simulate.soss import SimulatedSoss, simulate_soss
from bkgflow.simulate.spectra import simulate_nods, simulate_tso
from bkgflow.simulate.truth import Truth
from bkgflow.simulate.wfss import simulate_wfss
from bkgflow.simulate.wfss_files import SimulatedSlitless
from bkgflow.simulate.wfss_truth import SlitlessTruth
from bkgflow.simulate.writing import Simulated

__all__ = [
    "Simulated",
    "SimulatedSlitless",
    "SimulatedSoss",
    "SlitlessTruth",
    "Truth",
    "simulate_imaging",
    "simulate_nods",
    "simulate_soss",
    "simulate_tso",
    "simulate_wfss",
]
