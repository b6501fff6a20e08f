"""JWST data models: opened, and written whole."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bkgflow.errors import FileError
from bkgflow.io.storage.location import PathLike
from bkgflow.io.storage.publish import whole
from bkgflow.io.storage.reading import said

if TYPE_CHECKING:
    from stdatamodels.jwst.datamodels import JwstDataModel as Model

__all__ = ["is_model", "native", "not_a_model", "open_model", "save_model", "write_model"]

MODELS = "stdatamodels.jwst.datamodels"


def is_model(thing: object) -> TypeGuard[Model]:
    """Whether something is a data model: who has one has imported what defines it."""
    # stdatamodels takes a third of a second to import, and most units need no model.
    models = sys.modules.get(MODELS)
    return models is not None and isinstance(thing, models.JwstDataModel)


def native(array: NDArray[np.generic], dtype: DTypeLike) -> NDArray[np.generic]:
    """Return a model's array in the machine's byte order, writable: itself where it is so."""
    return np.require(array, dtype, ["C", "W"])


def write_model(model: Model, path: PathLike) -> Path:
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


def save_model(model: Model, path: Path) -> None:
    """Save a model; its FILENAME is the path's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what validation says it said when the model was opened
        model.save(str(path))


def open_model(path: PathLike) -> Model:
    """Open an exposure as the data model that it says it is.

    Raises
    ------
    FileError
        If the file is there but no data model can be made of it.
    """
    from stdatamodels.jwst import datamodels

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stdatamodels repeats what validation says on save
            return datamodels.open(str(path))
    except Exception as problem:  # stdatamodels, asdf and astropy each raise their own
        raise not_a_model(path, problem) from problem


def not_a_model(path: PathLike, problem: Exception) -> FileError:
    """Return the error for a file that no data model can be made of, from what was raised."""
    return FileError(
        "An exposure opens as a JWST data model",
        file=path,
        value=said(problem),
        cure="Fetch the file again, or make it again with the pipeline",
    )
