"""The boundary to products: what is done to an exposure, as values, and who does it.

Where products are written, and how, is the writer's affair alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import FileError, ShapeError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import VARIANCES
from bkgflow.io.storage.location import Location
from bkgflow.record import Record
from bkgflow.verdict import State, Verdict

__all__ = [
    "ATTRIBUTES",
    "EDITED",
    "EXTRA",
    "NAMED",
    "NO_EXTRAS",
    "Arrays",
    "Changes",
    "Edit",
    "OpenTarget",
    "Plane",
    "Prepared",
    "ProductWriter",
    "Settle",
    "Settling",
    "check_arrays",
    "unedited",
    "unsettled",
]

Arrays = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint32]]
"""SCI, ERR and DQ of a combined background, (ny, nx), in the unit of the exposure it is for."""

Plane = NDArray[Any]
"""(rows, nx) pixels in the machine's byte order: of SCI and ERR float32, of DQ uint32."""

Edit = Callable[[Plane, int, slice], None]
"""Changes some rows of an array in place: its arguments are their pixels, the integration they
are of (0 in an image), and which rows they are."""

EDITED: Mapping[str, np.dtype[np.generic]] = {
    "SCI": np.dtype(np.float32),
    "ERR": np.dtype(np.float32),
    "DQ": np.dtype(np.uint32),
    "VAR_POISSON": np.dtype(np.float32),
    "VAR_RNOISE": np.dtype(np.float32),
}
"""EXTNAME and type, in a product, of the arrays that a background changes."""

EXTRA: Mapping[str, np.dtype[np.generic]] = {
    "background": np.dtype(np.float32),
    "n_used": np.dtype(np.uint16),
}
"""Name and type of the arrays (ny, nx) that say how a product was made: what was subtracted, in
the unit of SCI, and of how many exposures each pixel of that is the mean. A product in zarr has
them; FITS products are those of the pipeline, and have none."""

NAMED: Mapping[str, str] = {
    "R_BKG": "ref_file.bkg.name",
    "R_WAVRAN": "ref_file.wavelengthrange.name",
    "CRDS_CTX": "ref_file.crds.context_used",
    "SCATFILE": "source_catalog",
    "SEGMFILE": "segmentation_map",
    "DIRIMAGE": "direct_image",
    "ASNTABLE": "asn.table_name",
}
"""Keywords that name what a product was made with, and where they are below ``meta``."""

ATTRIBUTES: Mapping[str, str] = {"SCI": "data", "ERR": "err", "DQ": "dq"} | {
    name: attribute for name, attribute in VARIANCES.items() if name in EDITED
}
"""What a data model calls them."""


NO_EXTRAS: Mapping[str, Edit] = MappingProxyType({})
"""Of a combined background that is a file."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What is done to an exposure.

    Attributes
    ----------
    edits : mapping
        By EXTNAME, one of `EDITED`, what is done to the pixels of an array; all others stay.
    mask : (ny, nx) bool, or None
        True where a pixel is background: becomes the extension MASK, uint32.
    scaling_factor : float or None
        Becomes ``meta.background.scaling_factor``, the card BKGD_SCL.
    imprint : State or None
        Becomes ``meta.cal_step.imprint``, the card S_IMPRNT; None leaves it as it is.
    keywords : tuple of (str, str)
        Cards of the primary header, of `NAMED`, that say what was used: printable ASCII.
    extras : mapping
        By name, one of `EXTRA`, what fills some rows of such an array.
    """

    edits: Mapping[str, Edit] = field(default_factory=dict)
    mask: NDArray[np.bool_] | None = None
    scaling_factor: float | None = None
    imprint: State | None = None
    keywords: tuple[tuple[str, str], ...] = ()
    extras: Mapping[str, Edit] = field(default_factory=dict)

    def after(self, first: Mapping[str, Edit]) -> Changes:
        """Return the same, with edits that are made before these."""
        edits = dict(self.edits)
        for name, edit in first.items():
            edits[name] = partial(_in_turn, edit, edits[name]) if name in edits else edit
        return replace(self, edits=edits)


def unedited(names: Iterable[str]) -> Changes:
    """Return changes of the arrays with some EXTNAMEs that do nothing to them."""
    return Changes(dict.fromkeys(names, _leave))


def _leave(pixels: Plane, integration: int, rows: slice) -> None:
    """Change nothing."""


def _in_turn(first: Edit, then: Edit, pixels: Plane, integration: int, rows: slice) -> None:
    first(pixels, integration, rows)
    then(pixels, integration, rows)


class Prepared(Protocol):
    """A product that is whole, but not at its location yet; a `Draft` is one.

    It holds nothing of the exposure that it was made of.
    """

    @property
    def location(self) -> Location:
        """Where it is to appear."""

    def publish(self) -> Location:
        """Make it appear; return where."""

    def discard(self) -> None:
        """Leave nothing behind. What was published stays."""


class OpenTarget(Protocol):
    """An exposure of which products are made."""

    def product(
        self, changes: Changes, verdict: Verdict, to: Location, threads: int = 1
    ) -> Prepared:
        """Prepare the exposure, changed and described, for a location.

        Parameters
        ----------
        verdict : Verdict
            What the product says of itself.
        threads : int
            So many arrays are written at a time.

        Raises
        ------
        FileError
            If the exposure cannot be read on, or lacks an array that is to be changed.
        OutputError
            If nothing can be written there.
        """

    def combined(
        self,
        arrays: Arrays,
        record: Record,
        to: Location,
        extras: Mapping[str, Edit] = NO_EXTRAS,
    ) -> Prepared:
        """Prepare a combined background, with the metadata of the exposure that it is for.

        Parameters
        ----------
        record : Record
            Says what it was made of.
        extras : mapping
            As those of `Changes`.

        Raises
        ------
        OutputError
            If nothing can be written there.
        """


class ProductWriter(Protocol):
    """Makes products of exposures."""

    @property
    def summed(self) -> bool:
        """Whether somebody wants to know the size and the checksum of what appears."""

    def open(self, target: ExposureFacts) -> AbstractContextManager[OpenTarget]:
        """Open an exposure.

        Raises
        ------
        FileError
            If nothing can be made of it.
        """


class Settle(Protocol):
    """Takes edits and a mask that are settled before all changes are.

    They are those of the product, the same objects, or nothing was gained. So many threads may
    write of each array side by side.
    """

    def __call__(self, changes: Changes, threads: int = 1) -> None:
        """Take them; what comes of it is seen at the product."""


def unsettled(changes: Changes, threads: int = 1) -> None:
    """Leave everything until all is known."""


@runtime_checkable
class Settling(Protocol):
    """A `ProductWriter` that makes use of what is settled early."""

    def settle(self, changes: Changes, threads: int = 1) -> None:
        """See `Settle`."""


def check_arrays(
    target: ExposureFacts, changes: Changes, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """See that the arrays of an opened exposure, by EXTNAME, are those that were planned with.

    Raises
    ------
    ShapeError
        If its SCI is not as large as it was.
    FileError
        If nothing is there that is to be edited.
    """
    shape = shapes.get("SCI", target.window.shape)
    if shape[-2:] != target.window.shape:
        raise ShapeError(
            "The target must be as large as it was when it was planned",
            file=target.location,
            value=f"{shape[-2:]}, planned {target.window.shape}",
            cure="Plan the program again",
        )
    missing = set(changes.edits).difference(shapes)
    if missing:
        raise FileError(
            "What a background is subtracted from must be image extensions",
            file=target.location,
            value=f"no {', '.join(sorted(missing))}",
            cure="Give a rate or rateints product of the pipeline's first stage",
        )
