"""Sigma-clipped averages of exposures and of integrations."""

from __future__ import annotations

from bkgflow.methods.clip.average import Collapsed, Combined, collapse, combine
from bkgflow.methods.clip.packed import Packed
from bkgflow.methods.clip.rejected import rejected

__all__ = ["Collapsed", "Combined", "Packed", "collapse", "combine", "rejected"]
