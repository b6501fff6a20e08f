"""What the simulated programs share: names, pointings, times, cut-outs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from bkgflow.detector import Window
from bkgflow.simulate.headers import root_name
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.truth import Dither, Exposure, Truth

__all__ = [
    "BACKGROUND",
    "RAY_FRACTION",
    "TARGET",
    "assemble",
    "cutout",
    "one_after_the_other",
    "plan_exposure",
]

START = datetime(2024, 3, 5, 6, 0, 0)
"""When a simulated program's first exposure starts, UTC."""

OVERHEAD = timedelta(minutes=2)
"""Between the end of one exposure and the start of the next."""

FIELD = (53.16, -27.79)
"""Where a simulated program points, in degrees: near the Hubble Ultra Deep Field."""

TARGET, BACKGROUND = 0, 1
"""The roles' numbers in the exposures' keys."""

RAY_FRACTION = 1e-3
"""Pixels of a dedicated background that an unnoticed cosmic ray struck."""


def plan_exposure(
    instrument: Instrument,
    key: tuple[int, int],
    window: Window,
    *,
    observation: int = 1,
    number: int | None = None,
    offset: tuple[float, float] = (0.0, 0.0),
    dither: Dither | None = None,
    **values: Any,
) -> Exposure:
    """Return an exposure with its name and pointing worked out; ``values`` are its other fields.

    Its number is by default that within its role, from 1; ``offset`` is its distance from the
    program's field in RA and Dec, in degrees, and ``dither`` how far its sources have moved on
    the detector.
    """
    number = key[1] + 1 if number is None else number
    dither = dither or Dither()
    ra, dec = FIELD[0] + offset[0], FIELD[1] + offset[1]
    # A source that moved by (x, y) on the detector says that the telescope moved the other way.
    east, north = (
        -(row[0] * dither.x + row[1] * dither.y) / 3600.0 for row in instrument.rotation()
    )
    return Exposure(
        name=f"{root_name(instrument, observation, number)}_{instrument.suffix}.fits",
        role="target" if key[0] == TARGET else "background",
        key=key,
        window=window,
        ra=ra + east / math.cos(math.radians(dec)),
        dec=dec + north,
        observation=observation,
        number=number,
        start=START,
        dither=dither,
        **values,
    )


def assemble(instrument: Instrument, seed: int, exposures: Sequence[Exposure]) -> Truth:
    """Return the truth of a program whose exposures are taken one after the other."""
    return Truth(
        exp_type=instrument.exp_type,
        program=instrument.program,
        seed=seed,
        plane=instrument.sky,
        detector=instrument.readout.detector(),
        exposures=one_after_the_other(instrument, exposures),
    )


def one_after_the_other(
    instrument: Instrument, exposures: Sequence[Exposure]
) -> tuple[Exposure, ...]:
    """Return the exposures with the times at which they start, one after the other."""
    timed, start = [], START
    for exposure in exposures:
        timed.append(exposure.model_copy(update={"start": start}))
        seconds = instrument.readout.integration_time * (exposure.integrations or 1)
        start += timedelta(seconds=seconds) + OVERHEAD
    return tuple(timed)


def cutout(instrument: Instrument, size: int | None) -> Window:
    """Return a square at the middle of the right edge, or the whole frame.

    There it holds reference pixels, and neither its first column nor its first row is the
    detector's.
    """
    frame = instrument.frame
    if size is None:
        return frame
    return Window(frame.x1 - size, (frame.ny - size) // 2, size, size)
