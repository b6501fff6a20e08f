"""The tasks that end a unit: open the target, fit or take the background, subtract, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError, ShapeError
from bkgflow.io.models import open_model, write_model
from bkgflow.io.products.describe import (
    COMBINED_SUFFIX,
    Description,
    combined_model,
    describe,
    product_name,
)
from bkgflow.io.products.fits import Outline, open_outline, write_outline
from bkgflow.io.products.pixels import Edit
from bkgflow.io.storage.publish import before_sync
from bkgflow.kinds.bands import Band
from bkgflow.kinds.image import image_edits, sky_edits
from bkgflow.kinds.inputs import FitInputs
from bkgflow.kinds.slitless import apply_wfss
from bkgflow.kinds.soss import apply_soss, fitted_sky
from bkgflow.methods.clip import Combined
from bkgflow.methods.image import add_errors, subtract
from bkgflow.outcome import Outcome
from bkgflow.record import Record
from bkgflow.settings import Mode, StepSettings
from bkgflow.verdict import State, Verdict

__all__ = [
    "Assignment",
    "UnitResult",
    "finish_file",
    "finish_model",
    "finish_outline",
    "finish_unit",
    "join",
    "published",
    "save_combined",
]


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the last task of a unit needs to know.

    Attributes
    ----------
    key : str
        The unit's.
    target : str
        Path of the science exposure.
    window : Window
        Of the target on the detector.
    output : str
        Path of the product.
    mode : "image", "wfss" or "soss"
        The method.
    settings : StepSettings
        The step's arguments.
    record : mapping
        What goes into the product's metadata, as far as the plan knows it.
    backgrounds : tuple of str
        Paths of the background exposures.
    skip_reason : str
        Why nothing is subtracted; empty if something is.
    inputs : FitInputs or None
        What a WFSS or SOSS fit reads beside the exposure.
    """

    key: str
    target: str
    window: Window
    output: str
    mode: Mode = "image"
    settings: StepSettings = field(default_factory=StepSettings)
    record: Mapping[str, Any] = field(default_factory=dict)
    backgrounds: tuple[str, ...] = ()
    skip_reason: str = ""
    inputs: FitInputs | None = None


@dataclass(frozen=True, slots=True)
class UnitResult:
    """How a unit ended.

    Attributes
    ----------
    key : str
        The unit's.
    outcome : Outcome
        The end.
    reason : str
        Why, in a sentence; empty for COMPLETE.
    products : tuple of str
        Paths of the files that were written.
    n_unsubtracted : int
        Pixels of the window without any valid background.
    unused : tuple of str
        Background exposures that had no valid pixel in the window.
    error : dict or None
        File, rule, value and cure of a QUARANTINED unit.
    fit : dict or None
        What a WFSS or SOSS fit found: plain numbers, as they are in the product.
    """

    key: str
    outcome: Outcome
    reason: str = ""
    products: tuple[str, ...] = ()
    n_unsubtracted: int = 0
    unused: tuple[str, ...] = ()
    error: dict[str, str | None] | None = None
    fit: dict[str, Any] | None = None


Ending = tuple[UnitResult, Description]
"""How a unit ends, and what its product says of it."""


def published(
    task: Callable[..., Any],
    *upstream: Any,
    leave: Callable[[], AbstractContextManager[object]] | None = None,
) -> Verdict:
    """Take the last step of a unit: call its task, leave the thread, publish the product.

    Parameters
    ----------
    task : callable
        The unit's last task, as `bkgflow.graph.build` has it.
    *upstream
        What it waits for.
    leave : callable, optional
        Gives a context manager in which the product is published, beside the thread.
    """
    with ExitStack() as outside:
        left = False

        def step_out() -> None:
            nonlocal left
            if leave is not None and not left:  # a second attempt is outside already
                left = True
                outside.enter_context(leave())

        with before_sync(step_out):
            verdict: Verdict = task(*upstream)
    return verdict


def finish_unit(work: Assignment, *upstream: Any) -> Verdict:
    """Do `finish_file` and say how it went as a verdict."""
    result = finish_file(work, *upstream)
    found: dict[str, Any] = dict(result.fit or {})
    if work.mode == "image" and result.outcome == Outcome.COMPLETE:
        found = {
            "unsubtracted_pixels": result.n_unsubtracted,
            "unused_backgrounds": [Path(name).name for name in result.unused],
        }
    record = Record.from_tree({**work.record, **found})
    return Verdict(State(result.outcome), result.reason, record=record, products=result.products)


def finish_file(work: Assignment, *upstream: Any) -> UnitResult:
    """Finish a unit whose target is a file: write its product, say how it went.

    The pixels stream from file to file, but for slitless exposures: their fit wants them all.

    Parameters
    ----------
    work : Assignment
        What to do.
    *upstream
        The bands of an image's combined background; the `SegmentFits` of a SOSS exposure.

    Raises
    ------
    BackgroundError
        If the backgrounds hold no valid pixel in the target's window.
    InputError
        If the target or what a fit reads is bad.
    OutputError
        If the product cannot be written.
    """
    if work.mode == "wfss" and not work.skip_reason:
        with open_model(work.target) as model:
            result = finish_model(work, model, upstream)
            write_model(model, work.output)
        return replace(result, products=(work.output,))
    with open_outline(work.target) as outline:
        return finish_outline(work, outline, upstream)


