"""From products that are asked for to a plan: everything looked at once, nothing computed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from bkgflow.errors import BkgflowError, FileError, StorageError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.kept import KeptFacts
from bkgflow.io.products.describe import product_name, product_suffix
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import Location
from bkgflow.planning.conflicts import already_subtracted, without_conflicts, without_repeats
from bkgflow.planning.costs import costs_of
from bkgflow.planning.keys import Key
from bkgflow.planning.kind import Facts, PlannedKind, PlannedKinds, Prepared, Request
from bkgflow.planning.look import look_side_by_side
from bkgflow.planning.notes import plan_notes
from bkgflow.planning.outputs import Outputs
from bkgflow.planning.plan import Plan
from bkgflow.planning.unit import Imprint, Shared, Unit
from bkgflow.programs.association import Association, Product
from bkgflow.programs.passed_over import PassedOver
from bkgflow.programs.search_path import SearchPath, check_confined
from bkgflow.record import printable
from bkgflow.settings import NAMED_FILES, StepSettings
from bkgflow.verdict import State, Verdict
from bkgflow.version import VERSION

__all__ = ["DEFAULT_MEMORY", "Asked", "Planner"]

DEFAULT_MEMORY = 64 << 20
"""Bytes that the strips of one combine task hold, unless the caller says otherwise: enough for
long sequential reads, little enough to be allocated again and again without cost."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One product that is asked for: what its headers decide, or what is wrong with them."""

    association: str
    product: str
    found: Prepared | BkgflowError
    science: str = ""


