"""The rules that decide, from headers alone, what is done to a target."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.facts import ExposureFacts

__all__ = ["Decision", "decide", "own_background"]

GWA_TOLERANCE = 1e-8
"""Degrees by which a background's grating-wheel tilt may differ from its target's, absolute;
the reference step's value."""

NO_BACKGROUND = "no background exposure was given"


@dataclass(frozen=True, slots=True)
class Decision:
    """What the headers decide.

    Attributes
    ----------
    used : tuple of ExposureFacts
        The backgrounds that overlap the target, each once; empty if the target is skipped.
    skip_reason : str
        Why nothing is subtracted; empty if something is.
    notes : tuple of str
        What a user should know about backgrounds that are not used.
    """

    used: tuple[ExposureFacts, ...] = ()
    skip_reason: str = ""
    notes: tuple[str, ...] = ()


def decide(target: ExposureFacts, backgrounds: Sequence[ExposureFacts]) -> Decision:
    """Apply the rules to a target and its backgrounds.

    Raises
    ------
    MetadataError
        If a NIRSpec exposure lacks its grating-wheel tilt.
    BackgroundError
        If the target is its own background, or no background overlaps it.
    """
    places = {_place(background): background for background in backgrounds}
    unique = tuple(places.values())
    if not unique:
        return Decision(skip_reason=NO_BACKGROUND)
    if _place(target) in places:
        raise own_background(target.path)
    mismatch = _tilt_mismatch(target, unique)
    if mismatch:
        return Decision(skip_reason=mismatch)
    used = tuple(each for each in unique if each.window.overlap(target.window))
    if not used:
        raise _no_overlap(target, unique)
    notes = [
        f"{Path(each.path).name} ({each.window}) does not overlap the target ({target.window}) "
        "and is not used"
        for each in unique
        if each not in used
    ]
    if len(unique) < len(backgrounds):
        notes.append(f"{len(backgrounds) - len(unique)} repeated background(s) count once")
    return Decision(used, notes=tuple(notes))


def _place(facts: ExposureFacts) -> str:
    """Where a file really lies, through links; the name of a model that is no file."""
    return os.path.realpath(facts.path) if Path(facts.path).is_absolute() else facts.path


def own_background(path: str) -> BackgroundError:
    """Return the error for a target that is among its backgrounds."""
    return BackgroundError(
        "A target is not its own background",
        file=path,
        value=Path(path).name,
        cure="Remove it from the list of backgrounds",
    )


def _tilt_mismatch(target: ExposureFacts, backgrounds: Iterable[ExposureFacts]) -> str:
    """Return why a NIRSpec target cannot use these backgrounds; empty if it can.

    The grating wheel must stand as it stood for the target, in every background, or the light
    falls on other pixels.
    """
    if target.instrument != "NIRSPEC":
        return ""
    wanted = target.gwa_tilt()
    for background in backgrounds:
        found = background.gwa_tilt()
        if any(abs(a - b) > GWA_TOLERANCE for a, b in zip(wanted, found, strict=True)):
            return (
                f"the grating wheel stood differently: GWA_XTIL, GWA_YTIL = {wanted[0]:.10g}, "
                f"{wanted[1]:.10g} in the target, {found[0]:.10g}, {found[1]:.10g} in "
                f"{Path(background.path).name}"
            )
    return ""


def _no_overlap(target: ExposureFacts, backgrounds: Sequence[ExposureFacts]) -> BackgroundError:
    windows = "; ".join(f"{Path(b.path).name}: {b.window}" for b in backgrounds)
    return BackgroundError(
        "At least one background overlaps the target on the detector",
        file=target.path,
        value=f"target: {target.window}; {windows}",
        cure="Give backgrounds of the same subarray, or correct SUBSTRT and SUBSIZE",
    )
