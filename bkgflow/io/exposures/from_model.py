"""Data models in memory as exposures: the same facts and sources as files have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import META_KEYS, ExposureFacts, look_up, read_facts
from bkgflow.io.exposures.source import Layer, Pixels, Reader
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["ModelSource", "model_facts"]

LAYERS = {"SCI": "data", "ERR": "err", "DQ": "dq"}

PRIMARY_KEYS = META_KEYS | {
    "SUBSTRT1": "subarray.xstart",
    "SUBSTRT2": "subarray.ystart",
    "SUBSIZE1": "subarray.xsize",
    "SUBSIZE2": "subarray.ysize",
    "GWA_XTIL": "instrument.gwa_xtilt",
    "GWA_YTIL": "instrument.gwa_ytilt",
}
"""Where a model has the keywords of the primary header, below ``meta``."""

SCI_KEYS = {
    "BUNIT": "meta.bunit_data",
    "DISPAXIS": "meta.wcsinfo.dispersion_direction",
    "SLTSTRT1": "xstart",
    "SLTSTRT2": "ystart",
    "SLTSIZE1": "xsize",
    "SLTSIZE2": "ysize",
}


@dataclass(frozen=True, slots=True, eq=False)
class ModelSource:
    """See `Source`: (ny, nx) or (n_integrations, ny, nx) arrays of any byte order, not copied."""

    format: ClassVar[str] = "model"

    name: str
    window: Window
    sci: Pixels
    err: Pixels
    dq: Pixels
    world: WCS | None = None

    @property
    def n_integrations(self) -> int | None:
        """Length of the first axis of a cube; None for an image."""
        return self.sci.shape[0] if self.sci.ndim == 3 else None

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Nothing to open."""
        yield _ModelReader(self)

    def wcs(self) -> WCS | None:
        """Return the model's ``meta.wcs``."""
        return self.world


@dataclass(frozen=True, slots=True)
class _ModelReader:
    source: ModelSource

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        array: Pixels = getattr(self.source, layer)
        wanted = array[(..., *window.slices_in(self.source.window))]
        if out.ndim == 3 and array.ndim == 3:
            wanted = wanted[first : first + len(out)]
        np.copyto(out, wanted, casting="unsafe")


def model_facts(model: JwstDataModel, name: str) -> ExposureFacts:
    """Return what a model's metadata say of the exposure, checked as a file's headers are.

    Parameters
    ----------
    model : JwstDataModel
        With data (SCI), err and dq.
    name : str
        Stands for the location in messages and in the result.

    Raises
    ------
    InputError
        As `bkgflow.io.exposures.from_fits.inspect`.
    """
    shape, meta = _common_shape(model, name), model.meta
    sci, err, dq = (getattr(model, attribute) for attribute in LAYERS.values())

    def primary(keyword: str) -> object:
        if keyword == "DATAMODL":
            return type(model).__name__
        return look_up(meta, PRIMARY_KEYS[keyword])

    return read_facts(
        Location(name),
        _identity(name, (sci, err, dq)),
        shape,
        primary,
        lambda keyword: look_up(model, SCI_KEYS[keyword]),
        lambda window: ModelSource(name, window, sci, err, dq, getattr(meta, "wcs", None)),
    )


def _common_shape(model: JwstDataModel, name: str) -> tuple[int, ...]:
    shapes = {}
    for layer, attribute in LAYERS.items():
        array = getattr(model, attribute, None)
        if array is None:
            raise FileError(
                "An exposure must have SCI, ERR and DQ",
                file=name,
                value=f"no {layer} in the {type(model).__name__}",
                cure="Give a rate or rateints product of the pipeline's first stage",
            )
        shapes[layer] = tuple(array.shape)
    shape: tuple[int, ...] = shapes["SCI"]
    if len(set(shapes.values())) > 1 or len(shape) not in (2, 3) or 0 in shape:
        raise ShapeError(
            "SCI, ERR and DQ must be images or cubes of one shape",
            file=name,
            value=", ".join(f"{layer} {shape}" for layer, shape in shapes.items()),
            cure="Make the arrays of the model agree",
        )
    return shape


def _identity(name: str, arrays: tuple[Pixels, ...]) -> Identity:
    """A model in memory is told from another by what is in it."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return Identity(f"{name}#{digest.hexdigest()}", int(arrays[0].nbytes), 0)
