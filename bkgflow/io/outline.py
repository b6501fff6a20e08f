"""Products whose pixels stream past their data model.

An *outline* is the data model of a file without its pixels: every image extension is an array
of the right shape and type that nobody ever touches, so it takes no memory. The model says what
the product's headers, tables and ASDF tree are, as if it were saved; the pixels go from file to
file a few rows at a time, and those that change are changed on the way.
"""

from __future__ import annotations

import gzip
import io
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import asdf
import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from stdatamodels import fits_support
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.detector import Window
from bkgflow.io.cards import BLOCK
from bkgflow.io.fits import Place, ended_early, open_binary, plane, read_rows, read_unit
from bkgflow.io.models import not_a_model, open_model
from bkgflow.io.whole import appearing

__all__ = ["PART_BYTES", "Edit", "Outline", "open_outline", "write_outline"]

PART_BYTES = 2 << 20
"""Pixels that are changed at a time: few enough to stay in a core's cache between the read, the
change and the write, and a whole integration of a SOSS subarray."""

SINGLES = {8, 16, -32}
"""BITPIX of what astropy scales to float32; the others become float64."""

Edit = Callable[[NDArray[Any], int, slice], None]
"""Changes some rows of an extension in place: its arguments are (rows, nx) pixels in the
machine's byte order, the integration they are of (0 in an image), and which rows they are."""

Layer = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Outline:
    """An exposure's data model without pixels, and where its pixels are.

    Attributes
    ----------
    path : str
        Of the file.
    model : JwstDataModel
        Its ``meta`` is to be changed at will; its arrays are not to be looked at.
    places : dict
        The image extensions by EXTNAME and EXTVER.
    """

    path: str
    model: JwstDataModel
    places: Mapping[Layer, Place]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of SCI: (ny, nx) or (n_integrations, ny, nx)."""
        return self.places["SCI", 1].shape


@contextmanager
def open_outline(path: str | Path) -> Iterator[Outline]:
    """Open an exposure as the data model that it says it is, without reading its pixels.

    Raises
    ------
    FileError
        If the file is there but no data model can be made of it.
    """
    places: dict[Layer, Place] = {}
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
        yield Outline(str(path), model, places)


@contextmanager
def _unvalidated() -> Iterator[None]:
    """Have asdf take a tree as it is read: it is validated when it is written."""
    shared = asdf.get_config()
    _ = shared.extensions, shared.resource_manager  # found once, and not for every file again
    with asdf.config_context() as config:
        config.validate_on_read = False
        yield


def _leave_out(unit: Any, places: dict[Layer, Place]) -> None:
    """Give an image extension pages of zeros that the system never has to provide."""
    layer = (unit.name, unit.ver)
    if type(unit) is not fits.ImageHDU or not unit.shape or layer in places:
        return
    place = Place(
        int(unit.fileinfo()["datLoc"]),
        tuple(unit.shape),
        int(unit.header["BITPIX"]),
        float(unit.header.get("BSCALE", 1.0)),
        float(unit.header.get("BZERO", 0.0)),
    )
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


def write_outline(outline: Outline, path: str | Path, edits: Mapping[str, Edit]) -> Path:
    """Write a product: the model's headers and tree, the file's pixels with some of them changed.

    It appears whole or not at all, and opens as what ``model.save`` would have written.

    Parameters
    ----------
    outline : Outline
        What was opened, and then described.
    path : path
        Of the product.
    edits : mapping
        By EXTNAME, what is done to the pixels of an extension; all others are copied.

    Returns
    -------
    Path
        Where it is.

    Raises
    ------
    FileError
        If the exposure's file ends early.
    OutputError
        If it cannot be written there.
    """
    with open_binary(outline.path) as source, appearing(path) as part:
        draft, outlined = _draft(outline, part)
        with part.open("wb") as product:
            _fill_in(draft, outlined, outline, source, product, edits)
    return Path(path)


def _draft(outline: Outline, part: Path) -> tuple[io.BytesIO, dict[Layer, NDArray[Any]]]:
    """Have the model written with images of one pixel; return it and the arrays they stand for.

    stdatamodels has no public way to the extensions that ``save`` is about to write.
    """
    model: Any = outline.model
    outlined: dict[Layer, NDArray[Any]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.on_save(str(part))
        units = fits_support.to_fits(model._instance, model._schema)
        for unit in units:
            layer = (unit.name, unit.ver)
            if type(unit) is fits.ImageHDU and layer in outline.places:
                outlined[layer] = unit.data
                unit.data = np.zeros((1,) * unit.data.ndim, unit.data.dtype)
        draft = io.BytesIO()
        units.writeto(draft)
    return draft, outlined


def _fill_in(
    draft: io.BytesIO,
    outlined: Mapping[Layer, NDArray[Any]],
    outline: Outline,
    source: BinaryIO,
    product: BinaryIO,
    edits: Mapping[str, Edit],
) -> None:
    """Write the draft with every outlined extension at its true size."""
    end, position = draft.seek(0, io.SEEK_END), 0
    while position < end:
        start = draft.seek(position)
        extension, position = read_unit(outline.path, draft, first=start == 0)
        layer = (extension.name, extension.header.whole("EXTVER", 1))
        if layer not in outlined:
            product.write(draft.getbuffer()[start:position])
            continue
        array = outlined[layer]
        header = fits.Header.fromstring(extension.header.raw)
        for axis, length in enumerate(reversed(array.shape), start=1):
            header[f"NAXIS{axis}"] = length
        product.write(header.tostring(padding=True).encode("ascii"))
        place = outline.places[layer]
        if extension.name not in edits and place.native == array.dtype:
            _copy(source, place, product)
        else:
            _convert(source, place, array.dtype, product, edits.get(extension.name))
        product.write(bytes(-array.nbytes % BLOCK))


def _convert(
    source: BinaryIO, place: Place, dtype: np.dtype[Any], product: BinaryIO, edit: Edit | None
) -> None:
    """Send an extension's pixels through memory, some rows at a time."""
    ny, nx = (1, *place.shape)[-2:]
    rows = min(ny, max(1, PART_BYTES // (nx * dtype.itemsize)))
    pixels = np.empty((rows, nx), dtype)
    stored = np.empty((rows, nx), dtype.newbyteorder(">"))
    for integration in range(int(np.prod(place.shape[:-2]))):
        single = plane(place, integration)
        for start in range(0, ny, rows):
            stop = min(start + rows, ny)
            part, raw = pixels[: stop - start], stored[: stop - start]
            read_rows(source, single, Window(0, start, nx, stop - start), part)
            if edit is not None:
                edit(part, integration, slice(start, stop))
            if dtype.kind == "u" and dtype.itemsize > 1:  # FITS has no sign to leave out
                part ^= dtype.type(1 << (8 * dtype.itemsize - 1))
            raw[...] = part
            product.write(raw.data)


def _copy(source: BinaryIO, place: Place, product: BinaryIO) -> None:
    """Copy an extension's bytes; within the kernel where it can."""
    left, offset = place.nbytes, place.offset
    if not isinstance(source, gzip.GzipFile):
        product.flush()
        with suppress(OSError):  # between these file systems it cannot
            while left:
                done = os.copy_file_range(source.fileno(), product.fileno(), left, offset)
                if not done:
                    break
                left, offset = left - done, offset + done
        product.seek(0, os.SEEK_END)
    source.seek(offset)
    while left:
        data = source.read(min(left, PART_BYTES))
        if not data:
            raise ended_early(source)
        product.write(data)
        left -= len(data)
