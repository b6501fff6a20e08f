"""The tasks that end a unit: open the target, fit or take the background, subtract, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bkgflow.detector import Window
from bkgflow.errors import BackgroundError
from bkgflow.io.models import open_model
from bkgflow.io.products.changes import Changes, Edit
from bkgflow.io.products.describe import COMBINED_SUFFIX, product_name
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import OpenTarget, Prepared
from bkgflow.io.storage import publish as storage
from bkgflow.io.storage.location import Location
from bkgflow.kinds.bands import Band
from bkgflow.kinds.image import image_edits, sky_edits
from bkgflow.kinds.inputs import FitInputs
from bkgflow.kinds.slitless import apply_wfss
from bkgflow.kinds.soss import fitted_sky
from bkgflow.methods.clip import Combined
from bkgflow.outcome import Outcome
from bkgflow.record import Record
from bkgflow.settings import Mode, StepSettings
from bkgflow.verdict import State, Verdict

__all__ = [
    "Assignment",
    "UnitResult",
    "finish_file",
    "join",
    "prepare",
    "publish",
    "target_of",
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


def finish_file(work: Assignment, *upstream: Any) -> UnitResult:
    """Finish a unit whose target is a file: write its product, say how it went.

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
    writer = FitsWriter(storage.LocalPublish(storage._sync))
    with writer.open(target_of(work)) as opened:
        result, drafts = prepare(work, opened, upstream)
    if (leave := storage._leave.get()) is not None:
        leave()
    return publish(result, drafts)


def prepare(
    work: Assignment,
    opened: OpenTarget,
    upstream: Sequence[Any],
    threads: int = 1,
    model: Any = None,
) -> tuple[UnitResult, list[Prepared]]:
    """Say how a unit ends, and prepare its files; a model stands for the target's file."""
    result, verdict, changes = _decide(work, upstream, model)
    output, drafts = Location.of(work.output), list[Prepared]()
    if work.mode == "image" and work.settings.save_combined_background and upstream:
        whole = join(upstream)
        beside = output.with_name(product_name(work.target, COMBINED_SUFFIX))
        record = Record.from_tree(work.record)
        drafts.append(opened.combined(whole.sci, whole.err, whole.dq, record, beside))
    try:
        return result, [opened.product(changes, verdict, output, threads), *drafts]
    except BaseException:
        for draft in drafts:
            draft.discard()
        raise


def publish(result: UnitResult, drafts: Sequence[Prepared]) -> UnitResult:
    """Make files appear at their locations; those that cannot are discarded, with all others."""
    try:
        return replace(result, products=tuple(str(draft.publish()) for draft in drafts))
    finally:
        for draft in drafts:
            draft.discard()


def target_of(work: Assignment) -> Any:
    """What a writer needs to know of a target."""
    location = work.target if isinstance(work.target, Location) else Location.of(work.target)
    return SimpleNamespace(location=location, window=work.window)


def _decide(
    work: Assignment, upstream: Sequence[Any], model: Any
) -> tuple[UnitResult, Verdict, Changes]:
    """Return how a unit ends, what its product says, and what is done to the pixels."""
    if work.skip_reason:
        return *_ended(work, Outcome.SKIPPED, work.skip_reason), Changes()
    if work.mode == "image":
        propagate = work.settings.propagate_errors
        edits = image_edits(work.window, upstream, propagate_errors=propagate)
        return *_image(work, upstream), Changes(edits)
    assert work.inputs is not None
    if work.mode == "wfss":
        return _slitless(work, model)
    shape, library = work.window.shape, work.inputs.background[0]
    applied = fitted_sky(shape, work.target, library, *upstream)
    ended = _ended(work, applied.outcome, applied.reason, applied.record)
    return *ended, Changes(sky_edits(applied.sky))


def _slitless(work: Assignment, model: Any) -> tuple[UnitResult, Verdict, Changes]:
    assert work.inputs is not None
    with open_model(work.target) if model is None else model.copy() as own:
        outcome, reason, found = apply_wfss(own, work.inputs, work.settings)
        arrays = {"SCI": np.array(own.data), "DQ": np.array(own.dq)}
        mask, factor = np.array(own.mask), own.meta.background.scaling_factor

    def edit(name: str) -> Edit:
        def put(pixels: Any, _integration: int, rows: slice) -> None:
            pixels[...] = arrays[name][rows]

        return put

    edits = {name: edit(name) for name in arrays} if outcome == Outcome.COMPLETE else {}
    return *_ended(work, outcome, reason, found), Changes(edits, mask, factor)


def _ended(
    work: Assignment, outcome: Outcome, reason: str, found: Mapping[str, Any] | None = None
) -> tuple[UnitResult, Verdict]:
    fit = None if found is None or work.mode == "image" else dict(found)
    record = Record.from_tree({**work.record, **(found or {})})
    verdict = Verdict(State(outcome.value), reason, record=record)
    return UnitResult(work.key, outcome, reason, fit=fit), verdict


def _image(work: Assignment, bands: Sequence[Band]) -> tuple[UnitResult, Verdict]:
    unsubtracted = int(sum(np.count_nonzero(band.pixels.n_used == 0) for band in bands))
    if unsubtracted == work.window.nx * work.window.ny:
        raise _nothing_valid(work)
    unused = _unused_everywhere(bands)
    details = {
        "unsubtracted_pixels": unsubtracted,
        "unused_backgrounds": [Path(name).name for name in unused],
    }
    result, verdict = _ended(work, Outcome.COMPLETE, "", details)
    return replace(result, n_unsubtracted=unsubtracted, unused=unused), verdict


def join(bands: Sequence[Band]) -> Combined:
    """Put the bands of a combined background together, first row first."""
    ordered = [band.pixels for band in sorted(bands, key=lambda band: band.window.y0)]
    return Combined(
        np.concatenate([pixels.sci for pixels in ordered]),
        np.concatenate([pixels.err for pixels in ordered]),
        np.concatenate([pixels.dq for pixels in ordered]),
        np.concatenate([pixels.n_used for pixels in ordered]),
    )


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
