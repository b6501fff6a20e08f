"""The program of ``bkgflow demo``, in small frames, and whether its products are the same."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from bkgflow import simulate

DEMO = {"save_combined_background": True, "soss_fit": "integration"}
"""What the demo asks for."""


def demo_program(folder, size=256):
    """Write the demo's program; return what was written."""
    return [
        simulate.simulate_imaging(folder / "imaging", targets=4, backgrounds=8, size=size),
        simulate.simulate_nods(folder / "nods", points=5),
        simulate.simulate_tso(folder / "tso", integrations=10, backgrounds=2, size=128),
        simulate.simulate_wfss(folder / "wfss", exposures=2, size=size),
        simulate.simulate_soss(
            folder / "soss", integrations=8, segments=2, templates=3, drift=0.05
        ),
    ]


def with_references(written, folder):
    """Copy the references of what was written into one folder; return it."""
    folder.mkdir()
    for path in (path for each in written for path in each.references):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def differences(one, other):
    """Name what of two products differs: dates and keys, which always do, are left out."""
    with fits.open(one) as a, fits.open(other) as b:
        if [each.name for each in a] != [each.name for each in b]:
            return ["the HDUs"]
        return [
            mine.name
            for mine, theirs in zip(a, b, strict=True)
            if mine.name not in ("PRIMARY", "ASDF")
            and not np.array_equal(mine.data, theirs.data, equal_nan=mine.is_image)
        ]
