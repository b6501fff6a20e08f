"""JWST data models: opened, and written whole."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np
from astropy.io import fits
from numpy.typing import DTypeLike, NDArray

from bkgflow.errors import BkgflowError, FileError
from bkgflow.io.fits.hdus import by_name, read_hdus
from bkgflow.io.fits.tree import TREE, read_tree
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import whole
from bkgflow.io.storage.reading import said

if TYPE_CHECKING:
    from stdatamodels.jwst.datamodels import JwstDataModel as Model

__all__ = [
    "is_model",
    "model_class",
    "native",
    "not_a_model",
    "open_model",
    "quiet",
    "save_model",
    "spell_out",
    "write_model",
]

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
    with unwarned():  # what validation says it said when the model was opened
        model.save(str(path))


def open_model(path: PathLike) -> Model:
    """Open an exposure as the data model that it says it is.

    What a file is called does not matter, nor how its extensions spell their names.

    Raises
    ------
    FileError
        If it cannot be read, or no data model can be made of it.
    """
    location = Location.of(path)
    with location.open() as stream, quiet(location):
        if tree := by_name(list(read_hdus(location, stream))).get(TREE):
            read_tree(location, stream, tree)  # within its bounds
        stream.seek(0)
        hdus = fits.open(stream, memmap=False)
        spell_out(hdus)
        for hdu in hdus:
            _ = hdu.data  # before the file is closed
        model = model_class(hdus)(hdus)
        if hdus[0].header.get("DATAMODL") is None:
            with suppress(AttributeError):
                del model.meta.model_type
    return model


@contextmanager
def quiet(location: Location) -> Iterator[None]:
    """Have stdatamodels, asdf and astropy warn of nothing; their errors become a `FileError`."""
    try:
        with unwarned():  # stdatamodels repeats what validation says on save
            yield
    except BkgflowError:
        raise
    except Exception as problem:  # each raises its own
        raise not_a_model(location, problem) from problem


def model_class(hdus: fits.HDUList) -> type[Model]:
    """Return the class that DATAMODL names; without one, that of images or of cubes."""
    from stdatamodels.jwst import datamodels

    named = getattr(datamodels, str(hdus[0].header.get("DATAMODL", "")), None)
    if isinstance(named, type) and issubclass(named, datamodels.JwstDataModel):
        return named
    axes = len(hdus["SCI"].shape) if "SCI" in hdus else 0
    by_axes = {2: datamodels.ImageModel, 3: datamodels.CubeModel}
    return cast("type[Model]", by_axes.get(axes, datamodels.JwstDataModel))


def spell_out(hdus: fits.HDUList) -> list[int]:
    """Leave in a list what a data model finds by its name; return the numbers of the others.

    A model takes the first extension of a name, whatever its EXTVER, and would write the data of
    a second one in its place. EXTNAME is spelled as the schemas have it.
    """
    if model_class(hdus).__name__.startswith("Multi"):
        return []
    seen, others = {"PRIMARY"}, list[int]()
    for i, hdu in enumerate(hdus):
        name = str(hdu.name).strip().upper()
        known = type(hdu) in (fits.ImageHDU, fits.CompImageHDU, fits.BinTableHDU, fits.TableHDU)
        if i and (not name or name in seen or not known):
            others.append(i)
            continue
        seen.add(name)
        if name != hdu.name:
            hdu.name = name
        if i and hdu.ver != 1:
            hdu.ver = 1
    for i in reversed(others):
        del hdus[i]
    return others


def not_a_model(path: PathLike, problem: Exception) -> FileError:
    """Return the error for a file that no data model can be made of, from what was raised."""
    return FileError(
        "An exposure must open as a JWST data model",
        file=path,
        value=said(problem),
        cure="Fetch the file again, or make it again with the pipeline",
    )
