"""Synthetic JWST programs with a known truth, for the demo, tests and benchmarks.

Every program (imaging, dithers, nods, tso, slitless, soss, template) says which light falls where;
one detector makes exposures of that, and one writer makes files of those. An argument out of
bounds raises SettingsError; a folder that cannot be written to, or holds another program,
OutputError.
"""

from __future__ import annotations

from bkgflow.simulate.dithers import DitherTruth, simulate_dithers
from bkgflow.simulate.one_sky import simulate_imaging, simulate_nods, simulate_tso
from bkgflow.simulate.slitless import simulate_wfss
from bkgflow.simulate.soss import SossTruth, simulate_soss
from bkgflow.simulate.spectra import SlitlessTruth
from bkgflow.simulate.template import StrayTruth, simulate_template
from bkgflow.simulate.truth import Truth
from bkgflow.simulate.writer import Simulated

__all__ = [
    "DitherTruth", "Simulated", "SlitlessTruth", "SossTruth", "StrayTruth", "Truth",
    "simulate_dithers", "simulate_imaging", "simulate_nods", "simulate_soss", "simulate_template",
    "simulate_tso", "simulate_wfss",
]  # fmt: skip
