"""Data models in memory as exposures: the same facts and sources as files have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.keywords import META_KEYS, collect
from bkgflow.io.exposures.source import Layer, Pixels, Reader
from bkgflow.io.exposures.windows import slit_corner, window_of
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

__all__ = ["ModelSource", "model_facts"]


@dataclass(frozen=True, slots=True, eq=False)
class ModelSource:
    """See `Source`: (ny, nx) or (n_integrations, ny, nx) arrays of any byte order, not copied.

    Attributes
    ----------
    world : gwcs.WCS or None
        What `wcs` returns.
    """

    format: ClassVar[str] = "model"

    name: str
    window: Window
    sci: Pixels
    err: Pixels
    dq: Pixels
    world: Any = None

    @property
    def n_integrations(self) -> int | None:
        """Length of the first axis of a cube; None for an image."""
        return self.sci.shape[0] if self.sci.ndim == 3 else None

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Nothing to open."""
        yield _ModelReader(self)

    def wcs(self) -> Any:
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
    shape = _common_shape(model, name)
    meta = model.meta
    corner = (meta.subarray.xstart, meta.subarray.ystart)
    size = (meta.subarray.xsize, meta.subarray.ysize)
    if getattr(model, "xsize", None) is not None:
        corner = slit_corner(corner, (model.xstart, model.ystart))
        size = (model.xsize, model.ysize)
    instrument = str(meta.instrument.name or "")
    window = window_of(name, instrument, shape[-2:], corner, size)
    axis = meta.wcsinfo.dispersion_direction
    return ExposureFacts(
        location=Location(name),
        identity=_identity(model, name),
        window=window,
        n_integrations=shape[0] if len(shape) == 3 else None,
        model=type(model).__name__,
        instrument=instrument.upper(),
        detector=str(meta.instrument.detector or ""),
        exp_type=str(meta.exposure.type or "").upper(),
        bunit=str(meta.bunit_data or ""),
        gwa=(meta.instrument.gwa_xtilt, meta.instrument.gwa_ytilt),
        dispersion_axis=None if axis is None else int(axis),
        keywords=collect(lambda keyword: _at(meta, META_KEYS[keyword])),
        source=ModelSource(
            name, window, model.data, model.err, model.dq, getattr(meta, "wcs", None)
        ),
    )


def _at(meta: Any, key: str) -> object:
    """Return what lies at a dotted key below ``meta``; None where nothing does."""
    for name in key.split("."):
        meta = getattr(meta, name, None)
    return meta


def _common_shape(model: JwstDataModel, name: str) -> tuple[int, ...]:
    shapes = {}
    for layer, attribute in (("SCI", "data"), ("ERR", "err"), ("DQ", "dq")):
        array = getattr(model, attribute, None)
        if array is None:
            raise FileError(
                "An exposure has SCI, ERR and DQ",
                file=name,
                value=f"no {layer} in the {type(model).__name__}",
                cure="Give a rate or rateints product of the pipeline's first stage",
            )
        shapes[layer] = tuple(array.shape)
    if len(set(shapes.values())) > 1 or len(shapes["SCI"]) not in (2, 3) or 0 in shapes["SCI"]:
        raise ShapeError(
            "SCI, ERR and DQ are images or cubes of one shape",
            file=name,
            value=", ".join(f"{layer} {shape}" for layer, shape in shapes.items()),
            cure="Make the arrays of the model agree",
        )
    return shapes["SCI"]


def _identity(model: Any, name: str) -> Identity:
    """A model in memory is told from another by what is in it."""
    digest = hashlib.blake2b(digest_size=8)
    for array in (model.data, model.err, model.dq):
        digest.update(np.ascontiguousarray(array).data)
    return Identity(f"{name}#{digest.hexdigest()}", int(model.data.nbytes), 0)
