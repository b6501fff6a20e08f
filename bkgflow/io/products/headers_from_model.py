"""Products as their data model writes them, without its pixels.

The model is opened on arrays of the right shape and type that nobody ever touches, so they take
no memory. stdatamodels writes it with images of one pixel; where those are, the true ones belong.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asdf
import numpy as np
from astropy.io import fits
from stdatamodels import fits_support
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.io.fits.hdus import ByteRange, read_hdus
from bkgflow.io.models import not_a_model, open_model
from bkgflow.io.products.pixels import EDITED, Part, edited_name

__all__ = ["Layer", "draft", "open_empty"]

Layer = tuple[str, int]
"""EXTNAME and EXTVER."""

SINGLES = {8, 16, -32}
"""BITPIX of what astropy scales to float32; the others become float64."""


@contextmanager
def open_empty(path: str | Path) -> Iterator[tuple[JwstDataModel, dict[Layer, ByteRange]]]:
    """Open an exposure as the data model that it says it is, without reading its pixels.

    Returns
    -------
    model : JwstDataModel
        Its ``meta`` is to be changed at will; its arrays are not to be looked at.
    places : dict
        Where the file's images are.

    Raises
    ------
    FileError
        If the file is there but no data model can be made of it.
    """
    places: dict[Layer, ByteRange] = {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # stdatamodels repeats what validation says on save
            units = fits.open(path, memmap=False)
            for unit in units:
                _leave_out(unit, places)
            with _unvalidated():
                model = _model_class(path, units[0].header)(units)
    except Exception as problem:  # stdatamodels, asdf and astropy each raise their own
        raise not_a_model(path, problem) from problem
    with units, model:
        yield model, places


@contextmanager
def _unvalidated() -> Iterator[None]:
    """Have asdf take a tree as it is read: it is validated when it is written."""
    shared = asdf.get_config()
    _ = shared.extensions, shared.resource_manager  # found once, and not for every file again
    with asdf.config_context() as config:
        config.validate_on_read = False
        yield


def _leave_out(unit: Any, places: dict[Layer, ByteRange]) -> None:
    """Give an image extension pages of zeros that the system never has to provide."""
    layer = (unit.name, unit.ver)
    if type(unit) is not fits.ImageHDU or not unit.shape or layer in places:
        return
    place = ByteRange(
        int(unit.fileinfo()["datLoc"]),
        tuple(unit.shape),
        int(unit.header["BITPIX"]),
        float(unit.header.get("BSCALE", 1.0)),
        float(unit.header.get("BZERO", 0.0)),
    )
    if place.native is None and unit.name not in EDITED:
        return  # astropy knows more types than a place does
    scaled = np.float32 if place.bitpix in SINGLES else np.float64
    places[layer] = place
    unit.data = np.zeros(place.shape, scaled if place.native is None else place.native)


def _model_class(path: str | Path, header: fits.Header) -> type[JwstDataModel]:
    """Return the class that DATAMODL names; without one, what stdatamodels makes of the file."""
    named = getattr(datamodels, str(header.get("DATAMODL", "")), None)
    if isinstance(named, type) and issubclass(named, JwstDataModel):
        return named
    with open_model(path) as model:
        return type(model)


def draft(model: Any, places: Mapping[Layer, ByteRange], path: Path) -> list[Part]:
    """Return the parts of the file that ``model.save(path)`` would write.

    stdatamodels has no public way to the extensions that ``save`` is about to write.
    """
    outlined: dict[Layer, np.ndarray[Any, Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.on_save(str(path))
        units = fits_support.to_fits(model._instance, model._schema)
        for unit in units:
            layer = (unit.name, unit.ver)
            if type(unit) is fits.ImageHDU and layer in places:
                outlined[layer] = unit.data
                unit.data = np.zeros((1,) * unit.data.ndim, unit.data.dtype)
        written = io.BytesIO()
        units.writeto(written)
    return list(_parts(written, path, outlined, places))


def _parts(
    written: io.BytesIO,
    path: Path,
    outlined: Mapping[Layer, np.ndarray[Any, Any]],
    places: Mapping[Layer, ByteRange],
) -> Iterator[Part]:
    """Give every image that was left out its true size again."""
    start = 0
    for extension, stop in read_hdus(path, written):
        layer = (extension.name, extension.header.whole("EXTVER", 1) or 1)
        if layer in outlined:
            array = outlined[layer]
            header = fits.Header.fromstring(extension.header.raw)
            for axis, length in enumerate(reversed(array.shape), start=1):
                header[f"NAXIS{axis}"] = length
            head = header.tostring(padding=True).encode("ascii")
            yield Part(head, edited_name(*layer), places[layer], array.dtype)
        else:
            yield Part(bytes(written.getbuffer()[start:stop]))
        start = stop
