"""What many tests need: exposures written to disk, and the real data's folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

# The peer asks a reference server for step parameters unless it is told not to.
os.environ["STPIPE_DISABLE_CRDS_STEPPARS"] = "true"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; tests that need it are skipped where it is not named."""
    folder = os.environ.get("BKGFLOW_REAL_DATA")
    if not folder:
        pytest.skip("BKGFLOW_REAL_DATA does not name a folder of real data")
    return Path(folder)


def make_model(
    sci: Any,
    err: Any = 0.5,
    dq: Any = 0,
    *,
    corner: tuple[int, int] | None = (1, 1),
    instrument: str = "MIRI",
    exp_type: str = "MIR_IMAGE",
    kind: str | None = None,
    gwa: tuple[float | None, float | None] = (None, None),
) -> Any:
    """Return a data model; ``err`` and ``dq`` may be numbers. ``corner`` is 1-based."""
    sci = np.asarray(sci, np.float32)
    default = "CubeModel" if sci.ndim == 3 else "ImageModel"
    model = getattr(datamodels, kind or default)(sci.shape)
    model.data = sci
    model.err = np.broadcast_to(np.asarray(err, np.float32), sci.shape).copy()
    model.dq = np.broadcast_to(np.asarray(dq, np.uint32), sci.shape).copy()
    model.meta.instrument.name = instrument
    model.meta.instrument.detector = {"MIRI": "MIRIMAGE", "NIRSPEC": "NRS1"}.get(
        instrument, "NRCA1"
    )
    model.meta.exposure.type = exp_type
    model.meta.observation.date = "2026-01-01"
    model.meta.observation.time = "12:00:00"
    model.meta.bunit_data = "DN/s"
    model.meta.instrument.gwa_xtilt, model.meta.instrument.gwa_ytilt = gwa
    if corner is not None:
        model.meta.subarray.xstart, model.meta.subarray.ystart = corner
        model.meta.subarray.xsize, model.meta.subarray.ysize = sci.shape[-1], sci.shape[-2]
    return model


@pytest.fixture
def write_exposure(tmp_path: Path) -> Callable[..., Path]:
    """Write an exposure as `make_model` makes it, into the test's folder; return its path."""

    def write(name: str, *args: Any, **options: Any) -> Path:
        path = tmp_path / name
        with make_model(*args, **options) as model:
            model.save(str(path))
        return path

    return write


def write_association(
    path: Path, products: Sequence[tuple[str, str, Sequence[str]]], extra: Sequence[Any] = ()
) -> Path:
    """Write an association of (name, science, backgrounds); ``extra`` are more members."""
    content = {
        "asn_type": "image2",
        "asn_rule": "Asn_Lv2Image",
        "program": "01000",
        "products": [
            {
                "name": name,
                "members": [
                    {"expname": science, "exptype": "science"},
                    *({"expname": each, "exptype": "background"} for each in backgrounds),
                    *({"expname": expname, "exptype": kind} for expname, kind in extra),
                ],
            }
            for name, science, backgrounds in products
        ],
    }
    path.write_text(json.dumps(content))
    return path
