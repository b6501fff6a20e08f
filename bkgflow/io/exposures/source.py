"""Where the pixels of an exposure come from: a file, or arrays in memory.

All sources obey one Protocol, so that what is computed from them is written once. A source is
what a graph carries: a location, a window and byte offsets, never an open file. `Source.reader`
opens it where the task runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from bkgflow.detector import Window
from bkgflow.errors import FileError, PlanError
from bkgflow.scratch import Scratch

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = [
    "FORMATS",
    "SKY_KEYS",
    "VARIANCES",
    "Expecting",
    "Layer",
    "Pixels",
    "Reader",
    "SavedSource",
    "Source",
    "check_absent",
    "check_savable",
    "read_whole",
    "read_window",
    "sky_keywords",
]

Layer = Literal["sci", "err", "dq"]

Pixels = NDArray[np.generic]

VARIANCES: Mapping[str, str] = {
    "VAR_POISSON": "var_poisson",
    "VAR_RNOISE": "var_rnoise",
    "VAR_FLAT": "var_flat",
}
"""EXTNAME of the parts of which the pipeline makes ERR² again and again, and what a data model
calls them."""

SKY_KEYS = tuple(
    [f"{name}{axis}" for name in ("CTYPE", "CUNIT", "CRPIX", "CRVAL", "CDELT") for axis in (1, 2)]
    + [f"{name}{i}_{j}" for name in ("PC", "CD") for i in (1, 2) for j in (1, 2)]
)
"""Keywords of SCI's header that say where on the sky an image lies, but for its distortion."""

FORMATS: Mapping[str, str] = {
    "fits": "bkgflow.io.exposures.from_fits:FitsSource",
    "zarr": "bkgflow.io.exposures.from_zarr:ZarrSource",
}
"""By the name of a format, the class of its sources. What is not listed is in memory alone."""


class Reader(Protocol):
    """An open source."""

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        """Fill ``out`` with a part of the source's window.

        Parameters
        ----------
        window : Window
            Detector pixels, all within the source's window.
        out : (ny, nx) or (n, ny, nx)
            Filled in place; of a cube, with n integrations.
        first : int
            The first of these integrations.
        """


@runtime_checkable
class Expecting(Protocol):
    """A reader that gains from hearing early what will be read: one of an object store."""

    def expect(self, layers: Iterable[Layer], window: Window) -> None:
        """Begin to fetch what a window has of these arrays, with all integrations, in order."""


class Source(Protocol):
    """One exposure's SCI, ERR and DQ, wherever they are."""

    @property
    def format(self) -> str:
        """Its name in `FORMATS`; another for what only this process has."""

    @property
    def name(self) -> str:
        """How messages call it."""

    @property
    def window(self) -> Window:
        """Where it lies on the detector."""

    @property
    def n_integrations(self) -> int | None:
        """Integrations of a cube; None for an image."""

    def reader(self) -> AbstractContextManager[Reader]:
        """Open it."""

    def variances(self, window: Window) -> dict[str, NDArray[np.float32]]:
        """Return those of `VARIANCES` that it has, in a part of its window; of a cube, the first.

        Arrays of another shape than SCI's do not count.
        """

    def wcs(self) -> WCS | None:
        """Return its WCS; None where it has none.

        Raises
        ------
        FileError
            If it has one that cannot be read.
        """

    def has_wcs(self) -> bool:
        """Whether it has a WCS: answered without making it."""

    def sky_keywords(self) -> dict[str, str | float]:
        """Return those of `SKY_KEYS` that it has."""


def sky_keywords(header: Callable[[str], object]) -> dict[str, str | float]:
    """Return those of `SKY_KEYS` that a header has, which is asked for one at a time."""
    found = ((name, header(name)) for name in SKY_KEYS)
    return {name: value for name, value in found if isinstance(value, str | float | int)}


def check_absent(name: str, layer: Layer) -> None:
    """See that an array may be missing where it is asked for: without DQ all pixels are good.

    Raises
    ------
    FileError
        For ERR: nobody knows the errors.
    """
    if layer != "dq":
        raise FileError(
            f"An exposure must have {layer.upper()} where it is asked for",
            file=name,
            value=f"no {layer.upper()}",
            cure="Give an exposure that has it; backgrounds need ERR for propagate_errors and "
            "save_combined_background alone",
        )


def read_window(
    source: Source, reader: Reader, layer: Layer, window: Window, out: Pixels
) -> Window | None:
    """Fill ``out`` with what a source holds of a part of the detector; return which pixels it has.

    Where the source holds nothing, SCI and ERR become NaN and DQ 0: clipping ignores them.
    ``out`` is (window.ny, window.nx) or (n_integrations, window.ny, window.nx).
    """
    held = source.window.overlap(window)
    if held == window:  # most are: nothing is left to be filled
        reader.read(layer, window, out)
        return window
    out[...] = 0 if layer == "dq" else np.nan
    if held is not None:
        reader.read(layer, held, out[(..., *held.slices_in(window))])
    return held


def read_whole(
    source: Source, scratch: Scratch | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]:
    """Return all of SCI, ERR and DQ: (ny, nx), or (n_integrations, ny, nx) of a cube.

    They are there as long as the scratch is; without one, for ever.
    """
    scratch = scratch or Scratch()
    depth = () if source.n_integrations is None else (source.n_integrations,)
    shape = (*depth, *source.window.shape)
    sci, err = (scratch.array(shape, np.dtype(np.float32)) for _ in range(2))
    dq = scratch.array(shape, np.dtype(np.uint32))
    layers: tuple[tuple[Layer, Pixels], ...] = (("sci", sci), ("err", err), ("dq", dq))
    with source.reader() as reader:
        for layer, array in layers:
            reader.read(layer, source.window, array)
    return sci, err, dq


# Sources in a plan's JSON.


def check_savable(sources: Iterable[Source]) -> None:
    """See that a plan of these sources can be written to a file.

    Raises
    ------
    PlanError
        If one of them is in memory alone.
    """
    for source in sources:
        if source.format not in FORMATS:
            raise PlanError(
                "A plan that is saved must name files",
                value=f"{source.name}, a model in memory",
                cure="Save the model, and plan with its path",
            )


@cache
def _adapter(name: str) -> TypeAdapter[Source]:
    module, _, kind = FORMATS[name].partition(":")
    return TypeAdapter(getattr(import_module(module), kind))


def _to_plain(source: Source) -> dict[str, object]:
    check_savable([source])
    return {"format": source.format, **_adapter(source.format).dump_python(source, mode="json")}


def _from_plain(value: object) -> Source:
    if not isinstance(value, Mapping):
        return cast(Source, value)
    parts = dict(value)
    name = parts.pop("format", None)
    if name not in FORMATS:
        raise ValueError(f"no source of exposures has the format {name!r}")
    return _adapter(name).validate_python(parts)


SavedSource = Annotated[
    Source, PlainValidator(_from_plain), PlainSerializer(_to_plain, when_used="json")
]
"""A source as a field of what is saved: in JSON a mapping with its ``format``."""
