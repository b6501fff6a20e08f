"""From a scene to its files: exposures, associations, what else it needs, and the truth."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from bkgflow.errors import FileError, OutputError
from bkgflow.io.models import Model, write_model
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import write_text
from bkgflow.simulate.arguments import OnExposure
from bkgflow.simulate.headers import exposure_meta
from bkgflow.simulate.instruments import Instrument
from bkgflow.simulate.scene import Extra, Member, Shot, build_model, draw
from bkgflow.simulate.truth import TRUTH, Exposure, Program

__all__ = ["Simulated", "write_program"]

T_co = TypeVar("T_co", bound=Program[Exposure], covariant=True)
T = TypeVar("T", bound=Program[Exposure])

POOL_TIME = "20240305t060000"
"""When the pool of a simulated program claims to have been made."""

REFERENCES = ("bkg", "wavelengthrange")
"""Types of the reference files that a simulated program may bring along."""


@dataclass(frozen=True, slots=True)
class Simulated(Generic[T_co]):
    """A simulated program on disk."""

    folder: Path
    associations: tuple[Path, ...]  # one for each target exposure
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
    other one: the files of two would be mixed.

    Raises
    ------
    OutputError
        Where the folder cannot be written to, or holds another simulated program.
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
        if exposure.role == "target":
            associations.append(_associate(folder, instrument, exposure, shot.members))
    _write(folder / TRUTH, truth.model_dump_json(indent=1, by_alias=True) + "\n")
    return Simulated(folder, tuple(associations), tuple(exposures), truth, others)


def _associate(
    folder: Path, instrument: Instrument, science: Exposure, others: Sequence[Member]
) -> Path:
    """Write the association of one target exposure, as the level-2 generator lays it out."""
    asn_type, rule = instrument.association
    program, observation = instrument.program, f"o{science.observation:03d}"
    content = {
        "asn_type": asn_type,
        "asn_rule": rule,
        "version_id": None,
        "code_version": "bkgflow simulate",
        "degraded_status": "No known degraded exposures in association.",
        "program": program,
        "constraints": "No constraints",
        "asn_id": observation,
        "asn_pool": f"jw{program}_{POOL_TIME}_pool.csv",
        "target": str(science.observation),
        "products": [
            {
                "name": science.name.removesuffix(f"_{instrument.suffix}.fits"),
                "members": [
                    {"expname": name, "exptype": exptype, "exposerr": "null"}
                    for name, exptype in (Member(science.name, "science"), *others)
                ],
            }
        ],
    }
    name = f"jw{program}-{observation}_{asn_type}_{science.association:05d}_asn.json"
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


def _write(path: Path, content: Model | str) -> Path:
    """Write a file whole; a model is closed afterwards."""
    if isinstance(content, str):
        write_text(path, content)
        return path
    with content as model:
        return write_model(model, path)
