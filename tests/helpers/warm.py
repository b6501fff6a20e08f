"""The kernels compiled once, before several processes would do so at the same time."""

from __future__ import annotations

from bkgflow.kinds.warm import warm_up

__all__ = ["compile_kernels"]


def compile_kernels() -> None:
    """Have the machine code of every kernel on disk."""
    warm_up(say=print)
