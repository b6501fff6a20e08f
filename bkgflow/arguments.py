"""The step's arguments as Python shows them: to editors, to type checkers, at a prompt."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, ParamSpec, TypedDict, TypeVar, get_type_hints

from bkgflow.rules import ClipMethod, ClipSide, Combine, Weights
from bkgflow.settings import MASK_ARGUMENTS, STACK_ARGUMENTS, StepSettings

__all__ = [
    "FilledArguments", "MaskArguments", "StackArguments", "StepArguments", "shows",
    "shows_filled_arguments", "shows_mask_arguments", "shows_stack_arguments",
    "shows_step_arguments",
]  # fmt: skip

Path = str | os.PathLike[str]

DqFlags = str | int | Sequence[str | int] | None
"""Names of DQ flags, or numbers."""


class StackArguments(TypedDict, total=False):
    """The arguments that decide how a stack is combined."""

    sigma: float
    maxiters: int | None
    clip: ClipMethod
    clip_side: ClipSide
    combine: Combine
    bkg_weights: Weights
    bkg_bad_bits: DqFlags
    bkg_good_bits: DqFlags
    bkg_dq: Literal["any", "all"] | float | str


class MaskArguments(TypedDict, total=False):
    """The arguments that decide what is done to exposures before they are combined."""

    mask_sources: Path | None
    mask_threshold: float
    mask_smooth: float
    mask_grow: float
    bkg_scale: Literal["none", "offset", "factor"]
    bkg_scale_map: Path | None


class StepArguments(StackArguments, MaskArguments, total=False):
    """The same arguments as they may be given: what editors and type checkers see.

    A test holds names and defaults against `StepSettings`, which is where they come from.
    """

    bkg_fill: bool
    save_combined_background: bool
    propagate_errors: bool
    imprint_subtract: bool
    allow_mismatch: str | Sequence[str]
    allow_subtracted: bool
    bkg_tilt: Literal["skip", "leave_out"]
    bkg_outlier: float
    soss_source_percentile: float | Sequence[float] | str
    soss_bkg_percentile: Sequence[float] | str | None
    soss_fit: Literal["exposure", "file", "integration"]
    soss_max_error: float | None
    wfss_mmag_extract: float | None
    wfss_mask: Path | None
    wfss_maxiter: int
    wfss_rms_stop: float
    wfss_outlier_percent: float
    wfss_mask_mode: Literal["boxes", "residual", "auto"]
    wfss_orders: Literal["extract", "all"]
    wfss_max_error: float | None
    template_mask: Path | None
    template_maxiter: int
    template_outlier_percent: float
    template_max_error: float | None
    override_bkg: Path | Sequence[Path] | None
    override_wavelengthrange: Path | None


class FilledArguments(StackArguments, total=False):
    """The same, and whether the gaps of the result are filled."""

    bkg_fill: bool


P = ParamSpec("P")
R = TypeVar("R")


def shows_step_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function that takes ``**StepArguments`` show each of them, with its default."""
    return shows(function, _arguments(tuple(StepSettings.model_fields)))


def shows_stack_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function show those of `StackArguments` that it takes."""
    return shows(function, _arguments(STACK_ARGUMENTS))


def shows_filled_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function show those of `FilledArguments`."""
    return shows(function, _arguments((*STACK_ARGUMENTS, "bkg_fill")))


def shows_mask_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function show those of `MaskArguments`."""
    return shows(function, _arguments(MASK_ARGUMENTS))


def _arguments(names: Sequence[str]) -> dict[str, tuple[object, object]]:
    hints, fields = get_type_hints(StepArguments), StepSettings.model_fields
    return {
        name: (hints.get(name, fields[name].annotation), fields[name].default) for name in names
    }


def shows(
    function: Callable[P, R], arguments: Mapping[str, tuple[object, object]]
) -> Callable[P, R]:
    """Have a function show arguments, by name with type and default, in place of its ``**``.

    That is what a prompt completes; the function itself stays as it is.
    """
    own = inspect.signature(function)
    left = [each for each in own.parameters.values() if each.kind != each.VAR_KEYWORD]
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in arguments.items()
    ]
    function.__signature__ = own.replace(parameters=[*left, *more])  # type: ignore[attr-defined]
    return function
