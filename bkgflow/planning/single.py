"""One target: a path, a data model in memory, or an association of one product."""

from __future__ import annotations

import os

from bkgflow.association import Product, load
from bkgflow.errors import AssociationError, UsageError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.models import Model
from bkgflow.io.storage.location import Location, PathLike, split_list
from bkgflow.planning.conflicts import own_background
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import Asked, Planner

__all__ = ["plan_single"]


def plan_single(target: object, bkg_list: object, output: PathLike, planner: Planner) -> Plan:
    """Decide what is done to one target: a plan of one unit.

    Parameters
    ----------
    target : path, data model or association
        Of an association of one product, the background members go before ``bkg_list``.
    bkg_list : sequence of paths or data models, or a comma-separated string
        The background exposures; paths and models may be mixed.

    Raises
    ------
    UsageError
        If one is neither a path nor a model.
    BkgflowError
        If one is bad: there is nobody else to go on with.
    """
    backgrounds = split_list(bkg_list)
    association, product, notes = "", None, list[str]()
    if isinstance(target, str | os.PathLike) and Location.of(target).suffix.lower() == ".json":
        association = str(Location.of(target))
        product = _only_product(Location.of(target))
        if product.backgrounds and backgrounds:
            notes.append("its own background members are used, not bkg_list")
        target, backgrounds = product.science, list(product.backgrounds) or backgrounds
    facts = _facts(target, "target")
    if isinstance(target, Model) and any(background is target for background in backgrounds):
        raise own_background(facts)
    # A model is told from the others by its place in the list; one that is there twice has one.
    roles = {id(each): f"background {i}" for i, each in enumerate(backgrounds, start=1)}
    others = [_facts(each, roles[id(each)]) for each in backgrounds]
    for each in (facts, *others):
        planner.looked_at[each.location] = each
    prepared = planner.prepared(facts, others, product).noting(*notes)
    asked = Asked(association, product.name if product else "", prepared)
    plan = planner.plan([asked], Location.of(output))
    if (error := plan.units[0].verdict.error) is not None:
        raise error
    return plan


def _only_product(location: Location) -> Product:
    association = load(location)
    for _, error in association.refused:
        raise error
    if len(association.products) > 1:
        raise AssociationError(
            "A single subtraction must be given an association of one product",
            file=location,
            value=f"{len(association.products)} products",
            cure="Use bkgflow run (bkgflow.plan and bkgflow.run) for all of them",
        )
    return association.products[0]


def _facts(thing: object, role: str) -> ExposureFacts:
    if isinstance(thing, Model):
        name = thing.meta.filename or role
        return model_facts(thing, name if role == "target" else f"{role} ({name})")
    if not isinstance(thing, str | os.PathLike):
        raise UsageError(
            "Target and backgrounds must be paths or JWST data models",
            value=f"{type(thing).__name__}: {thing!r}"[:200],
            cure="Give the path of an exposure, or the data model that it opens as",
        )
    return inspect(thing)
