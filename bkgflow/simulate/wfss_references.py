"""The reference files of a simulated slitless program: sky templates and wavelengths."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE
from bkgflow.io.models import build_model, write_model
from bkgflow.simulate.wfss_modes import BANDS, EXTRACTED, ORDERS, Slitless
from bkgflow.simulate.wfss_truth import SlitlessTruth

__all__ = ["REFERENCES", "component_names", "write_templates", "write_wavelengthrange"]

REFERENCES = "references"
"""The folder of the reference files, below the program's."""

USEAFTER = "2022-01-01T00:00:00"

Image = NDArray[np.float32]


def component_names(slitless: Slitless, components: int) -> tuple[str, ...]:
    """Return the templates' paths below the program's folder.

    Several lie in a folder of their own: beside each other, no header could tell which is which.
    """
    stem = _stem(slitless)
    if components == 1:
        return (f"{REFERENCES}/{stem}_bkg.fits",)
    folder = f"{REFERENCES}/components"
    return tuple(f"{folder}/{stem}_bkg{i + 1}.fits" for i in range(components))


def write_templates(
    folder: Path, truth: SlitlessTruth, slitless: Slitless, templates: Sequence[Image]
) -> tuple[Path, ...]:
    """Write each component, and for several of them their mean mixture as the reference."""
    paths = [folder / name for name in truth.components]
    for path, template in zip(paths, templates, strict=True):
        _write_template(path, slitless, template)
    if len(paths) > 1:
        mean = np.mean([exposure.scales for exposure in truth.exposures], axis=0)
        mixture = sum(scale * template for scale, template in zip(mean, templates, strict=True))
        path = folder / component_names(slitless, 1)[0]
        _write_template(path, slitless, np.asarray(mixture, np.float32))
    return tuple(paths)


def _write_template(path: Path, slitless: Slitless, template: Image) -> None:
    mode = slitless.mode
    frame = mode.frame
    optics = {name: value for name, value in mode.optics.items() if name != "filter_position"}
    meta = _reference_meta(slitless, "bkg", "Background of slitless exposures") | {
        **{f"instrument.{name}": value for name, value in optics.items()},
        "instrument.detector": mode.detector,
        "subarray.name": "FULL",
        **{"subarray.xstart": 1, "subarray.ystart": 1},
        **{"subarray.xsize": frame.nx, "subarray.ysize": frame.ny},
        **{"subarray.fastaxis": mode.axes[0], "subarray.slowaxis": mode.axes[1]},
    }
    arrays = {
        "data": template,
        "err": np.zeros_like(template),
        "dq": np.where(template == 0, DO_NOT_USE, 0).astype(np.uint32),
    }
    with build_model("WfssBkgModel", arrays, meta) as model:
        write_model(model, path)


def write_wavelengthrange(folder: Path, slitless: Slitless) -> None:
    """Write the wavelengths of every order, with those to extract for every passband."""
    instrument = slitless.mode.instrument
    orders, bands = ORDERS[instrument], BANDS[instrument]
    tables = {
        "wrange": [[order, band, *ends] for order in orders for band, ends in bands.items()],
        "order": list(orders),
        "wrange_selector": list(bands),
        "extract_orders": [[band, list(EXTRACTED[instrument])] for band in bands],
    }
    meta = _reference_meta(slitless, "wavelengthrange", "Wavelengths of slitless orders")
    meta["exposure.p_exptype"] = f"{slitless.mode.exp_type}|"
    name = f"jw{slitless.mode.program}_{instrument.lower()}_wavelengthrange.asdf"
    with build_model("WavelengthrangeModel", tables, meta) as model:
        write_model(model, folder / REFERENCES / name)


def _reference_meta(slitless: Slitless, reftype: str, description: str) -> dict[str, object]:
    return {
        "telescope": "JWST",
        "instrument.name": slitless.mode.instrument,
        "exposure.type": slitless.mode.exp_type,
        "reftype": reftype,
        "useafter": USEAFTER,
        "author": "bkgflow simulate",
        "pedigree": "DUMMY",
        "description": description,
    }


def _stem(slitless: Slitless) -> str:
    mode = slitless.mode
    elements = [str(mode.optics[name]) for name in ("filter", "pupil") if name in mode.optics]
    return "_".join([f"jw{mode.program}", mode.detector, *elements]).lower()
