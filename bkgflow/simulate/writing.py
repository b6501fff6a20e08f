"""From a program's truth to its files: exposures, associations, and the truth itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import REFERENCE_PIXEL
from bkgflow.errors import FileError, OutputError
from bkgflow.io.models import build_model, write_model
from bkgflow.simulate.headers import exposure_meta, integration_times
from bkgflow.simulate.modes import MODES, Mode
from bkgflow.simulate.noise import DEAD, HOT, Stream, defects, draw_rate, generator, jumps
from bkgflow.simulate.truth import Exposure, Program, Truth

__all__ = [
    "HOT_EXCESS",
    "Simulated",
    "exposure_arrays",
    "measure",
    "prepare_folder",
    "unwritable",
    "write_association",
    "write_program",
]

HOT_EXCESS = 20.0
"""A hot pixel's rate over the sky's level at the detector's centre."""

POOL_TIME = "20240305t060000"
"""When the pool of a simulated program claims to have been made."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """A simulated program on disk.

    Attributes
    ----------
    folder : Path
        Where it lies.
    associations : tuple of Path
        One for each target exposure.
    exposures : tuple of Path
        Targets first, then dedicated backgrounds.
    truth : Truth
        Everything it was drawn from; ``Truth.load(folder)`` gives the same.
    """

    folder: Path
    associations: tuple[Path, ...]
    exposures: tuple[Path, ...]
    truth: Truth


def write_program(
    folder: str | Path,
    truth: Truth,
    backgrounds: Mapping[str, Sequence[str]],
    on_exposure: Callable[[Path], None] | None = None,
) -> Simulated:
    """Write all files of a program; its truth comes last, as the sign that it is whole.

    Parameters
    ----------
    folder : path-like
        Created where it is missing. It may hold the same program already, but no other one:
        the files of two would be mixed.
    truth : Truth
        What to draw.
    backgrounds : mapping
        For each target exposure the names of its backgrounds.
    on_exposure : callable, optional
        Called with the path of each exposure as soon as it is written.

    Raises
    ------
    OutputError
        Where the folder cannot be written to, or holds another simulated program.
    """
    folder = prepare_folder(folder, truth)
    mode = MODES[truth.mode]
    exposures = []
    for exposure in truth.exposures:
        exposures.append(_write_exposure(folder, truth, mode, exposure))
        if on_exposure is not None:
            on_exposure(exposures[-1])
    try:
        associations = tuple(
            write_association(
                folder, mode, truth.exposure(name), [(each, "background") for each in names]
            )
            for name, names in backgrounds.items()
        )
        truth.save(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return Simulated(folder, associations, tuple(exposures), truth)


def exposure_arrays(truth: Truth, exposure: Exposure) -> dict[str, NDArray[Any]]:
    """Draw an exposure's arrays.

    Returns
    -------
    dict
        ``data``, ``err``, ``var_poisson``, ``var_rnoise`` float32 (DN/s and its square) and
        ``dq`` uint32; (ny, nx) for an image, (n_integrations, ny, nx) for a cube.
    """
    window, mode = exposure.window, MODES[truth.mode]
    flags = defects(window, mode.frame, mode.instrument, truth.seed)
    sky, sources = truth.sky(window), exposure.image()
    arrays = measure(
        (sky + share * sources for share in exposure.light_curve()),
        exposure,
        truth,
        flags,
        HOT_EXCESS * truth.plane.level,
        lambda integration: truth.rays(exposure.name, integration),
    )
    if exposure.integrations is None:
        return {name: array[0] for name, array in arrays.items()}
    return arrays


def measure(
    rates: Iterable[NDArray[np.float64]],
    exposure: Exposure,
    truth: Program,
    flags: NDArray[np.uint32],
    hot: float,
    rays: Callable[[int], NDArray[np.float64]] | None = None,
) -> dict[str, NDArray[Any]]:
    """Draw what a detector measures of noiseless rates.

    Parameters
    ----------
    rates : iterable of (ny, nx) float64, DN/s
        One for each integration.
    flags : (ny, nx) uint32
        The detector's DQ; reference pixels get no light, dead ones are NaN.
    hot : float
        What hot pixels show besides, in DN/s.
    rays : callable, optional
        Gives what unnoticed cosmic rays add to an integration.

    Returns
    -------
    dict
        As `exposure_arrays` returns, always with the axis of the integrations.
    """
    light = (flags & REFERENCE_PIXEL) == 0
    arrays = _empty_arrays((exposure.integrations or 1, *exposure.window.shape))
    arrays["var_rnoise"][...] = truth.detector.read_variance
    for i, rate in enumerate(rates):
        noise = generator(truth.seed, *exposure.key, Stream.NOISE, i)
        data, variance = draw_rate(rate * light, truth.detector, noise)
        arrays["data"][i] = data if rays is None else data + rays(i)
        arrays["var_poisson"][i] = variance
        mended = jumps(flags.shape, generator(truth.seed, *exposure.key, Stream.JUMPS, i))
        arrays["dq"][i] = flags | mended
    np.sqrt(arrays["var_poisson"] + arrays["var_rnoise"], out=arrays["err"])
    arrays["data"][:, (flags & HOT) != 0] += np.float32(hot)
    for name in ("data", "err", "var_poisson", "var_rnoise"):
        arrays[name][:, (flags & DEAD) != 0] = np.nan
    return arrays


def prepare_folder(folder: str | Path, truth: Program) -> Path:
    """Create a program's folder, which may hold the same program, but no other one."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error
    if _holds_another(folder, truth):
        raise OutputError(
            "A folder must hold no more than one simulated program",
            value="another one is there already",
            cure="Choose a new folder, or remove this one first",
            file=folder,
        )
    return folder


