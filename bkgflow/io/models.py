"""JWST data models: built from arrays and header values, opened, and written whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.errors import FileError, OutputError

__all__ = ["ModelKind", "build_model", "native", "not_writable", "open_model", "write_model"]

ModelKind = Literal[
    "ImageModel",
    "CubeModel",
    "IFUImageModel",
    "SegmentationMapModel",
    "SossBkgModel",
    "WfssBkgModel",
    "WavelengthrangeModel",
]
"""The data models of rate and rateints files, segmentation maps and sky references."""


def build_model(
    kind: ModelKind, arrays: Mapping[str, Any], meta: Mapping[str, object]
) -> JwstDataModel:
    """Return a data model of the given kind that holds the arrays and the header values.

    Parameters
    ----------
    kind : str
        The class in ``stdatamodels.jwst.datamodels``.
    arrays : mapping
        By attribute: ``data``, ``err``, ``var_poisson``, ``var_rnoise`` float32 (DN/s and its
        square), ``dq`` uint32, ``int_times`` a structured array; 2-D (ny, nx) for images,
        3-D (n_integrations, ny, nx) for cubes. Tables and lists of other models by the names
        that their classes give them.
    meta : mapping
        Header values by their place in the tree below ``meta``: ``"instrument.name": "MIRI"``.

    Raises
    ------
    asdf.exceptions.ValidationError
        Where a value is not one that the schema of the data model allows.
    """
    model = getattr(datamodels, kind)(strict_validation=True, **arrays)
    for place, value in meta.items():
        model[f"meta.{place}"] = value
    return model


def native(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """Return a model's array in the machine's byte order, writable: itself where it is so."""
    return np.require(array, dtype, ["C", "W"])


def write_model(model: JwstDataModel, path: str | Path) -> Path:
    """Save a model so that its file appears whole or not at all.

    It is written into a hidden folder beside its place, synced, and renamed. Its FILENAME is
    the path's, as far as ASCII goes: FITS headers hold nothing else.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    path = Path(path)
    scratch: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.mkdtemp(prefix=".bkgflow-", dir=path.parent)
        part = Path(scratch) / path.name.encode("ascii", "replace").decode().replace("?", "_")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(str(part))
        _sync(part)
        part.replace(path)
        _sync(path.parent)
    except OSError as problem:
        raise not_writable(path, problem) from problem
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    return path


def open_model(path: str | Path) -> JwstDataModel:
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
        raise FileError(
            "An exposure opens as a JWST data model",
            file=path,
            value=f"{type(problem).__name__}: {problem}"[:300],
            cure="Fetch the file again, or make it again with the pipeline",
        ) from problem


def _sync(path: Path) -> None:
    """Ask the file system to keep what was written, where it can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems cannot sync a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def not_writable(path: Path, problem: OSError) -> OutputError:
    """Return the error for a path that cannot be written, from what the system said."""
    return OutputError(
        "Products can be written to the output folder",
        file=path,
        value=problem.strerror or str(problem),
        cure="Give another folder, or mend its permissions or its free space",
    )
