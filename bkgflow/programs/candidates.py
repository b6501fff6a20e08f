"""Which association an exposure belongs to, where several ask for it.

The observatory makes an association for an observation (o001) and another for a target with its
background (c1001), and makes them again at a later date; a program's folder may hold all of them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bkgflow.io.storage.compare import are_copies
from bkgflow.programs.association import Association, Product
from bkgflow.programs.passed_over import PassedOver

__all__ = ["one_for_each_exposure"]

OBSERVED = re.compile(r"[oc](?!999$)\d{3,4}")
"""Names of candidates that the observatory gave; what people make themselves is called o999."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A product of an association that asks for an exposure, by its place in a program."""

    place: tuple[int, int]
    association: Association
    product: Product


Lost = dict[tuple[int, int], tuple[_Claim, str]]
"""Who won instead of a claim, and why."""


def one_for_each_exposure(
    associations: Sequence[Association],
) -> tuple[list[Association], list[PassedOver]]:
    """Keep one product for each exposure, where it can be told which one is meant.

    Of products with the same members, the first; of two dates of one candidate, the newest; one
    with background members before one without; of the observatory's candidates, one with all
    members of another and more, and one with its background (c) before an observation (o).
    Products for which none of this decides all stay.

    Returns
    -------
    associations, passed_over
        Those that still have products, with notes for what gave way; and what did.
    """
    claims: dict[str, list[_Claim]] = defaultdict(list)
    for i, association in enumerate(associations):
        for j, product in enumerate(association.products):
            claims[product.science.name].append(_Claim((i, j), association, product))
    lost: Lost = {}
    for several in claims.values():
        for group in _same_exposure(several) if len(several) > 1 else ():
            _decide(group, lost)
    return _left(associations, lost), _passed_over(associations, lost)


def _same_exposure(claims: Sequence[_Claim]) -> Iterator[list[_Claim]]:
    """Part claims by the files that they ask for: a name may stand for two exposures."""
    groups: list[list[_Claim]] = []
    for claim in claims:
        for group in groups:
            if are_copies(group[0].product.science, claim.product.science):
                group.append(claim)
                break
        else:
            groups.append([claim])
    yield from groups


def _decide(group: list[_Claim], lost: Lost) -> None:
    """Apply the rules, one after the other, to what the ones before have left."""
    for rule in (_repeats, _older, _without_background, _smaller, _lower):
        if len(group) < 2:
            return
        gone = dict(rule(group))
        lost |= gone
        group = [claim for claim in group if claim.place not in gone]


Gone = Iterator[tuple[tuple[int, int], tuple[_Claim, str]]]


def _members(claim: _Claim) -> frozenset[tuple[str, str]]:
    return frozenset((kind, expname.rpartition("/")[2]) for kind, expname in claim.product.names)


def _repeats(group: list[_Claim]) -> Gone:
    first: dict[frozenset[tuple[str, str]], _Claim] = {}
    # Of equal ones the newest is named as the one that is used.
    for claim in sorted(group, key=lambda each: each.association.stamp, reverse=True):
        kept = first.setdefault(_members(claim), claim)
        if kept is not claim:
            yield claim.place, (kept, "asks for the same once more")


def _older(group: list[_Claim]) -> Gone:
    newest: dict[tuple[str, str], _Claim] = {}
    for claim in group:
        if claim.association.stamp:
            same = newest.setdefault(_candidate(claim), claim)
            if claim.association.stamp > same.association.stamp:
                newest[_candidate(claim)] = claim
    for claim in group:
        best = newest.get(_candidate(claim), claim)
        if claim.association.stamp and claim.association.stamp < best.association.stamp:
            yield claim.place, (best, "is older")


def _candidate(claim: _Claim) -> tuple[str, str]:
    made = claim.association
    return made.candidate or made.name.replace(made.stamp, ""), made.kind


def _without_background(group: list[_Claim]) -> Gone:
    best = [claim for claim in group if claim.product.expnames("background")]
    for claim in group if best else ():
        if claim not in best:
            yield claim.place, (best[0], "has no background")


def _smaller(group: list[_Claim]) -> Gone:
    known = _observed(group)
    for claim in known:
        for other in known:
            if _members(claim) < _members(other):
                yield claim.place, (other, "has fewer members")
                break


def _lower(group: list[_Claim]) -> Gone:
    known = _observed(group)
    best = [claim for claim in known if claim.association.candidate.startswith("c")]
    for claim in known if best else ():
        if claim not in best:
            yield claim.place, (best[0], "is of an observation alone")


def _observed(group: list[_Claim]) -> list[_Claim]:
    """Return those of candidates: of two that somebody made, nothing says which one is meant."""
    return [claim for claim in group if OBSERVED.fullmatch(claim.association.candidate)]


def _left(associations: Sequence[Association], lost: Lost) -> list[Association]:
    """Return what is left; a product that won says over which others."""
    notes: dict[tuple[int, int], list[str]] = defaultdict(list)
    for place, (_, why) in lost.items():
        winner = _winner(place, lost)
        notes[winner.place].append(f"{associations[place[0]].name} {why} and is passed over")
    left = []
    for i, association in enumerate(associations):
        products = tuple(
            product.noting(*notes[i, j])
            for j, product in enumerate(association.products)
            if (i, j) not in lost
        )
        if products or association.refused:
            left.append(replace(association, products=products))
    return left


def _winner(place: tuple[int, int], lost: Lost) -> _Claim:
    """Return who is left at the end: a winner may have lost by a later rule."""
    winner, _ = lost[place]
    return _winner(winner.place, lost) if winner.place in lost else winner


def _passed_over(associations: Sequence[Association], lost: Lost) -> list[PassedOver]:
    """Say of every association what it lost, its products under one reason together."""
    reasons: dict[tuple[int, str, str], list[str]] = defaultdict(list)
    for place, (_, why) in sorted(lost.items(), key=lambda each: each[0]):
        winner = _winner(place, lost).association.name
        exposure = associations[place[0]].products[place[1]].science.name
        reasons[place[0], f"it {why}", winner].append(exposure)
    return [
        PassedOver(
            associations[i].location,
            reason,
            winner,
            tuple(names) if len(names) < len(associations[i].products) else (),
        )
        for (i, reason, winner), names in reasons.items()
    ]
