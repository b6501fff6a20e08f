"""What the simulated programs share: names, pointings, times, cut-outs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from bkgflow.detector import Window
from bkgflow.simulate.headers import GROUP
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.truth import Dither, Exposure, Program

__all__ = ["BACKGROUND", "RAY_FRACTION", "TARGET", "assemble", "cutout", "plan_exposure"]

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

P = TypeVar("P", bound=Program[Exposure])


def plan_exposure(
    instrument: Instrument,
    key: tuple[int, int],
    window: Window,
    *,
    observation: int = 1,
    number: int | None = None,
    offset: tuple[float, float] = (0.0, 0.0),
    dither: Dither = Dither(),  # noqa: B008
    **values: object,
) -> Exposure:
    """Return an exposure with its name and pointing worked out; ``values`` are its other fields.

    Its number is by default that within its role, from 1; ``offset`` is its distance from the
    program's field in RA and Dec, in degrees, and ``dither`` how far its sources have moved on
    the detector.
    """
    number = key[1] + 1 if number is None else number
    root = f"jw{instrument.visit(observation)}_{GROUP}_{number:05d}_{instrument.detector.lower()}"
    ra, dec = FIELD[0] + offset[0], FIELD[1] + offset[1]
    # A source that moved by (x, y) on the detector says that the telescope moved the other way.
    east, north = (-(x * dither.x + y * dither.y) / 3600.0 for x, y in instrument.rotation())
    return Exposure(
        name=f"{root}_{instrument.suffix}.fits",
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


def assemble(
    truth: type[P], camera: Instrument, seed: int, exposures: Sequence[Exposure], /, **own: object
) -> P:
    """Return the truth of a program whose exposures are taken one after the other.

    ``own`` is what it holds besides what all or most of them do.
    """
    shared = {"exp_type": camera.exp_type, "program": camera.program, "seed": seed}
    shared |= {"plane": camera.sky, "detector": camera.readout.detector()}
    timed = tuple(_one_after_the_other(camera, exposures))
    return truth.model_validate(shared | {"exposures": timed} | own)


def _one_after_the_other(
    instrument: Instrument, exposures: Sequence[Exposure]
) -> Iterator[Exposure]:
    """Yield exposures with the times at which they start; the segments of one start together."""
    start = START
    for exposure in exposures:
        yield exposure.model_copy(update={"start": start})
        if exposure.cut.first + (exposure.integrations or 1) == exposure.cut.total:
            seconds = instrument.readout.integration_time * exposure.cut.total
            start += timedelta(seconds=seconds) + OVERHEAD


def cutout(instrument: Instrument, size: int | None) -> Window:
    """Return a square at the middle of the right edge, or the whole frame.

    There it holds reference pixels, and neither its first column nor its first row is the
    detector's.
    """
    frame = instrument.frame
    if size is None:
        return frame
    return Window(frame.x1 - size, (frame.ny - size) // 2, size, size)
