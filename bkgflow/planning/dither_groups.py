"""Dithers in groups: which exposures were taken alike, and which are whose background."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bkgflow.errors import MetadataError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.same import identities
from bkgflow.io.exposures.taken import POINTING_KEYS, directions, offsets
from bkgflow.io.exposures.units import same_unit
from bkgflow.matching import GWA_TOLERANCE, normal
from bkgflow.planning.dither_rule import DitherRule, in_words
from bkgflow.texts import listed, many

__all__ = ["Choice", "DitherGroup", "choices", "dither_groups"]

DAY = 86400.0

CLOCK = 1e-3
"""Seconds to which times in days can be told apart, with a wide margin."""

SAME_PLACE = 0.1
"""Arcsec within which two exposures point at one place: their sources fall on the same pixels."""

SAID = ("DETECTOR", "CHANNEL", "BAND", "FILTER", "PUPIL", "GRATING", "FXD_SLIT")
"""What a group is called by."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DitherGroup:
    """Exposures that were taken alike.

    Attributes
    ----------
    words : tuple of str
        What they have in common, as it is said of them: program, detector, optics, subarray, …
    members : tuple of ExposureFacts
        Each exposure once.
    """

    words: tuple[str, ...]
    members: tuple[ExposureFacts, ...]

    def __str__(self) -> str:
        """What they have in common."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which exposures of its group are the background of one of them.

    Attributes
    ----------
    used : tuple of ExposureFacts
        In the order of the group.
    left_out : tuple of (str, tuple of str)
        Why some are not, and the names of these.
    near : int
        How many are left out because they are too near.
    same_place : int
        How many are used that point where the target points.
    """

    group: DitherGroup
    target: ExposureFacts
    used: tuple[ExposureFacts, ...]
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    near: int = 0
    same_place: int = 0

    @property
    def note(self) -> str:
        """What a product says of its backgrounds, in a sentence."""
        others = many(len(self.used), "other exposure")
        return f"{others} of its group ({self.group}){self._left_out()}"

    def too_few(self, rule: DitherRule) -> str:
        """Return why the target has no background; empty where it has one."""
        if len(self.used) >= rule.at_least:
            return ""
        return (
            f"{many(len(self.used), 'other exposure')} of its group ({self.group}) can be its "
            f"background, and at_least asks for {rule.at_least}{self._left_out()}"
        )

    def _left_out(self) -> str:
        words = (f"{len(names):,} {why} ({listed(names)})" for why, names in self.left_out)
        told = "; ".join(words)
        return f"; left out: {told}" if told else ""


def dither_groups(exposures: Iterable[ExposureFacts], rule: DitherRule) -> list[DitherGroup]:
    """Part exposures into those that were taken alike, in the order in which they come.

    All that a background must have in common with its target (`bkgflow.matching`) is the same,
    to the letter, and so are program, subarray and readout, and what the rule says beside these.
    """
    groups: dict[Hashable, list[ExposureFacts]] = defaultdict(list)
    units: list[str] = []
    for each in exposures:
        groups[_alike(each, rule, units)].append(each)
    return [DitherGroup(_words(each[0], rule), tuple(each)) for each in groups.values()]


def _alike(facts: ExposureFacts, rule: DitherRule, units: list[str]) -> Hashable:
    taken = facts.taken
    setup = tuple((keyword, value) for keyword, value in facts.setup if keyword != "READPATT")
    return (
        setup,
        _unit(facts.bunit, units),
        facts.window,
        (taken.program, taken.subarray, taken.readout),
        tuple(_narrow(facts, each) for each in rule.narrower),
    )


def _narrow(facts: ExposureFacts, by: str) -> tuple[str, ...]:
    taken = facts.taken
    return (taken.observation, taken.visit) if by == "visit" else (taken.observation,)


def _unit(bunit: str, known: list[str]) -> str:
    """Return the first unit that means the same; one that says nothing is one of its own."""
    if not normal(bunit):
        return ""
    for each in known:
        if same_unit(each, bunit):
            return each
    known.append(bunit)
    return bunit


def _words(facts: ExposureFacts, rule: DitherRule) -> tuple[str, ...]:
    setup, taken = dict(facts.setup), facts.taken
    optics = dict.fromkeys(setup[each] for each in SAID if each in setup)
    words = [f"program {taken.program}"] if taken.program else []
    words += [*optics, taken.subarray, taken.readout]
    if rule.narrower:
        words += [f"observation {taken.observation}"]
    if "visit" in rule.narrower:
        words += [f"visit {taken.visit}"]
    return tuple(filter(None, words)) or ("of no known setup",)


