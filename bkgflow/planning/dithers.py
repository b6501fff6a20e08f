"""A program whose exposures are each other's background: its products, with those of their groups.

Products of associations keep all but their background members. Exposures of a folder without
associations become products.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.storage.location import Location
from bkgflow.planning.dither_groups import Choice, choices, dither_groups
from bkgflow.planning.dither_rule import DitherRule
from bkgflow.planning.dither_types import DITHERED, why_not
from bkgflow.planning.kind import Prepared
from bkgflow.planning.planner import Asked, Planner
from bkgflow.programs.association import Association, Product
from bkgflow.programs.passed_over import PassedOver
from bkgflow.programs.program import Program
from bkgflow.texts import many
from bkgflow.verdict import Verdict

__all__ = ["Dithered", "FromDithers", "asked_from", "from_dithers"]

IMPRINT = "imprint"


@dataclass(frozen=True, slots=True)
class Dithered:
    """A product with the exposures of its group that are its background.

    Attributes
    ----------
    association : Association
        Of which it is a product; of no name and no place where an exposure came without one.
    choice : Choice or BkgflowError
        Or why it cannot be made.
    skipped : str
        Why it has no background; empty where it has one.
    """

    association: Association
    product: Product
    choice: Choice | BkgflowError
    skipped: str = ""


@dataclass(frozen=True, slots=True)
class FromDithers:
    """What a program is, where its exposures are each other's background.

    Attributes
    ----------
    dithered : tuple of Dithered
        In the order of the program.
    left : tuple of (Association, Product)
        Products of other exposures, which stay as they are.
    passed_over : tuple of PassedOver
        Exposures of folders without associations that are no part of it.
    rule : DitherRule
        By which it was made.
    """

    dithered: tuple[Dithered, ...]
    left: tuple[tuple[Association, Product], ...]
    passed_over: tuple[PassedOver, ...]
    rule: DitherRule

    def notes(self, *, left: bool = True) -> tuple[str, ...]:
        """Say in a few sentences what the groups are; and what stays as it is, if it is done."""
        made = [each.choice for each in self.dithered if isinstance(each.choice, Choice)]
        sizes = [len(each.group.members) for each in {id(e.group): e for e in made}.values()]
        asked = f" ({self.rule})" if str(self.rule) else ""
        lines = [f"backgrounds from dithers{asked}: {_groups(sizes)}{_near(made)}"]
        if same := sum(1 for each in made if each.same_place):
            lines.append(
                f"{many(same, 'exposure has', 'exposures have')} backgrounds that point to the "
                "same place, whose sources are subtracted as well: min_offset leaves them out"
            )
        if self.left and left:
            lines.append(f"{many(len(self.left), 'product')} of other exposures as without dithers")
        return tuple(lines)


def _groups(sizes: Sequence[int]) -> str:
    if not sizes:
        return "no exposure is dithered"
    few, most = min(sizes), max(sizes)
    size = f"{few:,} to {most:,} exposures" if few < most else many(few, "exposure")
    return f"{many(len(sizes), 'group')} of {size}"


def _near(made: Sequence[Choice]) -> str:
    near = sum(each.near for each in made)
    pairs = many(near, "is", "are")
    return f"; {pairs} left out for being too near, over all targets" if near else ""


def from_dithers(found: Program, planner: Planner, rule: DitherRule) -> FromDithers:
    """Look at the exposures of a program, and give each the others of its group.

    What cannot be looked at stays as it is: its unit says why. An exposure that several products
    ask for counts once.
    """
    planner.look_at([*found.exposures, *found.in_folders, *_science(found)])
    dithered: dict[Location, list[tuple[Association, Product]]] = defaultdict(list)
    left, passed_over = [], []
    facts: dict[Location, ExposureFacts] = {}
    in_folders = frozenset(found.in_folders)
    for association, product in _products(found):
        known = None if product.problem else planner.known(product.science)
        moves = isinstance(known, ExposureFacts) and _moves(known)
        if isinstance(known, ExposureFacts) and moves and planner.kind_of(known).shares_backgrounds:
            dithered[product.science].append((association, product))
            facts[product.science] = known
        elif isinstance(known, ExposureFacts) and not moves and product.science in in_folders:
            passed_over.append(PassedOver(known.location, _why_passed_over(known)))
        else:  # also an image that is to have a template
            left.append((association, product))
    made = list(_chosen(dithered, facts, planner, rule))
    order = {science: place for place, science in enumerate(dithered)}
    made.sort(key=lambda each: order[each.product.science])
    return FromDithers(tuple(made), tuple(left), tuple(passed_over), rule)


def _moves(facts: ExposureFacts) -> bool:
    """Whether an exposure is one of those whose dithers move the sources on the detector."""
    return facts.exp_type in DITHERED and not facts.taken.imprint


def _why_passed_over(facts: ExposureFacts) -> str:
    """Return why an exposure without an association is no part of a program from dithers."""
    if facts.taken.imprint:
        return "an association must say whose imprint it is"
    kind = facts.exp_type or "no EXP_TYPE"
    return f"without an association nothing is done to {kind}: {why_not(facts.exp_type)}"


def _science(found: Program) -> Iterator[Location]:
    for association in found.associations:
        yield from (each.science for each in association.products if each.problem is None)


def _products(found: Program) -> Iterator[tuple[Association, Product]]:
    """Yield the products of associations, and of each exposure without one."""
    for association in found.associations:
        for product in association.products:
            yield association, product
    alone = Association(Location(""), ())
    for each in dict.fromkeys((*found.exposures, *found.in_folders)):
        yield alone, Product("", (("science", each.name),), each)


def _chosen(
    products: Mapping[Location, Sequence[tuple[Association, Product]]],
    facts: Mapping[Location, ExposureFacts],
    planner: Planner,
    rule: DitherRule,
) -> Iterator[Dithered]:
    imprints = {
        where: tuple(
            each for _, product in several for each in product.others if each[0] == IMPRINT
        )
        for where, several in products.items()
    }
    subtracted = planner.settings.allow_subtracted
    for group in dither_groups(facts.values(), rule):
        made = choices(group, rule, subtracted=subtracted)
        for member, choice in zip(group.members, made, strict=True):
            for association, product in products[member.location]:
                yield _given(association, product, choice, imprints, rule)


def _given(
    association: Association,
    product: Product,
    choice: Choice | BkgflowError,
    imprints: Mapping[Location, tuple[tuple[str, Location], ...]],
    rule: DitherRule,
) -> Dithered:
    """Return a product with the backgrounds that were chosen for it, and their imprints."""
    own = product.backgrounds
    number = many(len(own), "background member is", "background members are")
    notes = [f"its own {number} not used"] if own else []
    alone = replace(product, backgrounds=()).noting(*notes)
    if isinstance(choice, BkgflowError):
        return Dithered(association, alone, choice)
    if skipped := choice.too_few(rule):
        return Dithered(association, alone, choice, skipped)
    others = dict.fromkeys(product.others)
    for each in choice.used:
        others |= dict.fromkeys(imprints[each.location])
    asked = f"backgrounds from dithers ({rule}): " if str(rule) else "backgrounds from dithers: "
    given = replace(
        product,
        backgrounds=tuple(each.location for each in choice.used),
        others=tuple(others),
    )
    return Dithered(association, given.noting(asked + choice.note, *notes), choice)


def asked_from(made: FromDithers, planner: Planner) -> Iterator[Asked]:
    """Prepare the products that have dithers as their background, or would have them."""
    for each in made.dithered:
        name = str(each.product.science)
        if isinstance(each.choice, BkgflowError):
            path = str(each.association.location)
            yield Asked(path, each.product.name, each.choice, name)
            continue
        [asked] = planner.asked_in(replace(each.association, products=(each.product,), refused=()))
        if each.skipped and isinstance(asked.found, Prepared):
            found = replace(asked.found, verdict=Verdict.skipped(each.skipped))
            asked = replace(asked, found=found)
        yield replace(asked, science=name)
