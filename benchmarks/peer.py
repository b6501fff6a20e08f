"""The reference step's side of the cases in one process, through its own public calls.

`jwst` is imported inside the functions: only the processes of this side pay for it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.contender import Work
from benchmarks.files import empty, read_stacks
from benchmarks.memory import trim

__all__ = [
    "clip_kernel",
    "file_to_file",
    "slitless_scaling",
    "slitless_to_file",
    "soss",
    "soss_to_file",
    "subtract",
]


@contextmanager
def file_to_file(
    target: Path,
    backgrounds: Sequence[Path],
    output: Path,
    **arguments: Any,
) -> Iterator[Work]:
    """Call the step on one exposure and have it save the result."""
    yield Work(
        lambda: subtract(target, backgrounds, output, **arguments), prepare=lambda: empty(output)
    )


@contextmanager
def soss(exposure: Path, library: Path) -> Iterator[Work]:
    """Fit and subtract a sky from a time series that is in memory; the peer copies it."""
    from jwst.background.background_sub_soss import subtract_soss_bkg
    from stdatamodels.jwst import datamodels

    with datamodels.open(str(exposure)) as model:
        yield Work(lambda: subtract_soss_bkg(model, str(library), 35.0, [25.0, 50.0]).close())


@contextmanager
def soss_to_file(exposure: Path, library: Path, output: Path) -> Iterator[Work]:
    """Do what the step does with a SOSS exposure, from file to file.

    The step itself asks a reference server for its context once it has used a reference.
    """
    from jwst.background.background_sub_soss import subtract_soss_bkg
    from stdatamodels.jwst import datamodels

    def run() -> None:
        with datamodels.open(str(exposure)) as model:
            result = subtract_soss_bkg(model, str(library), 35.0, [25.0, 50.0])
            result.save(str(output / exposure.name))

    def prepare() -> None:
        empty(output)
        trim()

    yield Work(run, prepare)


@contextmanager
def slitless_to_file(
    association: Path, sky: Path, wavelengthrange: Path, output: Path
) -> Iterator[Work]:
    """Call the step on a slitless exposure's association and have it save the result.

    At its end the step asks a reference server for the context; here it is given a word at once.
    """
    crds_client: Any = import_module("stpipe.crds_client")
    crds_client.get_context_used = lambda *_: "jwst_0000.pmap"
    os.chdir(association.parent)  # where it looks for the catalog

    def run() -> None:
        subtract(
            association,
            [],
            output,
            override_bkg=str(sky),
            override_wavelengthrange=str(wavelengthrange),
        )

    yield Work(run, prepare=lambda: empty(output))


@contextmanager
def clip_kernel(paths: Sequence[Path]) -> Iterator[Work]:
    """Do to stacks in memory what the step's ``average_background`` does once they are filled.

    As there, they are float64, and ERR is squared already: that is not timed.
    """
    sci, err, dq = read_stacks(paths)
    cdata, cerr = sci.astype(np.float64), err.astype(np.float64) ** 2
    del sci, err
    yield Work(lambda: _average(cdata, cerr, dq))


@contextmanager
def slitless_scaling(arrays: Path, maxiter: int) -> Iterator[Work]:
    """Compute the scaling factor as ``subtract_wfss_bkg`` does, with the copies it makes."""
    from jwst.background.background_sub_wfss import ScalingFactorComputer

    with np.load(arrays) as held:
        sci, err, mask, sky = (held[name] for name in ("sci", "err", "mask", "sky"))
    factor = 0.0

    def run() -> None:
        nonlocal factor
        computer = ScalingFactorComputer(p=1.0, maxiter=maxiter)
        found, _ = computer(sci.copy(), sky.copy(), err.copy() ** 2, mask=~mask)
        factor = float(found)

    yield Work(run, after=lambda: {"factor": factor})


def subtract(target: Path, backgrounds: Sequence[Path], output: Path, **arguments: Any) -> None:
    """Call the step, save its result, and see that it is COMPLETE."""
    from jwst.background import BackgroundStep

    given = ([str(path) for path in backgrounds],) if backgrounds else ()
    result = BackgroundStep.call(
        str(target), *given, save_results=True, output_dir=str(output), **arguments
    )
    status = result.meta.cal_step.bkg_subtract
    result.close()
    if status != "COMPLETE":
        raise RuntimeError(f"the reference step ended {status}")


def _average(
    cdata: NDArray[np.float64], cerr: NDArray[np.float64], dq: NDArray[np.uint32]
) -> tuple[NDArray[Any], ...]:
    from astropy.stats import sigma_clip

    flags = np.zeros(dq.shape[1:], np.uint32)
    for plane in dq:
        flags = np.bitwise_or(flags, plane)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mdata = sigma_clip(cdata, sigma=3.0, maxiters=None, axis=0)
    mean = mdata.mean(axis=0).data
    merr = np.ma.masked_array(cerr, mask=mdata.mask)
    err = (np.sqrt(merr.sum(axis=0)) / (len(cdata) - merr.mask.sum(axis=0))).data
    return mean, err, flags
