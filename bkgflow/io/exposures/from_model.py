"""Data models in memory as exposures: the same facts and sources as files have."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts, Identity, slit_corner, window_of
from bkgflow.io.exposures.keywords import PLACES, collect
from bkgflow.io.exposures.source import ArraySource
from bkgflow.io.fits.hdus import ByteRange

__all__ = ["is_model", "model_facts", "model_source"]

NOWHERE = ByteRange(0, (), 0)
"""Stands in the facts of a model for the place that its arrays have in no file."""


def is_model(thing: object) -> bool:
    """Whether this is a data model."""
    return isinstance(thing, JwstDataModel)


def model_facts(model: JwstDataModel, name: str) -> ExposureFacts:
    """Return what a model's metadata say of the exposure, checked as a file's headers are.

    Parameters
    ----------
    model : JwstDataModel
        With data (SCI), err and dq.
    name : str
        Stands for the path in messages and in the result.

    Raises
    ------
    InputError
        As `bkgflow.io.exposures.facts.inspect`.
    """
    shape = _common_shape(model, name)
    meta = model.meta
    corner = (meta.subarray.xstart, meta.subarray.ystart)
    size = (meta.subarray.xsize, meta.subarray.ysize)
    if getattr(model, "xsize", None) is not None:
        corner = slit_corner(corner, (model.xstart, model.ystart))
        size = (model.xsize, model.ysize)
    instrument = str(meta.instrument.name or "")
    return ExposureFacts(
        path=name,
        identity=_identity(model, name),
        window=window_of(name, instrument, shape[-2:], corner, size),
        n_integrations=shape[0] if len(shape) == 3 else None,
        model=type(model).__name__,
        instrument=instrument.upper(),
        detector=str(meta.instrument.detector or ""),
        exp_type=str(meta.exposure.type or "").upper(),
        bunit=str(meta.bunit_data or ""),
        gwa=(meta.instrument.gwa_xtilt, meta.instrument.gwa_ytilt),
        sci=NOWHERE,
        err=NOWHERE,
        dq=NOWHERE,
        keywords=collect(lambda keyword: _at(meta, PLACES[keyword])),
    )


def model_source(model: JwstDataModel, facts: ExposureFacts) -> ArraySource:
    """Return a model's arrays as a source; nothing is copied."""
    return ArraySource(facts.path, facts.window, model.data, model.err, model.dq)


def _at(meta: Any, place: str) -> object:
    """Return what lies at a dotted place below ``meta``; None where nothing does."""
    for name in place.split("."):
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