@dataclass
class Planner:
    """Remembers what was looked at, so that nothing is looked at twice.

    Attributes
    ----------
    looked_at : dict
        Every exposure, or the error that it cannot be used with.
    search : SearchPath
        Where the members of associations are looked for.
    outputs : Outputs
        What products are stored as.
    kept : KeptFacts
        What an earlier run found in files that may still be the same.
    """

    settings: StepSettings
    kinds: PlannedKinds
    memory: int = DEFAULT_MEMORY
    references: ReferenceFolder | None = None
    looked_at: dict[Location, ExposureFacts | BkgflowError] = field(default_factory=dict)
    search: SearchPath = field(default_factory=SearchPath)
    outputs: Outputs = field(default_factory=Outputs)
    kept: KeptFacts = field(default_factory=KeptFacts)

    def asked_in(self, association: Association) -> Iterator[Asked]:
        """Prepare every product of an association; what is wrong with one stays with it."""
        path = str(association.location)
        for name, error in association.refused:
            yield Asked(path, name, error)
        for product in association.products:
            try:
                if product.problem is not None:
                    raise product.problem
                target, *backgrounds = map(self.facts, (product.science, *product.backgrounds))
                yield Asked(path, product.name, self.prepared(target, backgrounds, product))
            except StorageError:
                raise
            except BkgflowError as error:
                yield Asked(path, product.name, error, str(product.science))

    def prepared(
        self,
        target: ExposureFacts,
        backgrounds: Iterable[ExposureFacts],
        product: Product | None = None,
        imprints: Iterable[ExposureFacts] = (),
    ) -> Prepared:
        """Have the target's kind decide what is done to it, with the members that it reads.

        Imprints that are given count with those of the product.

        Raises
        ------
        InputError
            If a member or a reference is bad.
        """
        if target.subtracted and not self.settings.allow_subtracted:
            raise already_subtracted(target, "A target")
        kind = self.kind_of(target)
        others, given = product.others if product else (), tuple(imprints)

        def wanted(member: str) -> bool:
            return kind.wants(member, target, self.settings)

        catalogs = (each for name, each in others if name == "sourcecat" and wanted(name))
        members = (each for name, each in others if name == "imprint" and wanted(name))
        used = given if wanted("imprint") else ()
        request = Request(
            target,
            tuple(backgrounds),
            tuple(catalogs),
            self.references,
            (*used, *map(self.known, members)),
            self.search.confine,
        )
        try:
            prepared = kind.prepare(request, self.settings)
        except FileError as error:
            # Of a member that is nowhere more is known: where it was looked for.
            known = self.looked_at.get(Location(error.file or ""))
            raise (known if isinstance(known, BkgflowError) else error) from None
        left_alone = [f"imprint {each.name} is left alone" for each in given if each not in used]
        left_alone += (
            f"{name} member {each.name} is left alone" for name, each in others if not wanted(name)
        )
        flawless = (
            f"{each.name} has no DQ: all of its pixels count as good"
            for each in (target, *prepared.used)
            if "DQ" in each.absent
        )
        # What the association says comes before what was made of it.
        notes = (*(product.notes if product else ()), *left_alone, *flawless, *prepared.notes)
        return replace(prepared, notes=notes, keywords=(*prepared.keywords, *_named(kind, others)))

    def kind_of(self, target: ExposureFacts) -> PlannedKind:
        """Return how a target is done, with the arguments that there are."""
        return self.kinds.of(target.exp_type, self.settings.override_bkg)

    def look_at(self, locations: Iterable[Location]) -> None:
        """Look at many exposures, those behind URLs; `StorageError` if a store cannot be used."""
        left = dict.fromkeys(e for e in locations if not e.is_local and e not in self.looked_at)
        look_side_by_side(self.known, left)

    def known(self, location: Location) -> ExposureFacts | BkgflowError:
        """Look at an exposure, if nobody has; return its facts, or what is wrong with it."""
        if location not in self.looked_at:
            try:
                check_confined(location, self.search.confine)
                self.looked_at[location] = self.kept.get(location) or inspect(location)
            except StorageError:
                raise
            except BkgflowError as error:
                self.looked_at[location] = error
        return self.looked_at[location]

    def facts(self, location: Location) -> ExposureFacts:
        """Look at an exposure, once.

        Raises
        ------
        BkgflowError
            What is wrong with it.
        """
        found = self.known(location)
        if isinstance(found, BkgflowError):
            raise found
        return found

    def plan(
        self,
        asked: Sequence[Asked],
        output: Location,
        passed_over: Sequence[PassedOver] = (),
        notes: Sequence[str] = (),
    ) -> Plan:
        """Freeze what was found."""
        # Sharing comes after all targets are known: the segments of an exposure find each other.
        sharing = self._sharing(asked)
        units = [
            self._unit(each, sharing.get(i, each.found), output) for i, each in enumerate(asked)
        ]
        units = without_conflicts(without_repeats(units), output, self.looked_at)
        # Only now it is known which units are left to wait for a result.
        wanted = {unit.shared for unit in units if unit.verdict.to_do}
        found = {each.shared.digest: each.shared for each in sharing.values() if each.shared}
        shared = tuple(each for digest, each in found.items() if digest in wanted)
        facts = self._exposures(units, shared)
        return Plan(
            version=VERSION,
            output=output,
            settings=self.settings,
            memory=self.memory,
            exposures=tuple(facts.values()),
            shared=shared,
            units=tuple(units),
            costs=costs_of(self, units, shared, facts),
            passed_over=tuple(passed_over),
            outputs=self.outputs,
            notes=(*notes, *plan_notes(self.kinds, units, shared, facts, self.settings)),
        )

    def _sharing(self, asked: Sequence[Asked]) -> dict[int, Prepared]:
        """Return what is to be done with what it shares, kind by kind, by its place in a list."""
        groups: dict[str, dict[int, Prepared]] = defaultdict(dict)
        for i, each in enumerate(asked):
            if isinstance(each.found, Prepared) and each.found.verdict.to_do:
                groups[self.kind_of(each.found.target).name][i] = each.found
        return {
            i: prepared
            for name, group in groups.items()
            for i, prepared in zip(
                group,
                self.kinds.named(name).share(list(group.values()), self.settings),
                strict=True,
            )
        }

    def _unit(self, asked: Asked, found: Prepared | BkgflowError, folder: Location) -> Unit:
        if isinstance(found, BkgflowError):
            return _refused(asked, found)
        target, references = found.target, found.references
        kind = self.kind_of(target)
        digest = found.shared.digest if found.shared else ""
        names = [name for name in kind.arguments if name not in NAMED_FILES]
        parts = [
            ("method", f"{kind.name} {kind.version}"),
            *self.settings.only(names).items(),
            ("target", target.identity),
            *_imprint_part(found),
            *(references.identities if references else ()),
            ("shared result", digest),
            ("skipped because", found.verdict.reason),
        ]
        return Unit(
            key=Key.of(parts),
            association=asked.association,
            product=asked.product,
            kind=kind.name,
            target=target.location,
            output=self.outputs.name(
                product_name(target.location, product_suffix(target.n_integrations)), folder
            ),
            companions=tuple(
                self.outputs.name(each, folder) for each in kind.companions(found, self.settings)
            ),
            verdict=found.verdict,
            shared=digest,
            references=references,
            notes=found.notes,
            mismatches=found.mismatches,
            imprint=_imprint(found),
            keywords=(
                *(
                    (("ASNTABLE", printable(Location.of(asked.association).name)),)
                    if asked.association
                    else ()
                ),
                *found.keywords,
                *(references.keywords if references else ()),
            ),
        )

    def _exposures(self, units: Iterable[Unit], shared: Iterable[Shared]) -> Facts:
        """Return every exposure that will be read, once."""
        asked = [each for each in units if each.verdict.state != State.QUARANTINED]
        wanted = dict.fromkeys(member for each in shared for member in each.members)
        wanted |= dict.fromkeys(each for one in shared for each in one.imprints if each)
        wanted |= dict.fromkeys(unit.target for unit in asked)
        wanted |= dict.fromkeys(
            each.imprint.location for each in asked if each.imprint and each.imprint.location
        )
        found = {location: self.looked_at[location] for location in wanted}
        return {key: each for key, each in found.items() if isinstance(each, ExposureFacts)}


def _imprint(found: Prepared) -> Imprint | None:
    if found.imprint_state is None:
        return None
    return Imprint(found.imprint_state, found.imprint.location if found.imprint else None)


def _imprint_part(found: Prepared) -> Iterator[tuple[str, object]]:
    """Yield what a unit's key says of its imprint; nothing where the unit has nothing to do."""
    if found.imprint is not None:
        yield "imprint", found.imprint.identity
    elif found.imprint_state is not None:
        yield "imprint", found.imprint_state.value


def _named(kind: PlannedKind, members: Iterable[tuple[str, Location]]) -> Iterator[tuple[str, str]]:
    """Yield the keywords that name members of an association, as the pipeline orders them."""
    first: dict[str, Location] = {}
    for name, location in members:
        first.setdefault(name, location)
    for name, keyword in kind.names:
        if name not in first:
            return
        yield keyword, printable(first[name].name)


def _refused(asked: Asked, error: BkgflowError) -> Unit:
    """Return the unit of a product that cannot be done."""
    parts = {"association": asked.association, "product": asked.product, "error": error.message}
    return Unit(
        key=Key.of(parts.items()),
        association=asked.association,
        product=asked.product,
        kind="",
        target=Location.of(asked.science or asked.association),
        output="",
        verdict=Verdict.quarantined(error),
    )
