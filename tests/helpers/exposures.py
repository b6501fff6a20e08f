"""Exposures and associations on disk, as small as a test needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from stdatamodels.jwst import datamodels


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
    # Asking the schema at every assignment takes longer than most tests: saving asks it anyway.
    model = getattr(datamodels, kind or default)(sci.shape, validate_on_assignment=False)
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


def write_fits(path, sci, err=None, dq=None, **keywords):
    """Write the three extensions as they are, without a data model."""
    sci = np.asarray(sci)
    primary = fits.PrimaryHDU()
    header = {"INSTRUME": "MIRI", "SUBSTRT1": 1, "SUBSTRT2": 1}
    header |= {"SUBSIZE1": sci.shape[-1], "SUBSIZE2": sci.shape[-2]} | keywords
    for keyword, value in header.items():
        if value is not None:
            primary.header[keyword] = value
    err = np.ones(sci.shape, np.float32) if err is None else err
    dq = np.zeros(sci.shape, np.uint32) if dq is None else dq
    units = [fits.ImageHDU(a, name=n) for n, a in (("SCI", sci), ("ERR", err), ("DQ", dq))]
    fits.HDUList([primary, *units]).writeto(path, overwrite=True)
    return path


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
