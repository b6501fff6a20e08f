"""A plan: everything that a run will do, frozen and checked before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from bkgflow.errors import InputError, OutputError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import check_savable
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import write_text
from bkgflow.io.storage.space import moved
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.planning.grouped import first_lines, grouped
from bkgflow.planning.kind import Facts
from bkgflow.planning.outputs import Outputs
from bkgflow.planning.unit import Shared, Unit
from bkgflow.programs.passed_over import PassedOver, summed_up
from bkgflow.settings import StepSettings
from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Costs", "Plan"]

COLUMNS = ("target", "product", "kind", "state", "reason", "shared", "association")

EXPOSURE_COLUMNS = (
    "name", "exp_type", "instrument", "detector", "window", "integrations", "bunit", "location",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Costs:
    """What a plan promises, in bytes: what all units read from and write to disk together.

    Attributes
    ----------
    shared_task, unit_task : int
        Most memory that one task of a shared result holds, and the last task of a unit.
    """

    read: int
    written: int
    shared_task: int
    unit_task: int

    @property
    def task(self) -> int:
        """Most memory that any task holds."""
        return max(self.shared_task, self.unit_task)


@dataclass(frozen=True, slots=True)
class Plan:
    """A program's work, decided.

    Printing it says in a few lines what will be done; `bkgflow.show` shows it as a table;
    `to_frame` gives one of pandas; `save` keeps it as JSON.

    Attributes
    ----------
    version : str
        Of bkgflow.
    output : Location
        Folder of the products.
    memory : int
        Bytes of pixels that a task of a shared result may hold at a time.
    exposures : tuple of ExposureFacts
        All that are read, each once.
    shared : tuple of Shared
        Every result that several units may wait for, once.
    units : tuple of Unit
        In the order of the associations.
    passed_over : tuple of PassedOver
        Files of the program that ask for nothing, and why.
    outputs : Outputs
        What the products are stored as.
    notes : tuple of str
        What a user should know about all of it.
    folders : tuple of Location
        Those that the program was given as: all below them was looked at.
    """

    version: str
    output: Location
    settings: StepSettings
    memory: int
    exposures: tuple[ExposureFacts, ...]
    shared: tuple[Shared, ...]
    units: tuple[Unit, ...]
    costs: Costs
    passed_over: tuple[PassedOver, ...] = ()
    outputs: Outputs = field(default_factory=Outputs)
    notes: tuple[str, ...] = ()
    folders: tuple[Location, ...] = ()

    def facts(self) -> Facts:
        """Return the exposures by where they lie."""
        return {facts.location: facts for facts in self.exposures}

    def sharing(self) -> Counter[str]:
        """Count the units that wait for each shared result, by its digest."""
        return Counter(unit.shared for unit in self.units if unit.shared)

    def only(self, units: Collection[str]) -> Plan:
        """Return the plan of some of its units, by the digests of their keys.

        What they read and write is taken to be as much of the whole as their targets are.
        """
        wanted, facts = set(units), self.facts()
        chosen = tuple(unit for unit in self.units if unit.digest in wanted)
        shared = {unit.shared for unit in chosen if unit.verdict.to_do}

        def weight(of: Iterable[Unit]) -> int:
            return sum(facts[unit.target].identity.size for unit in of if unit.target in facts)

        part = weight(chosen) / (weight(self.units) or 1)
        costs = replace(
            self.costs, read=round(self.costs.read * part), written=round(self.costs.written * part)
        )
        return replace(
            self,
            units=chosen,
            shared=tuple(each for each in self.shared if each.digest in shared),
            costs=costs,
        )

    def into(self, output: Location) -> Plan:
        """Return the plan for its output folder where that lies now: it was moved, or copied."""
        store, now = self.outputs.store, partial(moved, before=self.output, now=output)
        if store is not None:
            store = Location(now(store.url))
        units = (
            replace(unit, output=now(unit.output), companions=tuple(map(now, unit.companions)))
            for unit in self.units
        )
        outputs = replace(self.outputs, store=store)
        return replace(self, output=output, outputs=outputs, units=tuple(units))

    def counts(self) -> Counter[str]:
        """Count the units by their state."""
        return Counter(unit.verdict.state.value for unit in self.units)

    def to_json(self) -> str:
        """Return the plan as JSON text; `PlanError` where an exposure is in memory alone."""
        check_savable(facts.source for facts in self.exposures)
        return _adapter().dump_json(self, indent=1).decode()

    def save(self, path: PathLike) -> None:
        """Write the plan as JSON; it appears whole or not at all.

        Raises
        ------
        PlanError
            If an exposure is in memory alone.
        OutputError
            If it cannot be written there, or would replace an input.
        """
        places = (each for unit in self.units for each in (unit.target, unit.association))
        inputs = {each.location.real() for each in self.exposures}
        inputs |= {Location.of(each).real() for each in places if each}
        if Location.of(path).real() in inputs:
            raise OutputError(
                "A plan must not replace what it is made of",
                file=path,
                value="an exposure or an association",
                cure="Give another name",
            )
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: PathLike) -> Plan:
        """Read a plan that `save` wrote.

        Raises
        ------
        PlanError
            If the file is missing or is not a plan.
        """
        try:
            return _adapter().validate_json(Location.of(path).read_bytes())
        except (InputError, ValidationError) as problem:
            raise PlanError(
                "A saved plan must be a JSON file that bkgflow wrote",
                file=path,
                value=str(problem).splitlines()[0],
                cure="Plan the program again",
            ) from None

    def to_frame(self) -> pd.DataFrame:
        """Return the units as a pandas table, one row each, in the plan's order.

        Columns: target (str), product (str), kind (str), state (str), reason (str), shared (str,
        the digest of the result that it waits for), association (str).
        """
        return frame_of(self._rows(), COLUMNS)

    def exposures_to_frame(self) -> pd.DataFrame:
        """Return the exposures that are read as a pandas table, one row each.

        Columns: name (str), exp_type (str), instrument (str), detector (str), window (str),
        integrations (int; 0 for an image), bunit (str), location (str).
        """
        rows = [
            {
                "name": each.name,
                "exp_type": each.exp_type,
                "instrument": each.instrument,
                "detector": each.detector,
                "window": str(each.window),
                "integrations": each.n_integrations or 0,
                "bunit": each.bunit,
                "location": str(each.location),
            }
            for each in self.exposures
        ]
        return frame_of(rows, EXPOSURE_COLUMNS)

    def _rows(self) -> list[Row]:
        return [
            {
                "target": unit.name,
                "product": unit.output,
                "kind": unit.kind,
                "state": unit.verdict.state.value,
                "reason": unit.verdict.reason,
                "shared": unit.shared,
                "association": unit.association,
            }
            for unit in self.units
        ]

    def __str__(self) -> str:
        """What will be done, in a few lines."""
        states = ", ".join(f"{number:,} {state}" for state, number in sorted(self.counts().items()))
        lines = [
            f"Plan of {many(len(self.units), 'unit')} ({states or 'none'}) into {self.output}",
            f"{many(len(self.exposures), 'exposure')}, {many(len(self.shared), 'shared result')}",
        ]
        wrong = ((u, u.verdict) for u in self.units if u.verdict.error is not None)
        lines += first_lines(grouped(wrong))
        lines += [*summed_up(self.passed_over), *self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: the same, and a table of the first units."""
        return html_of(str(self), self._rows(), COLUMNS[:5])


def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
