"""The rules that decide, from headers alone, which backgrounds a target can use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.planning.conflicts import own_background
from bkgflow.planning.kind import Prepared
from bkgflow.texts import many
from bkgflow.verdict import Verdict

__all__ = ["choose_backgrounds"]

GWA_TOLERANCE = 1e-8
"""Degrees by which a background's grating-wheel tilt may differ from its target's, absolute;
the reference step's value."""


def choose_backgrounds(target: ExposureFacts, backgrounds: Sequence[ExposureFacts]) -> Prepared:
    """Apply the rules to a target and its backgrounds.

    Raises
    ------
    MetadataError
        If a NIRSpec exposure lacks its grating-wheel tilt.
    BackgroundError
        If the target is its own background, or no background overlaps it.
    """
    # Links may lead to one file by several names: it is the file that counts.
    real = {background.location.real(): background for background in backgrounds}
    unique = tuple(real.values())
    if not unique:
        return Prepared(target, Verdict.skipped("no background exposure was given"))
    if target.location.real() in real:
        raise own_background(target)
    if mismatch := _tilt_mismatch(target, unique):
        return Prepared(target, Verdict.skipped(mismatch))
    used = tuple(each for each in unique if each.window.overlap(target.window))
    if not used:
        windows = "; ".join(f"{each.name}: {each.window}" for each in unique)
        raise BackgroundError(
            "At least one background must overlap the target on the detector",
            file=target.location,
            value=f"target: {target.window}; {windows}",
            cure="Give backgrounds of the same subarray, or correct SUBSTRT and SUBSIZE",
        )
    notes = [
        f"{each.name} ({each.window}) does not overlap the target ({target.window}) and is not used"
        for each in unique
        if each not in used
    ]
    if len(unique) < len(backgrounds):
        repeated = many(len(backgrounds) - len(unique), "repeated background")
        notes.append(f"{repeated} left out: each file must count once")
    return Prepared(target, Verdict.planned(), used, notes=tuple(notes))


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
                f"{background.name}"
            )
    return ""
