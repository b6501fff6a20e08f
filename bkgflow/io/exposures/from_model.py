"""Data models in memory as exposures: the same facts and sources as files have."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import Window
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import (
    ABOUT_KEYS,
    ABOUT_SCI_KEYS,
    IMPRINT_KEYS,
    META_KEYS,
    ExposureFacts,
    look_up,
    read_facts,
)
from bkgflow.io.exposures.segments import SEGMENT_KEYS
from bkgflow.io.exposures.setup import COMBINED, DATE_KEYS, SETUP_KEYS
from bkgflow.io.exposures.source import (
    VARIANCES,
    Layer,
    Pixels,
    Reader,
    check_absent,
    sky_keywords,
)
from bkgflow.io.exposures.taken import POINTING_KEYS, TAKEN_KEYS
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

if TYPE_CHECKING:
    from gwcs import WCS
    from stdatamodels.jwst.datamodels import JwstDataModel

__all__ = ["ModelSource", "model_facts"]

LAYERS = {"SCI": "data", "ERR": "err", "DQ": "dq"}

PRIMARY_KEYS = {
    **ABOUT_KEYS,
    **META_KEYS,
    **IMPRINT_KEYS,
    **SETUP_KEYS,
    **TAKEN_KEYS,
    "SUBSTRT1": "subarray.xstart",
    "SUBSTRT2": "subarray.ystart",
    "SUBSIZE1": "subarray.xsize",
    "SUBSIZE2": "subarray.ysize",
    "GWA_XTIL": "instrument.gwa_xtilt",
    "GWA_YTIL": "instrument.gwa_ytilt",
}
"""Where a model has the keywords of the primary header, below ``meta``."""

SCI_KEYS = {
    **ABOUT_SCI_KEYS,
    **POINTING_KEYS,
    "BUNIT": "meta.bunit_data",
    "DISPAXIS": "meta.wcsinfo.dispersion_direction",
    "SLTSTRT1": "xstart",
    "SLTSTRT2": "ystart",
    "SLTSIZE1": "xsize",
    "SLTSIZE2": "ysize",
}


@dataclass(frozen=True, slots=True, eq=False)
class ModelSource:
    """See `Source`: (ny, nx) or (n_integrations, ny, nx) arrays of any byte order, not copied.

    ERR and DQ may be missing, as in a file.
    """

    format: ClassVar[str] = "model"

    name: str
    window: Window
    sci: Pixels
    err: Pixels | None
    dq: Pixels | None
    world: WCS | None = None
    more: Mapping[str, Pixels] = field(default_factory=dict)
    """Its variances, by EXTNAME."""
    sky: Callable[[], dict[str, str | float]] = dict

    @property
    def n_integrations(self) -> int | None:
        """Length of the first axis of a cube; None for an image."""
        return self.sci.shape[0] if self.sci.ndim == 3 else None

    @contextmanager
    def reader(self) -> Iterator[Reader]:
        """Nothing to open."""
        yield _ModelReader(self)

    def variances(self, window: Window) -> dict[str, NDArray[np.float32]]:
        """Return copies."""
        rows, columns = window.slices_in(self.window)
        return {
            name: np.array(array.reshape(-1, *array.shape[-2:])[0, rows, columns], np.float32)
            for name, array in self.more.items()
        }

    def wcs(self) -> WCS | None:
        """Return the model's ``meta.wcs``."""
        return self.world

    def has_wcs(self) -> bool:
        """Whether the model has a ``meta.wcs``."""
        return self.world is not None

    def sky_keywords(self) -> dict[str, str | float]:
        """Return what the model has below ``meta.wcsinfo``."""
        return self.sky()


@dataclass(frozen=True, slots=True)
class _ModelReader:
    source: ModelSource

    def read(self, layer: Layer, window: Window, out: Pixels, first: int = 0) -> None:
        array: Pixels | None = getattr(self.source, layer)
        if array is None:
            check_absent(self.source.name, layer)
            out[...] = 0
            return
        wanted = array[(..., *window.slices_in(self.source.window))]
        if out.ndim == 3 and array.ndim == 3:
            wanted = wanted[first : first + len(out)]
        np.copyto(out, wanted, casting="unsafe")


def model_facts(model: JwstDataModel, name: str) -> ExposureFacts:
    """Return what a model's metadata say of the exposure, checked as a file's headers are.

    Parameters
    ----------
    model : JwstDataModel
        With data (SCI); err and dq may be missing.
    name : str
        Stands for the location in messages and in the result.

    Raises
    ------
    InputError
        As `bkgflow.io.exposures.from_fits.inspect`.
    """
    shape, meta = _common_shape(model, name), model.meta
    arrays = [getattr(model, attribute, None) for attribute in LAYERS.values()]
    absent = tuple(name for name, array in zip(LAYERS, arrays, strict=True) if array is None)
    sci, err, dq = arrays
    assert sci is not None  # `_common_shape` would have said so

    variances = {
        name: array
        for name, attribute in VARIANCES.items()
        # To ask a model for an array that it lacks would make one.
        if model.hasattr(attribute)
        and (array := getattr(model, attribute)) is not None
        and tuple(array.shape) == shape
    }

    def sky() -> dict[str, str | float]:
        return sky_keywords(lambda keyword: look_up(meta, f"wcsinfo.{keyword.lower()}"))

    def primary(keyword: str) -> Hashable:
        if keyword == "DATAMODL":
            return type(model).__name__
        if keyword in DATE_KEYS and COMBINED not in str(meta.filename):
            return None  # of the file that it was read from: it may be another exposure now
        return look_up(meta, (SEGMENT_KEYS | PRIMARY_KEYS)[keyword])

    return read_facts(
        Location(name),
        _identity(name, [array for array in arrays if array is not None]),
        shape,
        primary,
        lambda keyword: look_up(model, SCI_KEYS[keyword]),
        lambda window: ModelSource(
            name, window, sci, err, dq, getattr(meta, "wcs", None), variances, sky
        ),
        variances,
        absent,
    )


def _common_shape(model: JwstDataModel, name: str) -> tuple[int, ...]:
    shapes = {}
    for layer, attribute in LAYERS.items():
        array = getattr(model, attribute, None)
        if array is not None:
            shapes[layer] = tuple(array.shape)
        elif layer == "SCI":
            raise FileError(
                "An exposure must have SCI",
                file=name,
                value=f"no SCI in the {type(model).__name__}",
                cure="Give a rate or rateints product of the pipeline's first stage",
            )
    shape: tuple[int, ...] = shapes["SCI"]
    if len(set(shapes.values())) > 1 or len(shape) not in (2, 3) or 0 in shape:
        raise ShapeError(
            "SCI, ERR and DQ must be images or cubes of one shape",
            file=name,
            value=", ".join(f"{layer} {shape}" for layer, shape in shapes.items()),
            cure="Make the arrays of the model agree",
        )
    return shape


def _identity(name: str, arrays: Sequence[Pixels]) -> Identity:
    """A model in memory is told from another by what is in it."""
    digest = hashlib.blake2b(digest_size=8)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return Identity(f"{name}#{digest.hexdigest()}", int(arrays[0].nbytes), 0)
