"""Products whose pixels stream past their data model.

An *outline* is an exposure without its pixels. It says what a product's headers, tables and
ASDF tree are: from those of the file where they are as stdatamodels wrote them, and else from a
data model. The pixels go from file to file a few rows at a time, and those that change are
changed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.errors import FileError
from bkgflow.io.fits.hdus import ByteRange, Hdu
from bkgflow.io.products.describe import Description, describe
from bkgflow.io.products.headers_from_file import Written, amended, as_written
from bkgflow.io.products.headers_from_model import Layer, draft, open_empty
from bkgflow.io.products.pixels import Edit, Part, edited_name, write_parts
from bkgflow.io.storage.publish import appearing

__all__ = ["Outline", "open_outline", "write_outline"]

TYPES: dict[str, np.dtype[Any]] = {
    "SCI": np.dtype(np.float32),
    "ERR": np.dtype(np.float32),
    "DQ": np.dtype(np.uint32),
}
"""What a data model holds; an array of another type is cast by the model."""


class Outline:
    """An exposure without its pixels. See `open_outline`.

    Attributes
    ----------
    path : str
        Of the file.
    written : Written or None
        The file, where a product can be made of it without a data model.
    """

    def __init__(self, path: str | Path, stack: ExitStack) -> None:
        self.path = str(path)
        self.written = _amendable(path)
        self._stack = stack
        self._empty: tuple[JwstDataModel, Mapping[Layer, ByteRange]] | None = None
        if self.written is None:
            self._open()

    @property
    def shape(self) -> tuple[int, ...]:
        """Of SCI: (ny, nx) or (n_integrations, ny, nx)."""
        places = _images(self.written) if self.written is not None else self.places
        return places["SCI", 1].shape

    @property
    def model(self) -> JwstDataModel:
        """The data model, opened when it is asked for; its arrays are not to be looked at."""
        return self._open()[0]

    @property
    def places(self) -> Mapping[Layer, ByteRange]:
        """Where the pixels are that the model is without."""
        return self._open()[1]

    def _open(self) -> tuple[JwstDataModel, Mapping[Layer, ByteRange]]:
        if self._empty is None:
            self._empty = self._stack.enter_context(open_empty(self.path))
        return self._empty


@contextmanager
def open_outline(path: str | Path) -> Iterator[Outline]:
    """Open an exposure without reading its pixels.

    Raises
    ------
    FileError
        If the file is there but it is not FITS, or no data model can be made of it.
    """
    with ExitStack() as stack:
        yield Outline(path, stack)


def write_outline(
    outline: Outline,
    path: str | Path,
    edits: Mapping[str, Edit],
    description: Description,
    threads: int = 1,
) -> Path:
    """Write a product: the exposure's headers and tree, described, and its pixels, edited.

    It appears whole or not at all, and opens as what ``model.save`` would have written.

    Parameters
    ----------
    outline : Outline
        What was opened.
    path : path
        Of the product.
    edits : mapping
        By EXTNAME, what is done to the pixels of an extension; all others are copied.
    description : Description
        What the product says of itself.
    threads : int
        So many arrays are written at a time.

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
    with appearing(path) as part:
        parts = _parts(outline, part, description)
        _check_edits(outline, parts, edits)
        write_parts(parts, outline.path, part, edits, threads)
    return Path(path)


def _check_edits(outline: Outline, parts: Sequence[Part], edits: Mapping[str, Edit]) -> None:
    """See that nothing that was to be changed would be passed by."""
    missing = set(edits).difference(part.name for part in parts)
    if missing:
        raise FileError(
            "What a background is subtracted from are image extensions",
            file=outline.path,
            value=f"no {', '.join(sorted(missing))}",
            cure="Give a rate or rateints product of the pipeline's first stage",
        )


def _parts(outline: Outline, path: Path, description: Description) -> list[Part]:
    if outline.written is None:
        describe(outline.model, description)
        return draft(outline.model, outline.places, path)
    headers, tree = amended(outline.written, path.name, description)
    images = _images(outline.written)
    pairs = zip(headers, outline.written.units, strict=True)
    return [*(_part(header, *unit, images) for header, unit in pairs), Part(tree)]


def _part(header: bytes, unit: Hdu, stop: int, images: Mapping[Layer, ByteRange]) -> Part:
    """Return a unit with its own data: what may be edited as pixels, anything else as bytes."""
    layer = _layer(unit)
    name = edited_name(*layer)
    if name and images.get(layer) is unit.data:
        return Part(header, name, unit.data, unit.data.native)
    data = ByteRange(unit.data.offset, (stop - unit.data.offset,), 8)
    return Part(header, "", data, data.native)


def _amendable(path: str | Path) -> Written | None:
    """Return a file that is as stdatamodels wrote it, if all that may be edited is plain."""
    written = as_written(path)
    if written is None:
        return None
    images = _images(written)
    plain = all(images[layer].native == TYPES[layer[0]] for layer in images if layer[0] in TYPES)
    return written if plain and ("SCI", 1) in images else None


def _images(written: Written) -> dict[Layer, ByteRange]:
    """Return where the images are; the first of a name and version counts."""
    found: dict[Layer, ByteRange] = {}
    for unit, _ in written.units:
        if unit.header.get("XTENSION") == "IMAGE" and unit.data.shape:
            found.setdefault(_layer(unit), unit.data)
    return found


def _layer(unit: Hdu) -> Layer:
    return unit.name, unit.header.whole("EXTVER", 1) or 1
