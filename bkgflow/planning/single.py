"""One target: a path, a data model in memory, or an association of one product."""

from __future__ import annotations

import os
from collections.abc import Mapping

from bkgflow.errors import AssociationError, UsageError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.models import is_model
from bkgflow.io.storage.lists import expanded, split_list
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.planning.conflicts import own_background
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import Asked, Planner
from bkgflow.planning.program import check_text
from bkgflow.programs.association import Product
from bkgflow.programs.content import claims
from bkgflow.programs.program import load_association
from bkgflow.upaths import as_given

__all__ = ["plan_single"]


def plan_single(
    target: object,
    bkg_list: object,
    output: PathLike,
    planner: Planner,
    imprints: object = None,
) -> Plan:
    """Decide what is done to one target: a plan of one unit.

    Parameters
    ----------
    target : path, data model or association
        Of an association of one product, the background members go before ``bkg_list``.
    bkg_list : sequence of paths or data models, or a comma-separated string
        The background exposures; paths and models may be mixed.
    imprints : sequence of paths or data models, or a comma-separated string
        The imprint exposures; those of an association go before them.

    Raises
    ------
    UsageError
        If one is neither a path nor a model.
    BkgflowError
        If one is bad: there is nobody else to go on with.
    """
    backgrounds, leakage = split_list(bkg_list), split_list(imprints)
    target = as_given(target)
    association, product, notes = "", None, list[str]()
    if isinstance(target, str):
        target = _one(target)
    if _is_association(target):
        association, product = _only_product(target, planner)
        if product.backgrounds and backgrounds:
            notes.append("its own background members are used, not bkg_list")
        if leakage and any(name == "imprint" for name, _ in product.others):
            notes.append("its own imprint members are used, not imprints")
            leakage = []
        target, backgrounds = product.science, list(product.backgrounds) or backgrounds
    facts = _facts(target, "target", planner)
    if is_model(target) and any(background is target for background in backgrounds):
        raise own_background(facts)
    # A model is told from the others by its place in the list; one that is there twice has one.
    roles = {id(each): f"background {i}" for i, each in enumerate(backgrounds, start=1)}
    roles |= {id(each): f"imprint {i}" for i, each in enumerate(leakage, start=1)}
    others = [_facts(each, roles[id(each)], planner) for each in backgrounds]
    subtracted_first = [_facts(each, roles[id(each)], planner) for each in leakage]
    for each in (facts, *others, *subtracted_first):
        planner.looked_at[each.location] = each
    prepared = planner.prepared(facts, others, product, subtracted_first).noting(*notes)
    asked = Asked(association, product.name if product else "", prepared)
    plan = planner.plan([asked], Location.of(output))
    if (error := plan.units[0].verdict.error) is not None:
        raise error
    return plan


def _one(target: str) -> str:
    several = expanded(target)
    if len(several) > 1:
        raise UsageError(
            "A single subtraction must have one target",
            file=target,
            value=f"{len(several)} files",
            cure="Use bkgflow run (bkgflow.plan and bkgflow.run) for all of them",
        )
    return several[0]


def _is_association(target: object) -> bool:
    return isinstance(target, Mapping) or (
        isinstance(target, str | os.PathLike) and claims(Location.of(target))
    )


def _only_product(target: object, planner: Planner) -> tuple[str, Product]:
    """Return the one product of an association, and what the association is called."""
    found = load_association(target, planner.search)
    planner.looked_at |= found.missing
    [association] = found.associations
    for error in (
        *(error for _, error in association.refused),
        *filter(None, (product.problem for product in association.products)),
    ):
        raise error
    if len(association.products) > 1:
        raise AssociationError(
            "A single subtraction must be given an association of one product",
            file=association.location,
            value=f"{len(association.products)} products",
            cure="Use bkgflow run (bkgflow.plan and bkgflow.run) for all of them",
        )
    return str(association.location), association.products[0]


def _facts(thing: object, role: str, planner: Planner) -> ExposureFacts:
    if is_model(thing):
        name = thing.meta.filename or role
        return model_facts(thing, name if role == "target" else f"{role} ({name})")
    if not isinstance(thing, str | os.PathLike):
        raise UsageError(
            "Target and backgrounds must be paths or JWST data models",
            value=f"{type(thing).__name__}: {thing!r}"[:200],
            cure="Give the path of an exposure, or the data model that it opens as",
        )
    check_text([thing])
    return planner.facts(Location.of(thing))
