"""Exposures as instruments take them: with the keywords that say how, and which they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.exposures import make_model

__all__ = ["NUMBERS", "SETUPS", "sky", "take", "taken"]

NUMBERS = {
    "observation.program_number": "01234",
    "observation.observation_number": "005",
    "observation.visit_number": "001",
    "observation.visit_group": "02",
    "observation.sequence_id": "1",
    "observation.activity_id": "01",
}

SETUPS: dict[str, dict[str, Any]] = {
    "MIRI": {
        "instrument.detector": "MIRIFUSHORT",
        "exposure.type": "MIR_MRS",
        "instrument.channel": "12",
        "instrument.band": "SHORT",
        "instrument.ccc_state": "OPEN",
        "exposure.readpatt": "FASTR1",
        "exposure.ngroups": 10,
    },
    "NIRCAM": {
        "instrument.detector": "NRCALONG",
        "exposure.type": "NRC_IMAGE",
        "instrument.module": "A",
        "instrument.channel": "LONG",
        "instrument.filter": "F444W",
        "instrument.pupil": "CLEAR",
        "instrument.coronagraph": "NONE",
        "exposure.readpatt": "BRIGHT1",
    },
    "NIRISS": {
        "instrument.detector": "NIS",
        "exposure.type": "NIS_IMAGE",
        "instrument.filter": "CLEAR",
        "instrument.pupil": "F150W",
        "exposure.readpatt": "NIS",
    },
    "NIRSPEC": {
        "instrument.detector": "NRS1",
        "exposure.type": "NRS_FIXEDSLIT",
        "instrument.filter": "F100LP",
        "instrument.grating": "G140H",
        "instrument.fixed_slit": "S200A1",
        "exposure.readpatt": "NRSIRS2RAPID",
        "instrument.gwa_xtilt": 0.1,
        "instrument.gwa_ytilt": 0.2,
    },
}
"""How an exposure of each instrument is taken, by the keys of a data model below ``meta``."""


def sky(seed: int, level: float = 10.0, shape: tuple[int, ...] = (16, 16)) -> Any:
    """A noisy sky of one level."""
    return np.random.default_rng(seed).normal(level, 0.5, shape).astype(np.float32)


def taken(
    sci: Any, instrument: str = "MIRI", number: int | None = 1, *, dq: Any = 0, **changes: Any
) -> Any:
    """Return a data model; ``number`` is the exposure's, None for one that does not say it.

    ``changes`` are values of ``meta`` with two underscores for a dot; None leaves a key out.
    """
    setup = SETUPS[instrument]
    model = make_model(sci, dq=dq, instrument=instrument)
    values = {**setup, **{name.replace("__", "."): value for name, value in changes.items()}}
    if number is not None:
        values = {**NUMBERS, "observation.exposure_number": f"{number:05d}", **values}
    for key, value in values.items():
        model[f"meta.{key}"] = value
    return model


def take(path: Any, sci: Any, *given: Any, **changes: Any) -> str:
    """Write what `taken` returns; return the path."""
    Path(path).parent.mkdir(exist_ok=True)
    with taken(sci, *given, **changes) as model:
        model.save(str(path))
    return str(path)
