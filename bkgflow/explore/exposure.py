"""One exposure as a lazy xarray Dataset, with what its headers say of it."""

from __future__ import annotations

from functools import partial

import xarray as xr

from bkgflow.explore import accessor
from bkgflow.explore.lazy import DEFAULT_CHUNK, DTYPES, about, banded, read_one, with_units
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.source import Layer
from bkgflow.io.storage.location import PathLike
from bkgflow.version import VERSION

__all__ = ["attributes", "depth_of", "layers_of", "lazy_exposure", "open_exposure"]

accessor.register()


def open_exposure(path: PathLike, *, memory: int = DEFAULT_CHUNK) -> xr.Dataset:
    """Open one exposure lazily.

    Parameters
    ----------
    path : path or URL
        A rate, rateints, or any FITS product with SCI, ERR and DQ.
    memory : int
        Bytes that a row band, which is a chunk, may hold.

    Returns
    -------
    Dataset
        ``sci``, ``err`` float32 and ``dq`` uint32, dims (integration,) y, x; the coordinates
        ``y`` and ``x`` count the detector's pixels from 0, others say how it was taken (filter,
        target, observation, time, ra, dec, …). Units and header facts in attrs.

    Raises
    ------
    InputError
        If the file is missing or its headers contradict each other.
    """
    return lazy_exposure(inspect(path), memory)


def lazy_exposure(facts: ExposureFacts, memory: int = DEFAULT_CHUNK, **words: str) -> xr.Dataset:
    """Do `open_exposure` for an exposure whose headers were read already.

    ``words`` become coordinates, too.
    """
    data = banded(
        partial(read_one, facts.source),
        facts.window,
        depth_of(facts),
        memory,
        layers_of(facts),
        more=about([facts]) | {name: xr.Variable((), word) for name, word in words.items()},
        attrs=attributes(facts),
    )
    return with_units(data, facts.bunit)


def layers_of(facts: ExposureFacts) -> list[Layer]:
    """Return the layers that an exposure has: without DQ all pixels are good, and DQ is 0."""
    return [each for each in DTYPES if each != "err" or "ERR" not in facts.absent]


def depth_of(facts: ExposureFacts) -> dict[str, int]:
    """Return the axis before the rows, if there is one, and its length."""
    return {"integration": facts.n_integrations} if facts.n_integrations else {}


def attributes(facts: ExposureFacts) -> dict[str, str]:
    """Return the attributes of an exposure's Dataset."""
    return {
        "path": str(facts.location),
        "instrument": facts.instrument,
        "detector": facts.detector,
        "exp_type": facts.exp_type,
        "data_model": facts.model,
        "bkgflow_version": VERSION,
    }
