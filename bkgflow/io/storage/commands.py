"""Commands of this machine: whether there is one of a name."""

from __future__ import annotations

import shutil

__all__ = ["is_command"]


def is_command(name: str) -> bool:
    """Whether a name, or a path, is that of a program that this user may run."""
    return shutil.which(name) is not None
