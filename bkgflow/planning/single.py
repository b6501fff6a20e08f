"""One target: a path, a data model in memory, or an association of one product."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bkgflow.association import Product, load
from bkgflow.errors import AssociationError, BackgroundError, UsageError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.models import Model
from bkgflow.io.storage.location import Location, PathLike, split_list
from bkgflow.planning.plan import Plan
from bkgflow.planning.planner import Asked, Planner

__all__ = ["Single", "plan_single", "single"]


@dataclass(frozen=True, slots=True, eq=False)
class Single:
    """What one subtraction was asked for.

    Attributes
    ----------
    association : str
        Where it was asked for; empty without one.
    product : Product or None
        What the association says of it.
    model : data model or None
        The target, where it is in memory.
    notes : tuple of str
        What a user should know about the choice of the backgrounds.
    """

    target: ExposureFacts
    backgrounds: tuple[ExposureFacts, ...]
    association: str = ""
    product: Product | None = None
    model: Model | None = None
    notes: tuple[str, ...] = ()


def single(target: object, bkg_list: object = None) -> Single:
    """Look at a target and its backgrounds; paths and data models may be mixed.

    Parameters
    ----------
    target : path, data model or association
        Of an association of one product, the background members go before ``bkg_list``.
    bkg_list : sequence of paths or data models, or a comma-separated string
        The background exposures.

    Raises
    ------
    UsageError
        If one is neither a path nor a model.
    InputError
        If one is bad.
    """
    backgrounds = split_list(bkg_list)
    if isinstance(target, str | os.PathLike) and Location.of(target).suffix.lower() == ".json":
        return _of_association(Location.of(target), backgrounds)
    facts = _facts(target, "target")
    if not isinstance(target, Model):
        return Single(facts, _all_facts(backgrounds))
    if any(background is target for background in backgrounds):
        raise BackgroundError(
            "A target must not be its own background",
            file=facts.location,
            value=facts.name,
            cure="Remove it from the list of backgrounds",
        )
    return Single(facts, _all_facts(backgrounds), model=target)


def _of_association(location: Location, backgrounds: Sequence[object]) -> Single:
    """Look at what an association of one product names."""
    association = load(location)
    for _, error in association.refused:
        raise error
    if len(association.products) > 1:
        raise AssociationError(
            "A single subtraction takes an association of one product",
            file=location,
            value=f"{len(association.products)} products",
            cure="Use bkgflow run (bkgflow.plan and bkgflow.run) for all of them",
        )
    [product] = association.products
    both = product.backgrounds and backgrounds
    notes = ("its own background members are used, not bkg_list",) if both else ()
    facts = inspect(product.science)
    used = _all_facts(product.backgrounds or backgrounds)
    return Single(facts, used, str(location), product, notes=notes)


def _all_facts(backgrounds: Sequence[object]) -> tuple[ExposureFacts, ...]:
    """Look at the backgrounds; a model is told from the others by its place in the list."""
    numbered = enumerate(backgrounds, start=1)
    return tuple(_facts(thing, f"background {number}") for number, thing in numbered)


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


def plan_single(asked: Single, output: PathLike, planner: Planner) -> Plan:
    """Decide what is done to one target: a plan of one unit.

    Raises
    ------
    BkgflowError
        If an input is bad: there is nobody else to go on with.
    """
    for facts in (asked.target, *asked.backgrounds):
        planner.looked_at[facts.location] = facts
    prepared = planner.prepared(asked.target, asked.backgrounds, asked.product)
    name = asked.product.name if asked.product else ""
    request = Asked(asked.association, name, prepared.noting(*asked.notes))
    plan = planner.plan([request], Location.of(output))
    error = plan.units[0].verdict.error
    if error is not None:
        raise error
    return plan
