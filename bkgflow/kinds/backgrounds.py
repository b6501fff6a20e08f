"""The rules that decide, from headers alone, which backgrounds a target can use."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bkgflow.errors import BackgroundError, MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.same import same_exposure
from bkgflow.kinds.matching import check_alike, check_unsubtracted, once
from bkgflow.matching import GWA_TOLERANCE
from bkgflow.planning.conflicts import own_background
from bkgflow.planning.kind import Prepared
from bkgflow.settings import StepSettings
from bkgflow.texts import many
from bkgflow.verdict import Verdict

__all__ = ["check_times", "check_together", "choose_backgrounds"]


def choose_backgrounds(
    target: ExposureFacts, backgrounds: Sequence[ExposureFacts], settings: StepSettings
) -> Prepared:
    """Apply the rules to a target and its backgrounds.

    Raises
    ------
    MetadataError
        If a NIRSpec exposure lacks its grating-wheel tilt.
    BackgroundError
        If the target is its own background, a background was taken in another way or had its own
        background subtracted before, or no background overlaps the target.
    """
    unique = once(backgrounds)
    if not unique:
        return Prepared(target, Verdict.skipped("no background exposure was given"))
    # What a wrong list holds is said before what its members lack.
    _check_others(target, unique)
    if not settings.allow_subtracted:
        check_unsubtracted(unique)
    mismatches = check_alike(target, unique, settings.allow_mismatch)
    standing, tilted = _by_tilt(target, unique)
    if tilted and (settings.bkg_tilt == "skip" or not standing):
        return Prepared(target, Verdict.skipped(_tilt_mismatch(target, tilted[0])))
    used = tuple(each for each in standing if each.window.overlap(target.window))
    if not used:
        raise _none_overlaps(target, standing)
    notes = [f"{each.name} is left out: {_tilt_mismatch(target, each)}" for each in tilted]
    notes += [
        f"{each.name} ({each.window}) does not overlap the target ({target.window}) and is not used"
        for each in standing
        if not each.window.overlap(target.window)
    ]
    if len(unique) < len(backgrounds):
        repeated = many(len(backgrounds) - len(unique), "repeated background")
        notes.append(f"{repeated} left out: each exposure must count once")
    return Prepared(target, Verdict.planned(), used, notes=tuple(notes), mismatches=mismatches)


def check_times(exposures: Sequence[ExposureFacts]) -> tuple[float, ...]:
    """Return how long exposures were, in seconds.

    Raises
    ------
    MetadataError
        If one does not say it.
    """
    for each in exposures:
        if not (each.exposure_time is not None and 0 < each.exposure_time < math.inf):
            raise MetadataError(
                "A background must say its exposure time in EFFEXPTM to be weighted by it",
                file=each.location,
                value="missing" if each.exposure_time is None else each.exposure_time,
                cure="Put the keyword in, or use bkg_weights=err",
            )
    return tuple(each.exposure_time or 0.0 for each in exposures)


def check_together(
    exposures: Sequence[ExposureFacts], target: ExposureFacts | None, settings: StepSettings
) -> None:
    """See that exposures can be a stack: those of a target, or without one, those of each other.

    Raises
    ------
    BackgroundError
        If one is there under two names, had its background subtracted before, is the target, or
        was taken in another way.
    """
    # A path that is given again is meant; an exposure under another name is a mistake.
    given = tuple({each.location: each for each in exposures}.values())
    unique = once(given)
    if twice := [each for each in given if each not in unique]:
        raise BackgroundError(
            "An exposure must not be in a stack under two names",
            file=twice[0].location,
            value=next(each.name for each in unique if same_exposure(each, twice[0])),
            cure="Leave out one of the two",
        )
    if not settings.allow_subtracted:
        check_unsubtracted(unique)
    if target is None:
        check_alike(unique[0], unique[1:], settings.allow_mismatch, "first of the stack")
        return
    _check_others(target, unique)
    check_alike(target, unique, settings.allow_mismatch)


def _check_others(target: ExposureFacts, backgrounds: Sequence[ExposureFacts]) -> None:
    """Raise BackgroundError where a target is among its backgrounds."""
    for each in backgrounds:
        if same_exposure(target, each):
            raise own_background(target, each)


Exposures = tuple[ExposureFacts, ...]


def _by_tilt(target: ExposureFacts, backgrounds: Exposures) -> tuple[Exposures, Exposures]:
    """Part the backgrounds: those that a NIRSpec target can use, and those that it cannot.

    The grating wheel must stand as it stood for the target, or the light falls on other pixels.
    """
    if target.instrument != "NIRSPEC":
        return backgrounds, ()
    wanted = target.gwa_tilt()

    def stands(background: ExposureFacts) -> bool:
        found = background.gwa_tilt()
        return all(abs(a - b) <= GWA_TOLERANCE for a, b in zip(wanted, found, strict=True))

    standing = [stands(each) for each in backgrounds]
    return (
        tuple(each for each, held in zip(backgrounds, standing, strict=True) if held),
        tuple(each for each, held in zip(backgrounds, standing, strict=True) if not held),
    )


def _tilt_mismatch(target: ExposureFacts, background: ExposureFacts) -> str:
    wanted, found = target.gwa_tilt(), background.gwa_tilt()
    return (
        f"the grating wheel stood differently: GWA_XTIL, GWA_YTIL = {wanted[0]:.10g}, "
        f"{wanted[1]:.10g} in the target, {found[0]:.10g}, {found[1]:.10g} in {background.name}"
    )


def _none_overlaps(target: ExposureFacts, backgrounds: Exposures) -> BackgroundError:
    windows = "; ".join(f"{each.name}: {each.window}" for each in backgrounds)
    return BackgroundError(
        "At least one background must overlap the target on the detector",
        file=target.location,
        value=f"target: {target.window}; {windows}",
        cure="Give backgrounds of the same subarray, or correct SUBSTRT and SUBSIZE",
    )
