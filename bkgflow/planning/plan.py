"""A plan: everything that a run will do, frozen and checked before anything is computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bkgflow.errors import InputError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.source import check_savable
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import write_text
from bkgflow.planning.kind import Facts
from bkgflow.planning.unit import Shared, Unit
from bkgflow.programs.passed_over import PassedOver, summed_up
from bkgflow.settings import StepSettings

__all__ = ["Costs", "Plan"]

MOST_LINES = 5
"""Of units that cannot be done, in a plan that is printed."""


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

    Printing it says in a few lines what will be done; `bkgflow.show` shows it as a table; `save`
    keeps it as JSON.

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

    def facts(self) -> Facts:
        """Return the exposures by where they lie."""
        return {facts.location: facts for facts in self.exposures}

    def sharing(self) -> Counter[str]:
        """Count the units that wait for each shared result, by its digest."""
        return Counter(unit.shared for unit in self.units if unit.shared)

    def counts(self) -> Counter[str]:
        """Count the units by their state."""
        return Counter(unit.verdict.state.value for unit in self.units)

    def to_json(self) -> str:
        """Return the plan as JSON text; `PlanError` where an exposure is in memory alone."""
        check_savable(facts.source for facts in self.exposures)
        return _adapter().dump_json(self, indent=1).decode()

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON; it appears whole or not at all.

        Raises
        ------
        PlanError
            If an exposure is in memory alone.
        OutputError
            If it cannot be written there.
        """
        write_text(path, self.to_json())

    @classmethod
    def load(cls, path: str | Path) -> Plan:
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

    def __str__(self) -> str:
        """What will be done, in a few lines."""
        states = ", ".join(f"{number} {state}" for state, number in sorted(self.counts().items()))
        lines = [
            f"Plan of {len(self.units)} units ({states or 'none'}) into {self.output}",
            f"{len(self.exposures)} exposures, {len(self.shared)} shared results",
        ]
        stopped = [unit.verdict.reason for unit in self.units if unit.verdict.error is not None]
        lines += stopped[:MOST_LINES]
        if len(stopped) > MOST_LINES:
            lines.append(f"… and {len(stopped) - MOST_LINES} more")
        lines += summed_up(self.passed_over)
        return "\n".join(lines)

    __repr__ = __str__


def _adapter() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)
