"""Headers and trees as a data model writes them, without its pixels.

The model is opened on arrays of the right shape and type that nobody ever touches, so they take
no memory. stdatamodels writes it with images of one pixel; where those are, the true ones belong.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from stdatamodels import fits_support
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.io.fits.hdus import ByteRange, read_hdus
from bkgflow.io.fits.tree import unvalidated
from bkgflow.io.models import not_a_model, open_model
from bkgflow.io.products.describe import describe
from bkgflow.io.products.pixels import Part
from bkgflow.io.products.writer import EDITED, Changes
from bkgflow.io.storage.location import Location
from bkgflow.verdict import Verdict

__all__ = ["EmptyModel", "open_empty", "parts_from_model"]

Layer = tuple[str, int]
"""EXTNAME and EXTVER."""

Pixels = ByteRange | NDArray[np.uint32]
"""Where an image is; or a mask, which is in no file yet."""

EmptyModel = tuple[JwstDataModel, Mapping[Layer, ByteRange]]
"""A data model whose arrays are not to be looked at, and where the file's images are."""

SINGLES = {8, 16, -32}
"""BITPIX of what astropy scales to float32; the others become float64."""


@contextmanager
def open_empty(location: Location) -> Iterator[EmptyModel]:
    """Open an exposure as the data model that it says it is, without reading its pixels.

    Raises
    ------
    FileError
        If the file is there but no data model can be made of it.
    """
    ranges: dict[Layer, ByteRange] = {}
    with location.open() as stream:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # validation says on save what it says now
                hdus = fits.open(stream, memmap=False)
                for hdu in hdus:
                    _leave_out(hdu, ranges)
                with unvalidated():
                    model = _model_class(location, hdus[0].header)(hdus)
        except Exception as problem:  # stdatamodels, asdf and astropy each raise their own
            raise not_a_model(location, problem) from problem
        with hdus, model:
            yield model, ranges


def _leave_out(hdu: fits.ImageHDU, ranges: dict[Layer, ByteRange]) -> None:
    """Give an image extension pages of zeros that the system never has to provide."""
    layer = (hdu.name, hdu.ver)
    if type(hdu) is not fits.ImageHDU or not hdu.shape or layer in ranges:
        return
    data = ByteRange(
        int(hdu.fileinfo()["datLoc"]),
        tuple(hdu.shape),
        int(hdu.header["BITPIX"]),
        float(hdu.header.get("BSCALE", 1.0)),
        float(hdu.header.get("BZERO", 0.0)),
    )
    if data.native is None and hdu.name not in EDITED:
        return  # astropy knows more types than a byte range does
    scaled = np.float32 if data.bitpix in SINGLES else np.float64
    ranges[layer] = data
    hdu.data = np.zeros(data.shape, scaled if data.native is None else data.native)


def _model_class(location: Location, primary: fits.Header) -> type[JwstDataModel]:
    """Return the class that DATAMODL names; without one, what stdatamodels makes of the file."""
    named = getattr(datamodels, str(primary.get("DATAMODL", "")), None)
    if isinstance(named, type) and issubclass(named, JwstDataModel):
        return named
    with open_model(location) as model:
        return type(model)


def parts_from_model(
    empty: EmptyModel, filename: str, changes: Changes, verdict: Verdict
) -> list[Part]:
    """Return the parts of the file that the model, changed and described, would be saved as.

    Edits are left to the pixels' writer. The model is changed.
    """
    model, ranges = empty
    sources: dict[Layer, Pixels] = dict(ranges)
    left_out: dict[Layer, NDArray[np.generic]] = {}
    describe(model, verdict, changes)
    if changes.mask is not None:
        sources["MASK", 1] = changes.mask
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.on_save(filename)
        # stdatamodels has no public way to the HDUs that ``save`` is about to write.
        hdus = fits_support.to_fits(model._instance, model._schema)
        for hdu in hdus:
            layer = (hdu.name, hdu.ver)
            if type(hdu) is fits.ImageHDU and layer in sources:
                left_out[layer] = hdu.data
                hdu.data = np.zeros((1,) * hdu.data.ndim, hdu.data.dtype)
        written = io.BytesIO()
        hdus.writeto(written)
    return list(_parts(written, filename, left_out, sources))


def _parts(
    written: io.BytesIO,
    filename: str,
    left_out: Mapping[Layer, NDArray[np.generic]],
    sources: Mapping[Layer, Pixels],
) -> Iterator[Part]:
    """Give every image that was left out its true size again."""
    start = 0
    for hdu, stop in read_hdus(filename, written):
        layer = (hdu.name, hdu.header.whole("EXTVER", 1) or 1)
        if layer in left_out:
            array = left_out[layer]
            header = fits.Header.fromstring(hdu.header.raw)
            for axis, length in enumerate(reversed(array.shape), start=1):
                header[f"NAXIS{axis}"] = length
            head = header.tostring(padding=True).encode("ascii")
            # Of several images of a name only the first is edited.
            name = hdu.name if hdu.name in EDITED and layer[1] == 1 else ""
            yield Part(head, name, sources[layer], array.dtype)
        else:
            yield Part(bytes(written.getbuffer()[start:stop]))
        start = stop
