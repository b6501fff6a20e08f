"""What is to be made of a program: shots, other files; and what the detector measures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from gwcs import WCS
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels

from bkgflow.detector import REFERENCE_PIXEL
from bkgflow.io.models import Model
from bkgflow.simulate.headers import integration_times
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.noise import DEAD, HOT, Stream, defects, draw_rate, generator, jumps
from bkgflow.simulate.truth import Exposure, Image, Program, SkyTruth

__all__ = ["Extra", "Member", "Shot", "build_model", "draw", "under_the_sky"]

HOT_EXCESS = 20.0
"""A hot pixel's rate over the sky's level at the detector's centre."""

PLANES = ("data", "err", "var_poisson", "var_rnoise")


class Member(NamedTuple):
    """A file of an association besides the exposure itself."""

    name: str
    exptype: str  # its type there


class Extra(NamedTuple):
    """A file besides the exposures."""

    kind: str  # a reference's type, a member's type in associations, or another name
    name: str  # its path below the program's folder
    content: Model | str


class Shot(NamedTuple):
    """An exposure with what the detector sees in it; it is made when it is asked for."""

    exposure: Exposure
    light: Iterable[tuple[Image, Image | float]]  # by integration, DN/s: as SkyTruth.light
    members: Sequence[Member] = ()  # of its association, if it is a target
    coordinates: WCS | None = None


def under_the_sky(
    truth: SkyTruth[Exposure], backgrounds: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Shot]:
    """Yield the shots of a program under one sky; ``backgrounds`` names those of each target."""
    for exposure in truth.exposures:
        names = (backgrounds or {}).get(exposure.name, ())
        members = [Member(name, "background") for name in names]
        yield Shot(exposure, truth.light(exposure), members)


def draw(
    truth: Program[Exposure], instrument: Instrument, shot: Shot
) -> dict[str, NDArray[np.generic]]:
    """Draw what the detector measures.

    Returns
    -------
    dict
        ``data``, ``err``, ``var_poisson``, ``var_rnoise`` float32 (DN/s and its square) and
        ``dq`` uint32; (ny, nx) for an image. For a cube (n_integrations, ny, nx), and
        ``int_times`` (n_integrations,) structured.
    """
    exposure, window = shot.exposure, shot.exposure.window
    flags = defects(window, instrument.frame, instrument.name, truth.seed)
    light = (flags & REFERENCE_PIXEL) == 0
    shape = (exposure.integrations or 1, *window.shape)
    planes = {name: np.empty(shape, np.float32) for name in PLANES}
    dq = np.empty(shape, np.uint32)
    planes["var_rnoise"][...] = truth.detector.read_variance
    for i, (rate, added) in enumerate(shot.light):
        noise, mended = (
            generator(truth.seed, *exposure.stream(each, i))
            for each in (Stream.NOISE, Stream.JUMPS)
        )
        data, planes["var_poisson"][i] = draw_rate(rate * light, truth.detector, noise)
        planes["data"][i] = data + added
        dq[i] = flags | jumps(window.shape, mended)
    np.sqrt(planes["var_poisson"] + planes["var_rnoise"], out=planes["err"])
    # After the errors: a hot pixel is brighter than its counting noise tells.
    planes["data"][:, (flags & HOT) != 0] += np.float32(HOT_EXCESS * instrument.sky.level)
    for plane in planes.values():
        plane[:, (flags & DEAD) != 0] = np.nan
    arrays = planes | {"dq": dq}
    if exposure.integrations is None:
        return {name: array[0] for name, array in arrays.items()}
    return arrays | {"int_times": integration_times(instrument, exposure)}


def build_model(name: str, arrays: Mapping[str, object], meta: Mapping[str, object]) -> Model:
    """Return a data model by its class, with arrays and tables by the names that this gives them.

    ``meta`` are header values by their key in the tree below ``meta``, such as
    ``instrument.name``; the tree that is written keeps their order. What the model's schema
    does not allow raises asdf's ValidationError.
    """
    model = getattr(datamodels, name)(strict_validation=True, **arrays)
    for key, value in meta.items():
        model[f"meta.{key}"] = value
    return model
