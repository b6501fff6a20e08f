"""Which of the three methods an exposure is for."""

from __future__ import annotations

from bkgflow.settings import Mode

__all__ = ["mode_of"]

_FITTED: dict[str, Mode] = {
    "NIS_WFSS": "wfss",
    "NRC_WFSS": "wfss",
    "MIR_WFSS": "wfss",
    "NIS_SOSS": "soss",
}
"""Exposure types whose background is a scaled reference; all others use other exposures."""


def mode_of(exp_type: str) -> Mode:
    """Return the method for an exposure type (EXP_TYPE, in capitals)."""
    return _FITTED.get(exp_type, "image")
