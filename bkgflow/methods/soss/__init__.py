"""NIRISS SOSS: a library of sky templates fitted to time series, and subtracted."""

from __future__ import annotations

from bkgflow.methods.soss.fit import fit_soss
from bkgflow.methods.soss.segments import ArraySegment, Segment
from bkgflow.methods.soss.sky import FittedSky, SossFit, subtract_soss

__all__ = ["ArraySegment", "FittedSky", "Segment", "SossFit", "fit_soss", "subtract_soss"]