def choices(
    group: DitherGroup, rule: DitherRule, *, subtracted: bool = False
) -> Iterator[Choice | MetadataError]:
    """Yield for each exposure of a group which others are its background, or why nobody knows.

    Parameters
    ----------
    subtracted : bool
        Whether exposures count from which a background was subtracted before.
    """
    held = _Held.of(group)
    for i, target in enumerate(group.members):
        try:
            yield held.choice(i, target, rule, subtracted)
        except MetadataError as error:
            yield error


@dataclass(frozen=True, slots=True)
class _Held:
    """What a group's members are compared by, as arrays of the length of the group."""

    group: DitherGroup
    names: tuple[str, ...]
    exposures: NDArray[np.str_]  # the same for all segments and products of one
    counts: Mask  # the first of several products of one
    subtracted: Mask
    times: NDArray[np.float64]  # MJD, days
    directions: NDArray[np.float64]  # (n, 3)
    tilts: NDArray[np.float64]  # (n, 2), degrees

    @classmethod
    def of(cls, group: DitherGroup) -> _Held:
        members = group.members
        # By the pointing that most of them have: no two kinds of it can be compared.
        kinds = list(POINTING_KEYS)[::2]
        by = max(kinds, key=lambda kind: sum(bool(each.taken.pointing(kind)) for each in members))
        known = identities(members)
        times = [each.taken.mid_time for each in members]
        tilts = [each.gwa if each.instrument == "NIRSPEC" else (0.0, 0.0) for each in members]
        return cls(
            group,
            tuple(each.name for each in members),
            np.array([_whole(*each) for each in zip(members, known, strict=True)]),
            _first(known),
            np.array([bool(each.subtracted) for each in members]),
            np.array(times, np.float64),
            directions([each.taken.pointing(by) for each in members]),
            np.array(tilts, np.float64).reshape(-1, 2),
        )

    def choice(self, i: int, target: ExposureFacts, rule: DitherRule, subtracted: bool) -> Choice:
        """Hold all others against one; `MetadataError` where that does not say what it must."""
        free = self.counts & (self.exposures != self.exposures[i])
        apart = offsets(self.directions[i], self.directions)
        left_out: list[tuple[str, Mask]] = []
        for why, wrong in self._rules(i, target, rule, apart, subtracted):
            left_out.append((why, free & wrong))
            free &= ~wrong
        return Choice(
            self.group,
            target,
            tuple(self.group.members[j] for j in np.flatnonzero(free)),
            tuple((why, self._named(wrong)) for why, wrong in left_out if wrong.any()),
            sum(int(wrong.sum()) for why, wrong in left_out if why.startswith("nearer")),
            int((free & (apart < SAME_PLACE)).sum()),
        )

    def _named(self, wanted: Mask) -> tuple[str, ...]:
        return tuple(self.names[j] for j in np.flatnonzero(wanted))

    def _rules(
        self,
        i: int,
        target: ExposureFacts,
        rule: DitherRule,
        apart: NDArray[np.float64],
        subtracted: bool,
    ) -> Iterator[tuple[str, Mask]]:
        """Yield why others cannot be a target's background, and which."""
        if not subtracted:
            yield "subtracted before", self.subtracted
        if np.isfinite(self.tilts[i]).all():  # else the rules of its kind refuse the target
            stands = (np.abs(self.tilts - self.tilts[i]) <= GWA_TOLERANCE).all(axis=1)
            yield "for which the grating wheel stood differently", ~stands
        if rule.asks_pointing:
            if np.isnan(self.directions[i]).any():
                raise _unknown(
                    target, "where it points", "RA_REF and DEC_REF, or CRVAL1 and CRVAL2"
                )
            yield "of no known pointing", np.isnan(apart)
        if rule.min_offset > 0:
            yield f"nearer than {rule.min_offset:g} arcsec", apart < rule.min_offset
        if rule.within_angle is not None:
            yield f"farther than {rule.within_angle:g} arcsec", apart > rule.within_angle
        if rule.within_time is not None:
            if np.isnan(self.times[i]):
                raise _unknown(target, "when it was taken", "EXPMID, or EXPSTART and EXPEND")
            yield "of no known time", np.isnan(self.times)
            far = np.abs(self.times - self.times[i]) * DAY > rule.within_time + CLOCK
            yield f"more than {in_words(rule.within_time)} before or after it", far


def _whole(facts: ExposureFacts, known: str) -> str:
    """Return what an exposure has in common with its other products and segments alone."""
    return facts.segment.exposure or known


def _first(names: Sequence[str]) -> Mask:
    """Return which of several names are there for the first time."""
    found = np.zeros(len(names), bool)
    found[np.unique(np.array(names), return_index=True)[1]] = True
    return found


def _unknown(target: ExposureFacts, what: str, keywords: str) -> MetadataError:
    return MetadataError(
        f"An exposure must say {what} where its dithers are chosen by that",
        file=target.location,
        value=f"neither {keywords.replace(', or ', ' nor ')}",
        cure=f"Put {keywords} into its header, or choose without min_offset and within",
    )
