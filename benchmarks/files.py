"""What contenders of both sides need of files; nothing of either side is imported."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

__all__ = ["empty", "read_stacks"]


def empty(folder: Path) -> None:
    """Make a folder anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def read_stacks(
    paths: Sequence[Path],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
    """Read SCI, ERR and DQ of images into stacks (n, ny, nx)."""
    stacks: list[list[NDArray[Any]]] = [[], [], []]
    types = (("SCI", np.float32), ("ERR", np.float32), ("DQ", np.uint32))
    for path in paths:
        with fits.open(path, memmap=False) as hdus:
            for stack, (name, kind) in zip(stacks, types, strict=True):
                stack.append(np.asarray(hdus[name].data).astype(kind))
    sci, err, dq = (np.stack(stack) for stack in stacks)
    return sci, err, dq
