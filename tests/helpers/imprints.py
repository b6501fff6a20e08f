"""NIRSpec exposures with the imprints that belong to them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.helpers.exposures import make_model

__all__ = ["nirspec", "peer_two_steps", "save_as"]


def nirspec(
    sci: Any,
    err: Any = 0.5,
    dq: Any = 0,
    *,
    exp_type: str = "NRS_IFU",
    bkgdtarg: bool | None = False,
    observation: str | None = "001",
    position: int | None = 1,
    corner: tuple[int, int] | None = (1, 1),
    tilt: float = 0.1,
) -> Any:
    """Return a data model with what decides which imprint is its own."""
    kind = "IFUImageModel" if exp_type == "NRS_IFU" and np.ndim(sci) == 2 else None
    model = make_model(
        sci, err, dq, corner=corner, instrument="NIRSPEC", exp_type=exp_type, kind=kind,
        gwa=(tilt, 0.2),
    )  # fmt: skip
    model.meta.observation.bkgdtarg = bkgdtarg
    model.meta.observation.observation_number = observation
    model.meta.dither.position_number = position
    return model


def save_as(path: Any, model: Any) -> Any:
    """Save a model under its own name; return the path."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(path))
    return path


def peer_two_steps(target: Any, backgrounds: Sequence[Any], imprints: Sequence[Any]) -> Any:
    """Do what the pipeline does: imprints from target and backgrounds, then the background."""
    from jwst.background.background_step import BackgroundStep
    from jwst.imprint.imprint_step import ImprintStep

    step = ImprintStep()

    def less(model: Any) -> Any:
        return step.process(model.copy(), list(imprints)) if imprints else model.copy()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cleaned = [less(each) for each in backgrounds]
        return BackgroundStep().process(less(target), cleaned)
