"""Topics of a scheduler by which workers and a driver tell each other what happens."""

from __future__ import annotations

__all__ = ["LEAVES"]

LEAVES = "bkgflow-leaves"
"""A worker leaves because it was told to."""
