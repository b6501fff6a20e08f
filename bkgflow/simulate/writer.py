"""From what is to be seen to files: exposures, associations, what else is needed, and the truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from gwcs import WCS
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.detector import REFERENCE_PIXEL
from bkgflow.errors import FileError, OutputError
from bkgflow.io.models import write_model
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import write_text
from bkgflow.simulate.arguments import OnExposure
from bkgflow.simulate.exposures import exposure_meta, integration_times
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.noise import DEAD, HOT, Stream, defects, draw_rate, generator, jumps
from bkgflow.simulate.truth import TRUTH, Exposure, Image, Program, SkyTruth

__all__ = [
    "Extra", "Shot", "Simulated", "build_model", "draw", "under_the_sky", "write_program",
]  # fmt: skip

HOT_EXCESS = 20.0
"""A hot pixel's rate over the sky's level at the detector's centre."""

PLANES = ("data", "err", "var_poisson", "var_rnoise")

T_co = TypeVar("T_co", bound=Program[Exposure], covariant=True)
T = TypeVar("T", bound=Program[Exposure])

POOL_TIME = "20240305t060000"
"""When the pool of a simulated program claims to have been made."""

REFERENCES = ("bkg", "wavelengthrange")
"""Types of the reference files that a simulated program may bring along."""


class Extra(NamedTuple):
    """A file besides the exposures."""

    kind: str  # a reference's type, a member's type in associations, or another name
    name: str  # its path below the program's folder
    content: JwstDataModel | str


class Shot(NamedTuple):
    """An exposure with what the detector sees in it; it is made when it is asked for."""

    exposure: Exposure
    light: Iterable[tuple[Image, Image | float]]  # by integration, DN/s: as SkyTruth.light
    members: Mapping[str, str] | None  # of its association if it is a target: types by name
    coordinates: WCS | None = None


def under_the_sky(
    truth: SkyTruth[Exposure], backgrounds: Mapping[str, Sequence[str]]
) -> Iterator[Shot]:
    """Yield the shots of a program under one sky; ``backgrounds`` names those of each target."""
    for exposure in truth.exposures:
        members = dict.fromkeys(backgrounds.get(exposure.name, ()), "background")
        yield Shot(exposure, truth.light(exposure), members)


def draw(
    truth: Program[Exposure], instrument: Instrument, shot: Shot
) -> dict[str, NDArray[np.generic]]:
    """Draw what the detector measures, as a data model calls its arrays.

    ``data``, ``err``, ``var_poisson``, ``var_rnoise`` float32 (DN/s and its square) and ``dq``
    uint32 are (ny, nx) for an image; (n_integrations, ny, nx) for a cube, which has
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


def build_model(
    name: str, arrays: Mapping[str, object], meta: Mapping[str, object]
) -> JwstDataModel:
    """Return a data model by its class, with arrays and tables by the names that this gives them.

    ``meta`` are header values by their key in the tree below ``meta``, such as
    ``instrument.name``; the tree that is written keeps their order. What the model's schema
    does not allow raises asdf's ValidationError.
    """
    model = getattr(datamodels, name)(strict_validation=True, **arrays)
    for key, value in meta.items():
        model[f"meta.{key}"] = value
    return model


@dataclass(frozen=True, slots=True)
class Simulated(Generic[T_co]):
    """A simulated program on disk."""

    folder: Path
    associations: tuple[Path, ...]  # one for each target exposure, if there are any
    exposures: tuple[Path, ...]  # targets first, then dedicated backgrounds
    truth: T_co  # what it was drawn from; its class's load(folder) gives the same
    extras: Mapping[str, Path]  # all other files by what they are: bkg, sourcecat, …

    @property
    def references(self) -> tuple[Path, ...]:
        """The reference files: sky templates or a library of them, wavelengths."""
        return tuple(self.extras[kind] for kind in REFERENCES if kind in self.extras)


def write_program(
    folder: str | Path,
    instrument: Instrument,
    truth: T,
    shots: Iterable[Shot],
    extras: Iterable[Extra] = (),
    on_exposure: OnExposure = None,
) -> Simulated[T]:
    """Write all files of a program; its truth comes last, as the sign that it is whole.

    The folder is created where it is missing. It may hold the same program already, but no
    other one: the files of two would be mixed. OutputError where it does, or cannot be written.
    """
    folder = Path(folder)
    _prepare(folder, truth)
    # One file at a time: a model is made, written and closed before the next one is made.
    others = {extra.kind: _write(folder / extra.name, extra.content) for extra in extras}
    exposures, associations = [], []
    for shot in shots:
        exposure = shot.exposure
        arrays, meta = draw(truth, instrument, shot), exposure_meta(instrument, exposure)
        model = build_model(instrument.model, arrays, meta)
        if shot.coordinates is not None:
            model.meta.wcs = shot.coordinates
        exposures.append(_write(folder / exposure.name, model))
        if on_exposure is not None:
            on_exposure(exposures[-1])
        if exposure.role == "target" and shot.members is not None:
            associations.append(_associate(folder, instrument, exposure, shot.members))
    _write(folder / TRUTH, truth.model_dump_json(indent=1, by_alias=True) + "\n")
    return Simulated(folder, tuple(associations), tuple(exposures), truth, others)


def _associate(
    folder: Path, instrument: Instrument, science: Exposure, others: Mapping[str, str]
) -> Path:
    """Write the association of one target exposure, as the level-2 generator lays it out."""
    asn_type, rule = instrument.association
    program, observation = instrument.program, f"o{science.observation:03d}"
    members = [
        {"expname": name, "exptype": exptype, "exposerr": "null"}
        for name, exptype in {science.name: "science", **others}.items()
    ]
    product = {"name": science.name.removesuffix(f"_{instrument.suffix}.fits"), "members": members}
    content = {
        "asn_type": asn_type, "asn_rule": rule, "version_id": None,
        "code_version": "bkgflow simulate",
        "degraded_status": "No known degraded exposures in association.",
        "program": program, "constraints": "No constraints", "asn_id": observation,
        "asn_pool": f"jw{program}_{POOL_TIME}_pool.csv",
        "target": str(science.observation), "products": [product],
    }  # fmt: skip
    number = science.number + science.cut.segment - 1  # segments are of one exposure
    name = f"jw{program}-{observation}_{asn_type}_{number:05d}_asn.json"
    return _write(folder / name, json.dumps(content, indent=4) + "\n")


def _prepare(folder: Path, truth: Program[Exposure]) -> None:
    """Create a program's folder; refuse one that holds a whole program other than this one."""
    try:
        Location.of(folder).make_folder()
    except OSError as error:
        raise OutputError(
            "A simulated program must be written to a folder that is writable and has room",
            value=error,
            cure="Choose a folder of your own, change its permissions or make room",
            file=folder,
        ) from error
    if not Location.of(folder / TRUTH).exists():
        return
    with suppress(FileError):
        if type(truth).load(folder) == truth:
            return
    raise OutputError(
        "A folder must hold no more than one simulated program",
        value="another one is there already",
        cure="Choose a new folder, or remove this one first",
        file=folder,
    )


def _write(path: Path, content: JwstDataModel | str) -> Path:
    """Write a file whole; a model is closed afterwards."""
    if isinstance(content, str):
        write_text(path, content)
        return path
    with content as model:
        return write_model(model, path)
