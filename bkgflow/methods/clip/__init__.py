"""Sigma-clipped averages of exposures and of integrations."""

from __future__ import annotations

from bkgflow.methods.clip.average import Collapsed, Combined, collapse, combine

__all__ = ["Collapsed", "Combined", "collapse", "combine"]
