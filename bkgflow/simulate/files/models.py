"""JWST data models, built from arrays and header values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

__all__ = ["ModelName", "build_model"]

ModelName = Literal[
    "ImageModel",
    "CubeModel",
    "IFUImageModel",
    "SegmentationMapModel",
    "SossBkgModel",
    "WfssBkgModel",
    "WavelengthrangeModel",
]
"""The data models of rate and rateints files, segmentation maps and references."""


def build_model(
    name: ModelName, arrays: Mapping[str, Any], meta: Mapping[str, object]
) -> JwstDataModel:
    """Return a data model that holds the arrays and the header values.

    Parameters
    ----------
    name : str
        The class in ``stdatamodels.jwst.datamodels``.
    arrays : mapping
        By attribute: ``data``, ``err``, ``var_poisson``, ``var_rnoise`` float32 (DN/s and its
        square), ``dq`` uint32, ``int_times`` a structured array; 2-D (ny, nx) for images,
        3-D (n_integrations, ny, nx) for cubes. Tables and lists of other models by the names
        that their classes give them.
    meta : mapping
        Header values by their key in the tree below ``meta``: ``"instrument.name": "MIRI"``.
        The tree that is written keeps their order.

    Raises
    ------
    asdf.exceptions.ValidationError
        Where a value is not one that the schema of the data model allows.
    """
    model = getattr(datamodels, name)(strict_validation=True, **arrays)
    for key, value in meta.items():
        model[f"meta.{key}"] = value
    return model
