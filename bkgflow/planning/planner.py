"""From associations to a plan: everything looked at once, nothing computed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bkgflow.association import Association, Product, load_program
from bkgflow.errors import BkgflowError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.products.describe import product_name, product_suffix
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import check_writable
from bkgflow.planning.conflicts import without_conflicts, without_repeats
from bkgflow.planning.costs import predict
from bkgflow.planning.keys import Key
from bkgflow.planning.kind import Members, PlannedKind, PlannedKinds, Prepared, Sharing
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Shared, Unit
from bkgflow.settings import StepSettings
from bkgflow.verdict import State, Verdict
from bkgflow.version import VERSION

__all__ = ["DEFAULT_MEMORY", "Asked", "Planner", "make_plan"]

DEFAULT_MEMORY = 64 << 20
"""Bytes that the strips of one combine task hold, unless the caller says otherwise: enough for
long sequential reads, little enough to be allocated again and again without cost."""


def make_plan(program: Any, output: PathLike, planner: Planner) -> Plan:
    """Look at every exposure of a program once and decide what will be done.

    Parameters
    ----------
    program : path, list of paths, or folder
        Associations, or a folder of ``*_asn.json``.
    output : path
        Folder of the products; a run makes it if it is not there.
    planner : Planner
        The settings, and where references are looked for.

    Raises
    ------
    PlanError
        If there is no association at all, or a path is no text.
    OutputError
        If the output folder cannot be written to.
    """
    associations, refused = load_program(program)
    folder = Location.of(output)
    named = [str(each.location) for each in associations] + [path for path, _ in refused]
    references = planner.references.location if planner.references else ""
    _check_text([*named, folder, references])
    check_writable(folder)
    asked: list[Asked] = [Asked(path, "", error=error) for path, error in refused]
    for association in associations:
        asked.extend(planner.asked_in(association))
    return planner.plan(asked, folder)


def _check_text(paths: Iterable[PathLike]) -> None:
    """Refuse paths that are no text: a plan, a log and a result could not name them."""
    for path in map(str, paths):
        try:
            path.encode()
        except UnicodeEncodeError:
            raise PlanError(
                "The paths of a program, its references and its output must be text (UTF-8)",
                value=os.fsencode(path),
                cure="Rename the file or the folder, or link to it by another name",
            ) from None


@dataclass(frozen=True, slots=True)
class Asked:
    """One product that is asked for: what its headers decide, or what is wrong with them."""

    association: str
    product: str
    prepared: Prepared | None = None
    error: BkgflowError | None = None
    science: str = ""


@dataclass
class Planner:
    """Remembers what was looked at, so that nothing is looked at twice.

    Attributes
    ----------
    settings : StepSettings
        The step's arguments.
    kinds : PlannedKinds
        How units are decided, shared and priced.
    memory : int
        Bytes of pixels that a task of a shared result may hold at a time.
    references : ReferenceFolder or None
        Where references are looked for; None for CRDS.
    looked_at : dict
        Every exposure, or the error that it cannot be used with.
    """

    settings: StepSettings
    kinds: PlannedKinds
    memory: int = DEFAULT_MEMORY
    references: ReferenceFolder | None = None
    looked_at: dict[Location, ExposureFacts | BkgflowError] = field(default_factory=dict)

    def asked_in(self, association: Association) -> Iterator[Asked]:
        """Prepare every product of an association; what is wrong with one stays with it."""
        path = str(association.location)
        for name, error in association.refused:
            yield Asked(path, name, error=error)
        for product in association.products:
            try:
                yield Asked(path, product.name, self._of_product(product))
            except BkgflowError as error:
                yield Asked(path, product.name, error=error, science=str(product.science))

    def _of_product(self, product: Product) -> Prepared:
        target = self._facts(product.science)
        backgrounds = tuple(self._facts(each) for each in product.backgrounds)
        return self.prepared(target, Members(backgrounds), product)

    def prepared(
        self, target: ExposureFacts, members: Members, product: Product | None = None
    ) -> Prepared:
        """Have the target's kind decide what is done to it, with the members that it reads.

        Raises
        ------
        InputError
            If a member or a reference is bad.
        """
        kind = self.kinds.of(target.exp_type)
        others = product.others if product else ()
        catalogs = (each for name, each in others if name == "sourcecat" and name in kind.reads)
        members = replace(members, catalogs=(*members.catalogs, *catalogs))
        prepared = kind.prepare(target, members, self.settings, self.references)
        left_alone = (
            f"{name} member {each.name} is left alone"
            for name, each in others
            if name not in kind.reads
        )
        # What the association says comes before what was made of it.
        notes = (*(product.notes if product else ()), *left_alone, *prepared.notes)
        return replace(prepared, notes=notes)

    def _facts(self, location: Location) -> ExposureFacts:
        if location not in self.looked_at:
            try:
                self.looked_at[location] = inspect(location)
            except BkgflowError as error:
                self.looked_at[location] = error
        found = self.looked_at[location]
        if isinstance(found, BkgflowError):
            raise found
        return found

    def plan(self, asked: Sequence[Asked], output: Location) -> Plan:
        """Freeze what was found."""
        # Sharing comes after all targets are known: the segments of an exposure find each other.
        sharing = self._sharing([each.prepared for each in asked if each.prepared is not None])
        units = [
            _refused(each) if each.prepared is None else self._unit(each, each.prepared, sharing)
            for each in asked
        ]
        units = without_conflicts(without_repeats(units), output, self.looked_at)
        # Only now it is known which units are left to wait for a result.
        wanted = {unit.shared for unit in units if unit.verdict.to_do}
        found = {share.shared.digest: share.shared for share in sharing.values() if share.shared}
        shared = tuple(each for digest, each in found.items() if digest in wanted)
        exposures = self._exposures(units, shared)
        facts = {each.location: each for each in exposures}
        return Plan(
            version=VERSION,
            output=output,
            settings=self.settings,
            memory=self.memory,
            exposures=exposures,
            shared=shared,
            units=tuple(units),
            costs=predict(units, shared, facts, self.kinds, self.settings, self.memory),
        )

    def _sharing(self, prepared: Sequence[Prepared]) -> dict[int, Sharing]:
        """Return what each target that is to be done shares, by the identity of the object."""
        groups: dict[str, list[Prepared]] = defaultdict(list)
        for each in prepared:
            if each.verdict.to_do:
                groups[self.kinds.of(each.target.exp_type).name].append(each)
        return {
            id(each): share
            for name, group in groups.items()
            for each, share in zip(
                group, self.kinds.named(name).share(group, self.settings), strict=True
            )
        }

    def _unit(self, asked: Asked, prepared: Prepared, sharing: dict[int, Sharing]) -> Unit:
        target = prepared.target
        kind = self.kinds.of(target.exp_type)
        share = sharing.get(id(prepared), Sharing())
        digest = share.shared.digest if share.shared else ""
        return Unit(
            key=self._key(kind, prepared, digest),
            association=asked.association,
            product=asked.product,
            kind=kind.name,
            target=target.location,
            output=product_name(target.location, product_suffix(target.n_integrations)),
            companions=kind.companions(prepared, self.settings),
            verdict=prepared.verdict,
            shared=digest,
            references=prepared.references,
            notes=(*prepared.notes, *share.notes),
        )

    def _key(self, kind: PlannedKind, prepared: Prepared, shared: str) -> Key:
        references = prepared.references.identities if prepared.references else ()
        return Key.of(
            [
                ("method", f"{kind.name} {kind.version}"),
                *self.settings.only(kind.arguments).items(),
                ("target", prepared.target.identity),
                *references,
                ("shared result", shared),
                ("skipped because", prepared.verdict.reason),
            ]
        )

    def _exposures(
        self, units: Iterable[Unit], shared: Iterable[Shared]
    ) -> tuple[ExposureFacts, ...]:
        """Return every exposure that will be read, once."""
        wanted = dict.fromkeys(member for each in shared for member in each.members)
        wanted |= dict.fromkeys(
            unit.target for unit in units if unit.verdict.state != State.QUARANTINED
        )
        found = (self.looked_at[location] for location in wanted)
        return tuple(each for each in found if isinstance(each, ExposureFacts))


def _refused(asked: Asked) -> Unit:
    """Return the unit of a product that cannot be done."""
    assert asked.error is not None
    return Unit(
        key=Key.of(
            [
                ("association", asked.association),
                ("product", asked.product),
                ("error", asked.error.message),
            ]
        ),
        association=asked.association,
        product=asked.product,
        kind="",
        target=Location.of(asked.science or asked.association),
        output="",
        verdict=Verdict.quarantined(asked.error),
    )
