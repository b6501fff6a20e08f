"""What a plan says of arguments that do nothing: beside others, or with so few exposures."""

from __future__ import annotations

from collections.abc import Sequence

from bkgflow.rules import ClipRule
from bkgflow.settings import StepSettings
from bkgflow.texts import many

__all__ = ["idle_arguments", "idle_clip"]


def idle_arguments(settings: StepSettings) -> tuple[str, ...]:
    """Return a sentence on the arguments that are set, and that the others make idle."""
    found = list[str]()
    if settings.clip in ("none", "minmax"):
        names = ("sigma", "maxiters", *(("clip_side",) if settings.clip == "none" else ()))
        found += _set(settings, names, f"with clip={settings.clip}")
    if settings.combine != "weighted":
        found += _set(settings, ("bkg_weights",), "without combine=weighted")
    if settings.mask_sources is None:
        names = ("mask_threshold", "mask_smooth", "mask_grow")
        found += _set(settings, names, "without mask_sources")
    elif settings.mask_sources != "detect":
        found += _set(settings, ("mask_threshold", "mask_smooth"), "without mask_sources=detect")
    return (f"without effect: {'; '.join(found)}",) if found else ()


def idle_clip(clip: ClipRule, numbers: Sequence[int]) -> tuple[str, ...]:
    """Say that a clip can drop nothing from so few exposures, and what could.

    ``numbers`` has how many exposures each combined background is made of.
    """
    few = [n for n in numbers if n > 1 and not clip.can_clip(n)]
    if not few or clip.method == "none":
        return ()
    all_of_them = many(len(numbers), "combined background")
    which = all_of_them if len(few) == len(numbers) else f"{len(few):,} of {all_of_them}"
    return (
        f"clip={clip.method} can drop nothing from {which}, made of {max(few)} exposures or "
        "fewer: clip=noise can, from three on (from two with clip_side=high)",
    )


def _set(settings: StepSettings, names: Sequence[str], why: str) -> list[str]:
    """Return those that are not at their defaults, in one piece."""
    fields = type(settings).model_fields
    given = [(name, getattr(settings, name)) for name in names]
    named = [f"{name}={value}" for name, value in given if value != fields[name].default]
    return [f"{', '.join(named)} {why}"] if named else []
