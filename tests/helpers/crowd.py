"""A program of many equal units: enough of them that a run can be met in its midst."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from tests.helpers.exposures import make_model, write_association


def write_crowd(folder: Path, units: int = 24, size: int = 128, backgrounds: int = 2) -> Path:
    """Write targets that share their backgrounds; return the folder of the program."""
    folder.mkdir(parents=True)
    names = [f"b{number}_rate.fits" for number in range(backgrounds)]
    for value, first, others in (
        (100.0, "t0_rate.fits", [f"t{number}_rate.fits" for number in range(1, units)]),
        (10.0, names[0], names[1:]),
    ):
        with make_model(np.full((size, size), value)) as model:
            model.save(str(folder / first))
        for name in others:
            shutil.copy(folder / first, folder / name)
    products = [(f"p{number}", f"t{number}_rate.fits", names) for number in range(units)]
    write_association(folder / "all_asn.json", products)
    return folder