def finish_outline(
    work: Assignment, outline: Outline, upstream: Sequence[Any], threads: int = 1
) -> UnitResult:
    """Do `finish_file` on a target that is open already; its pixels stream."""
    _check_size(work, outline.shape)
    result, description, edits = _stream(work, outline, upstream)
    others = []
    if work.mode == "image" and work.settings.save_combined_background and upstream:
        with before_sync(None):  # there is more to do
            others.append(save_combined(work, outline.model, upstream))
    product = write_outline(outline, work.output, edits, description, threads)
    return replace(result, products=(str(product), *others))


def _stream(
    work: Assignment, outline: Outline, upstream: Sequence[Any]
) -> tuple[UnitResult, Description, dict[str, Edit]]:
    """Return how a unit ends, what its product says, and what is done to the pixels."""
    if work.skip_reason:
        return *_skip(work), {}
    if work.mode == "image":
        propagate = work.settings.propagate_errors
        edits = image_edits(work.window, upstream, propagate_errors=propagate)
        return *_image(work, upstream), edits
    assert work.inputs is not None
    applied = fitted_sky(outline.shape, work.target, work.inputs.background[0], *upstream)
    return *_fit(work, applied.outcome, applied.reason, applied.record), sky_edits(applied.sky)


def finish_model(work: Assignment, model: Any, upstream: Sequence[Any]) -> UnitResult:
    """Subtract from an open data model, in place, and describe it.

    Raises
    ------
    BackgroundError
        If the backgrounds hold no valid pixel in the target's window.
    InputError
        If what a fit reads is bad.
    """
    result, description = _change(work, model, upstream)
    describe(model, description)
    return result


def _change(work: Assignment, model: Any, upstream: Sequence[Any]) -> Ending:
    if work.skip_reason:
        return _skip(work)
    if work.mode == "image":
        ending = _image(work, upstream)
        _subtract_bands(work, model, upstream)
        return ending
    assert work.inputs is not None
    if work.mode == "wfss":
        return _fit(work, *apply_wfss(model, work.inputs, work.settings))
    library = work.inputs.background[0]
    applied = apply_soss(model, work.target, library, work.settings, *upstream)
    return _fit(work, applied.outcome, applied.reason, applied.record)


def _skip(work: Assignment) -> Ending:
    result = UnitResult(work.key, Outcome.SKIPPED, work.skip_reason)
    return result, Description(Outcome.SKIPPED, work.skip_reason, work.record)


def _fit(work: Assignment, outcome: Outcome, reason: str, found: dict[str, Any]) -> Ending:
    result = UnitResult(work.key, outcome, reason, fit=found)
    return result, Description(outcome, reason, {**work.record, **found})


def _image(work: Assignment, bands: Sequence[Band]) -> Ending:
    unsubtracted = int(sum(np.count_nonzero(band.pixels.n_used == 0) for band in bands))
    if unsubtracted == work.window.nx * work.window.ny:
        raise _nothing_valid(work)
    unused = _unused_everywhere(bands)
    details = {
        "unsubtracted_pixels": unsubtracted,
        "unused_backgrounds": [Path(name).name for name in unused],
    }
    result = UnitResult(work.key, Outcome.COMPLETE, n_unsubtracted=unsubtracted, unused=unused)
    return result, Description(Outcome.COMPLETE, "", {**work.record, **details})


def _check_size(work: Assignment, shape: tuple[int, ...]) -> None:
    if shape[-2:] != work.window.shape:
        raise ShapeError(
            "The target is as large as it was when it was planned",
            file=work.target,
            value=f"{shape[-2:]}, planned {work.window.shape}",
            cure="Plan the program again",
        )


def _subtract_bands(work: Assignment, model: Any, bands: Sequence[Band]) -> None:
    sci, err, dq = model.data, model.err, model.dq
    _check_size(work, sci.shape)
    for band in bands:
        part = (..., *band.window.slices_in(work.window))
        pixels = band.pixels
        subtract(sci[part], dq[part], pixels.sci, pixels.dq, pixels.n_used)
        if work.settings.propagate_errors:
            add_errors(err[part], pixels.err, pixels.n_used)


def join(bands: Sequence[Band]) -> Combined:
    """Put the bands of a combined background together, first row first."""
    ordered = [band.pixels for band in sorted(bands, key=lambda band: band.window.y0)]
    return Combined(
        np.concatenate([pixels.sci for pixels in ordered]),
        np.concatenate([pixels.err for pixels in ordered]),
        np.concatenate([pixels.dq for pixels in ordered]),
        np.concatenate([pixels.n_used for pixels in ordered]),
    )


def save_combined(work: Assignment, model: Any, bands: Sequence[Band]) -> str:
    """Write the combined background beside the product; return its path."""
    whole = join(bands)
    path = Path(work.output).with_name(product_name(work.target, COMBINED_SUFFIX))
    with combined_model(model, whole.sci, whole.err, whole.dq, work.record) as combined:
        write_model(combined, path)
    return str(path)


def _unused_everywhere(bands: Sequence[Band]) -> tuple[str, ...]:
    """Name the exposures that had no valid pixel in any band."""
    if not bands:
        return ()
    return tuple(name for name in bands[0].unused if all(name in band.unused for band in bands[1:]))


def _nothing_valid(work: Assignment) -> BackgroundError:
    files = ", ".join(Path(path).name for path in work.backgrounds)
    return BackgroundError(
        "At least one pixel of the target has a valid background",
        file=work.backgrounds[0] if len(work.backgrounds) == 1 else work.target,
        value=f"every pixel of {files} in {work.window} is NaN or infinite",
        cure="Check the backgrounds, or take them out of the association",
    )
