"""Headers and trees as a data model writes them, without its pixels.

The model is opened on arrays of the right shape and type that nobody ever touches, so they take
no memory. stdatamodels writes it with images of one pixel; where those are, the true ones belong.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from stdatamodels import fits_support
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.io.fits.checksums import check_checksums
from bkgflow.io.fits.hdus import ByteRange, Hdu, by_name, read_hdus
from bkgflow.io.fits.tree import TREE, read_tree, unvalidated
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.models import model_class, quiet, spell_out
from bkgflow.io.products.describe import describe, with_dq
from bkgflow.io.products.pixels import Part
from bkgflow.io.products.writer import EDITED, Changes
from bkgflow.io.storage.location import Location
from bkgflow.verdict import Verdict

__all__ = ["EmptyModel", "open_empty", "parts_from_model"]

Pixels = ByteRange | NDArray[np.generic]
"""Where an image is; or the image, where it is not in the file as it is."""

SINGLES = {8, 16, -32}
"""BITPIX of what astropy scales to float32; the others become float64."""

NO_HASH = "0" * 64
"""A hash that never holds: the headers say what the tree does not."""


@dataclass(frozen=True, eq=False)
class EmptyModel:
    """A data model whose arrays are not to be looked at.

    Attributes
    ----------
    images : mapping
        By EXTNAME, where the images are that the model has zeros for.
    hdus : mapping
        By EXTNAME, all that the model knows.
    others : tuple of Hdu
        What it does not know: without a name, or with the name of one before.
    """

    model: JwstDataModel
    images: Mapping[str, ByteRange]
    hdus: Mapping[str, Hdu]
    others: tuple[Hdu, ...]

    @property
    def extra(self) -> dict[str, Hdu]:
        """By EXTNAME, the extensions that no schema names: they are copied as they are."""
        found = self.model.instance.get("extra_fits", {})
        return {
            name: self.hdus[name]
            for name, content in found.items()
            if "data" in content and name != "PRIMARY" and name in self.hdus
        }


@contextmanager
def open_empty(location: Location) -> Iterator[EmptyModel]:
    """Open an exposure as the data model that it says it is, without reading its pixels.

    Raises
    ------
    FileError
        If the file is there but no data model can be made of it.
    """
    images: dict[str, ByteRange] = {}
    with location.open() as stream:
        ours = list(read_hdus(location, stream))
        if any(hdu.has_checksum for hdu in ours):
            check_checksums(location)
        if tree := by_name(ours).get(TREE):
            read_tree(location, stream, tree)  # within its bounds
        with quiet(location):
            stream.seek(0)
            hdus = fits.open(stream, memmap=False)
            others = set(spell_out(hdus))
            for hdu in hdus:
                _leave_out(hdu, images)
            with unvalidated():
                model = model_class(hdus)(hdus)
        with hdus, model:
            known = by_name([hdu for hdu in ours if hdu.index not in others])
            apart = (hdu for hdu in ours if hdu.index in others and hdu.name != TREE)
            yield EmptyModel(model, images, known, tuple(apart))


def _leave_out(hdu: fits.ImageHDU, images: dict[str, ByteRange]) -> None:
    """Give an image extension pages of zeros that the system never has to provide."""
    if type(hdu) is not fits.ImageHDU or not hdu.shape:
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
    images[hdu.name] = data
    hdu.data = np.zeros(data.shape, scaled if data.native is None else data.native)


def parts_from_model(
    empty: EmptyModel, filename: str, changes: Changes, verdict: Verdict
) -> list[Part]:
    """Return the parts of the file that the model, changed and described, would be saved as.

    Edits are left to the pixels' writer. The model is changed.
    """
    model, extra = empty.model, empty.extra
    sources: dict[str, Pixels] = dict(empty.images)
    left_out: dict[str, NDArray[np.generic]] = {}
    describe(model, verdict, changes)
    if "DQ" in changes.edits:
        with_dq(model)
    if changes.mask is not None:
        sources["MASK"] = changes.mask
    with unwarned():
        model.on_save(filename)
        # stdatamodels has no public way to the HDUs that ``save`` is about to write.
        hdus = fits_support.to_fits(model._instance, model._schema)
        old = fits_support.fits_hash(hdus)
        for hdu in hdus:
            is_extra = hdu.name in extra and hdu.name in sources
            if is_extra:
                hdu.data = np.zeros((1,) * hdu.data.ndim, hdu.data.dtype)
            elif type(hdu) is fits.ImageHDU and (hdu.name in sources or hdu.name in EDITED):
                left_out[hdu.name] = hdu.data
                sources.setdefault(hdu.name, hdu.data)
                hdu.data = np.zeros((1,) * hdu.data.ndim, hdu.data.dtype)
        written = io.BytesIO()
        hdus.writeto(written)
    *found, (_, tree) = _parts(written, filename, left_out, sources, extra)
    parts = [part for _, part in found]
    if extra or empty.others:
        headers = b"".join(header for header, _ in found)
        new = NO_HASH if empty.others else hashlib.sha256(headers).hexdigest()
        tree = Part(tree.head.replace(old.encode(), new.encode()))
    return [*parts, *map(_copied, empty.others), tree]


def _copied(hdu: Hdu) -> Part:
    """Return an HDU as it is."""
    data = ByteRange(hdu.data.offset, (hdu.stop - hdu.data.offset,), 8)
    return Part(hdu.header.raw, "", data, data.native)


def _parts(
    written: io.BytesIO,
    filename: str,
    left_out: Mapping[str, NDArray[np.generic]],
    sources: Mapping[str, Pixels],
    extra: Mapping[str, Hdu],
) -> Iterator[tuple[bytes, Part]]:
    """Yield each HDU with its header; an image that was left out has its true size again."""
    for hdu in read_hdus(filename, written):
        if hdu.name in left_out:
            array = left_out[hdu.name]
            header = fits.Header.fromstring(hdu.header.raw)
            for axis, length in enumerate(reversed(array.shape), start=1):
                header[f"NAXIS{axis}"] = length
            head = header.tostring(padding=True).encode("ascii")
            name = hdu.name if hdu.name in EDITED else ""
            yield head, Part(head, name, sources[hdu.name], array.dtype)
        elif hdu.name in extra:
            yield extra[hdu.name].header.raw, _copied(extra[hdu.name])
        else:
            yield hdu.header.raw, Part(bytes(written.getbuffer()[hdu.begin : hdu.stop]))
