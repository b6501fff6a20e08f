"""What can be simulated: a scene says which light falls where; the detector is the same for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import REFERENCE_PIXEL
from bkgflow.io.models import Model
from bkgflow.simulate.headers import integration_times
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.noise import DEAD, HOT, Stream, defects, draw_rate, generator, jumps
from bkgflow.simulate.truth import E, Exposure, Image, Program, SkyTruth

__all__ = ["Extra", "Member", "Scene", "SkyScene", "T", "draw"]

HOT_EXCESS = 20.0
"""A hot pixel's rate over the sky's level at the detector's centre."""

PLANES = ("data", "err", "var_poisson", "var_rnoise")

T = TypeVar("T", bound=Program[Any])
S = TypeVar("S", bound=SkyTruth[Any])
E_contra = TypeVar("E_contra", bound=Exposure, contravariant=True)


class Member(NamedTuple):
    """A file of an association besides the exposure itself."""

    name: str
    exptype: str  # its type there


class Extra(NamedTuple):
    """A file besides the exposures."""

    kind: str  # a reference's type, a member's type in associations, or another name
    name: str  # its path below the program's folder
    content: Model | str


class Scene(Protocol[T, E_contra]):
    """What is simulated. ``truth`` and ``instrument`` are all that the detector needs to know."""

    truth: T
    instrument: Instrument

    def rates(self, exposure: E_contra) -> Iterable[Image]:
        """Return the noiseless light of each integration: (ny, nx) float64, DN/s."""
        ...

    def added(self, exposure: E_contra, integration: int) -> Image | float:
        """Return what an integration shows besides light and noise, DN/s."""
        return 0.0

    def members(self, exposure: E_contra) -> Sequence[Member]:
        """Return the other members of a target's association."""
        return ()

    def extras(self) -> Iterator[Extra]:
        """Make the files that the scene needs besides its exposures, one by one."""
        yield from ()

    def coordinates(self, exposure: E_contra) -> Any:
        """Return the WCS that is saved with an exposure, if it has one."""
        return None


@dataclass(frozen=True)
class SkyScene(Scene[S, E], Generic[S, E]):
    """Sources under one sky; ``backgrounds`` names those of each target."""

    truth: S
    instrument: Instrument
    backgrounds: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def rates(self, exposure: E) -> Iterator[Image]:
        """Yield the sky and the sources as bright as they are in each integration."""
        sky, sources = self.truth.sky(exposure.window), exposure.image()
        courses = self.truth.sky_course(exposure.name), exposure.light_curve()
        for course, share in zip(*courses, strict=True):
            yield course * sky + share * sources

    def added(self, exposure: E, integration: int) -> Image:
        """Return what the truth adds to an integration."""
        return self.truth.added(exposure.name, integration)

    def members(self, exposure: E) -> list[Member]:
        """Return a target's backgrounds."""
        return [Member(name, "background") for name in self.backgrounds.get(exposure.name, ())]


def draw(scene: Scene[T, E], exposure: E) -> dict[str, NDArray[Any]]:
    """Draw what the detector measures.

    Returns
    -------
    dict
        ``data``, ``err``, ``var_poisson``, ``var_rnoise`` float32 (DN/s and its square) and
        ``dq`` uint32; (ny, nx) for an image. For a cube (n_integrations, ny, nx), and
        ``int_times`` (n_integrations,) structured.
    """
    window, instrument, truth = exposure.window, scene.instrument, scene.truth
    flags = defects(window, instrument.frame, instrument.name, truth.seed)
    light = (flags & REFERENCE_PIXEL) == 0
    shape = (exposure.integrations or 1, *window.shape)
    arrays: dict[str, NDArray[Any]] = {name: np.empty(shape, np.float32) for name in PLANES}
    arrays["dq"] = np.empty(shape, np.uint32)
    arrays["var_rnoise"][...] = truth.detector.read_variance
    for i, rate in enumerate(scene.rates(exposure)):
        noise, mended = (
            generator(truth.seed, *exposure.stream(each, i))
            for each in (Stream.NOISE, Stream.JUMPS)
        )
        data, arrays["var_poisson"][i] = draw_rate(rate * light, truth.detector, noise)
        arrays["data"][i] = data + scene.added(exposure, i)
        arrays["dq"][i] = flags | jumps(window.shape, mended)
    np.sqrt(arrays["var_poisson"] + arrays["var_rnoise"], out=arrays["err"])
    # After the errors: a hot pixel is brighter than its counting noise tells.
    arrays["data"][:, (flags & HOT) != 0] += np.float32(HOT_EXCESS * instrument.sky.level)
    for name in PLANES:
        arrays[name][:, (flags & DEAD) != 0] = np.nan
    if exposure.integrations is None:
        return {name: array[0] for name, array in arrays.items()}
    return arrays | {"int_times": integration_times(instrument, exposure)}