def _empty_arrays(shape: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    names = ("data", "err", "var_poisson", "var_rnoise")
    arrays: dict[str, NDArray[Any]] = {name: np.empty(shape, np.float32) for name in names}
    return arrays | {"dq": np.empty(shape, np.uint32)}


def _write_exposure(folder: Path, truth: Truth, mode: Mode, exposure: Exposure) -> Path:
    arrays = exposure_arrays(truth, exposure)
    if exposure.integrations is not None:
        arrays["int_times"] = integration_times(mode, exposure)
    with build_model(mode.kind, arrays, exposure_meta(mode, exposure)) as model:
        return write_model(model, folder / exposure.name)


def write_association(
    folder: Path,
    mode: Mode,
    science: Exposure,
    others: Sequence[tuple[str, str]],
    number: int | None = None,
) -> Path:
    """Write the association of one target exposure, as the level-2 generator lays it out.

    ``others`` are the names and types of the members besides the exposure itself; the
    association's number is the exposure's, unless another is given.
    """
    number = science.number if number is None else number
    asn_type, rule = mode.association
    members = [(science.name, "science"), *others]
    content = {
        "asn_type": asn_type,
        "asn_rule": rule,
        "version_id": None,
        "code_version": "bkgflow simulate",
        "degraded_status": "No known degraded exposures in association.",
        "program": mode.program,
        "constraints": "No constraints",
        "asn_id": f"o{science.observation:03d}",
        "asn_pool": f"jw{mode.program}_{POOL_TIME}_pool.csv",
        "target": str(science.observation),
        "products": [
            {
                "name": science.name.removesuffix(f"_{mode.suffix}.fits"),
                "members": [
                    {"expname": name, "exptype": kind, "exposerr": "null"} for name, kind in members
                ],
            }
        ],
    }
    name = f"jw{mode.program}-o{science.observation:03d}_{asn_type}_{number:05d}_asn.json"
    path = folder / name
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    return path


def _holds_another(folder: Path, truth: Program) -> bool:
    """Whether a whole simulated program other than this one lies in the folder."""
    if not (folder / "truth" / "truth.json").exists():
        return False
    try:
        return type(truth).load(folder) != truth
    except FileError:
        return True


def unwritable(folder: Path, error: OSError) -> OutputError:
    """Return the error for a folder that a program cannot be written to."""
    return OutputError(
        "A simulated program must be written to a folder that is writable and has room",
        value=error,
        cure="Choose a folder of your own, change its permissions or make room",
        file=folder,
    )
