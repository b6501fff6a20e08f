"""Whether exposures belong together: taken alike, each of them once, none subtracted before."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.same import identities
from bkgflow.io.exposures.units import same_unit
from bkgflow.matching import Match, rules_for
from bkgflow.planning.conflicts import already_subtracted

__all__ = ["check_alike", "check_unsubtracted", "once"]

MOVING = re.compile(r"SSTR_NST (?!0,|1,)\d")
"""In a layout of stripes: several positions, one for each integration."""


def check_alike(
    target: ExposureFacts,
    backgrounds: Iterable[ExposureFacts],
    allowed: Collection[str] = (),
    role: str = "target",
    what: str = "background",
) -> tuple[str, ...]:
    """Hold backgrounds against their target, by `bkgflow.matching.TABLE`.

    Parameters
    ----------
    allowed : collection of str
        Names of what may differ.
    role : str
        What the exposure that the others are held against is called.
    what : str
        What the others are called: "background" or "imprint".

    Returns
    -------
    tuple of str
        What differs and was allowed to, a sentence for each background.

    Raises
    ------
    BackgroundError
        If something else differs, or rows of the detector move from one integration to the next.
    """
    told = []
    for background in backgrounds:
        _check_stripes(target, background)
        differing = list(_differing(target, background))
        refused = [each for each in differing if each[0].name not in allowed]
        if refused:
            raise _mismatch(target, background, refused, role, what)
        if differing:
            told.append(f"{background.name} differs from its {role}: {_words(differing, role)}")
    return tuple(told)


def _check_stripes(*exposures: ExposureFacts) -> None:
    """Raise BackgroundError where a row of the array is another one in each integration."""
    for each in exposures:
        if MOVING.search(dict(each.setup).get("MSTR_RD1", "")):
            raise BackgroundError(
                "Stripes must lie where they lie in all integrations",
                file=each.location,
                value=dict(each.setup)["MSTR_RD1"],
                cure="Run the pipeline's first stage, whose step refpix puts moving stripes into "
                "one frame",
            )


def check_unsubtracted(exposures: Iterable[ExposureFacts]) -> None:
    """Raise BackgroundError where a background was subtracted from an exposure before."""
    for each in exposures:
        if each.subtracted:
            raise already_subtracted(each, "A background")


def once(exposures: Sequence[ExposureFacts]) -> tuple[ExposureFacts, ...]:
    """Return the exposures, the first of those that are one under several names."""
    kept: dict[str, ExposureFacts] = {}
    for word, each in zip(identities(exposures), exposures, strict=True):
        kept.setdefault(word, each)
    return tuple(kept.values())


Difference = tuple[Match, str, str]
"""What must agree, and its value in target and background."""


def _differing(target: ExposureFacts, background: ExposureFacts) -> Iterator[Difference]:
    """Yield what must agree and does not."""
    if target.setup == background.setup and target.bunit == background.bunit:
        return
    wanted, found = dict(target.setup), dict(background.setup)
    instruments = {target.instrument.strip(), background.instrument.strip()}
    rules = dict.fromkeys(rule for each in sorted(instruments) for rule in rules_for(each))
    for rule in rules:
        if rule.compared == "unit":
            if not same_unit(target.bunit, background.bunit):
                yield rule, target.bunit, background.bunit
            continue
        one, other = wanted.get(rule.keyword, ""), found.get(rule.keyword, "")
        if not rule.agree(one, other):
            yield rule, one, other


def _words(differing: Sequence[Difference], role: str) -> str:
    return "; ".join(
        f"{rule.keyword} {rule.readable(other)}, {role} {rule.readable(one)}"
        for rule, one, other in differing
    )


def _mismatch(
    target: ExposureFacts,
    background: ExposureFacts,
    refused: Sequence[Difference],
    role: str,
    what: str,
) -> BackgroundError:
    keywords = ", ".join(rule.keyword for rule, _, _ in refused)
    names = ",".join(rule.name for rule, _, _ in refused)
    whom = "its target" if role == "target" else f"the {role}"
    article = "An" if what[0] in "aeiou" else "A"
    return BackgroundError(
        f"{article} {what} must agree with {whom} in {keywords}: {refused[0][0].why}",
        file=background.location,
        value=f"{_words(refused, role)} ({target.name})",
        cure=f"Give {what}s that were taken as {whom} was, or allow what differs with "
        f"allow_mismatch={names}",
    )
