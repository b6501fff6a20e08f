"""JWST data models: opened, and written whole."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.errors import FileError
from bkgflow.io.storage.location import PathLike
from bkgflow.io.storage.publish import whole
from bkgflow.io.storage.reading import said

__all__ = ["Model", "native", "not_a_model", "open_model", "save_model", "write_model"]

Model = JwstDataModel
"""A data model of stdatamodels, for rooms that know it by name alone."""


def native(array: NDArray[np.generic], dtype: DTypeLike) -> NDArray[np.generic]:
    """Return a model's array in the machine's byte order, writable: itself where it is so."""
    return np.require(array, dtype, ["C", "W"])


def write_model(model: JwstDataModel, path: PathLike) -> Path:
    """Save a model so that its file appears whole or not at all; return where.

    Its FILENAME is the path's, as far as ASCII goes.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    with whole(path) as scratch:
        save_model(model, scratch)
    return Path(path)


def save_model(model: JwstDataModel, path: Path) -> None:
    """Save a model; its FILENAME is the path's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what validation says it said when the model was opened
        model.save(str(path))


def open_model(path: PathLike) -> JwstDataModel:
    """Open an exposure as the data model that it says it is.

    Raises
    ------
    FileError
        If the file is there but no data model can be made of it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stdatamodels repeats what validation says on save
            return datamodels.open(str(path))
    except Exception as problem:  # stdatamodels, asdf and astropy each raise their own
        raise not_a_model(path, problem) from problem


def not_a_model(path: PathLike, problem: Exception) -> FileError:
    """Return the error for a file that no data model can be made of, from what was raised."""
    return FileError(
        "An exposure must open as a JWST data model",
        file=path,
        value=said(problem),
        cure="Fetch the file again, or make it again with the pipeline",
    )
