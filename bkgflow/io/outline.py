"""Products whose pixels stream past their data model.

An *outline* is an exposure without its pixels. It says what a product's headers, tables and
ASDF tree are: from those of the file where they are as stdatamodels wrote them, and else from a
data model. The pixels go from file to file a few rows at a time, and those that change are
changed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from stdatamodels.jwst.datamodels import JwstDataModel

from bkgflow.io.amend import Written, amended, as_written
from bkgflow.io.draft import Layer, draft, open_empty
from bkgflow.io.fits import Extension, Place
from bkgflow.io.products import Description, describe
from bkgflow.io.stream import Edit, Part, write_parts
from bkgflow.io.whole import appearing

__all__ = ["Outline", "open_outline", "write_outline"]

TYPES: dict[str, np.dtype[Any]] = {
    "SCI": np.dtype(np.float32),
    "ERR": np.dtype(np.float32),
    "DQ": np.dtype(np.uint32),
}
"""What a data model holds; an array of another type is cast by the model."""


class Outline:
    """An exposure without its pixels, and where they are. See `open_outline`."""

    def __init__(self, path: str | Path, stack: ExitStack) -> None:
        self.path = str(path)
        self._stack = stack
        self._model: JwstDataModel | None = None
        self.places: Mapping[Layer, Place] = {}
        self.written = as_written(path)
        if self.written is not None:
            self.places = _images(self.written)
            if not _plain(self.places):
                self.written = None
        if self.written is None:
            _ = self.model

    @property
    def shape(self) -> tuple[int, ...]:
        """Of SCI: (ny, nx) or (n_integrations, ny, nx)."""
        return self.places["SCI", 1].shape

    @property
    def model(self) -> JwstDataModel:
        """The data model, opened when it is asked for; its arrays are not to be looked at."""
        if self._model is None:
            self._model, self.places = self._stack.enter_context(open_empty(self.path))
        return self._model


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
        write_parts(parts, outline.path, part, edits, threads)
    return Path(path)


def _parts(outline: Outline, path: Path, description: Description) -> list[Part]:
    if outline.written is None:
        describe(outline.model, description)
        return draft(outline.model, outline.places, path)
    headers, tree = amended(outline.written, path.name, description)
    pairs = zip(headers, outline.written.units, strict=True)
    return [*(_part(header, *unit) for header, unit in pairs), Part(tree)]


def _part(header: bytes, unit: Extension, stop: int) -> Part:
    """Return a unit with its own data: an image as pixels, anything else as bytes."""
    place = unit.place
    if not _is_image(unit) or place.native is None:
        place = Place(place.offset, (stop - place.offset,), 8)
    return Part(header, unit.name, place, place.native)


def _images(written: Written) -> dict[Layer, Place]:
    """Return where the images are; the first of a name and version counts."""
    found: dict[Layer, Place] = {}
    for unit, _ in written.units:
        if _is_image(unit):
            found.setdefault((unit.name, unit.header.whole("EXTVER", 1) or 1), unit.place)
    return found


def _is_image(unit: Extension) -> bool:
    return unit.header.get("XTENSION") == "IMAGE" and bool(unit.place.shape)


def _plain(places: Mapping[Layer, Place]) -> bool:
    """Whether SCI is there, and all that may be edited has the type of the data model."""
    return ("SCI", 1) in places and all(
        place.native == TYPES[name] for (name, _), place in places.items() if name in TYPES
    )
