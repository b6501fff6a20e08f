"""A plan: everything that a run will do, frozen and checked before anything is computed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bkgflow.detector import Window
from bkgflow.errors import BkgflowError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.products.describe import write_text
from bkgflow.kinds.inputs import FitInputs
from bkgflow.outcome import Outcome
from bkgflow.settings import Mode, StepSettings
from bkgflow.verdict import State, Verdict

__all__ = ["CombinedPlan", "Costs", "FitPlan", "Plan", "Unit"]


@dataclass(frozen=True, slots=True)
class CombinedPlan:
    """A combined background that will be computed once.

    Attributes
    ----------
    key : str
        Hash of its members' identities, the window, the clip and bkgflow's version.
    window : Window
        The detector window of the targets it serves.
    members : tuple of str
        Paths of the background exposures, sorted.
    """

    key: str
    window: Window
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FitPlan:
    """A SOSS fit that will be made once, for the segments that it rests on.

    Attributes
    ----------
    key : str
        Hash of its members' and the reference's identities, the settings and bkgflow's version.
    members : tuple of str
        Paths of the segments, in the order of time.
    background : str
        Path of the sky library.
    """

    key: str
    members: tuple[str, ...]
    background: str


@dataclass(frozen=True, slots=True)
class Unit:
    """One product of one association.

    Attributes
    ----------
    key : str
        Hash of all that determines the result. Same key, same result.
    association, product : str
        Where it was asked for.
    target : str
        Path of the science exposure.
    output : str
        File name of the product, within the plan's output folder.
    mode : "image", "wfss" or "soss"
        The method, by the exposure's type.
    combined : str or None
        Key of the combined background that it waits for.
    fit : str or None
        Key of the SOSS fit that it waits for.
    inputs : FitInputs or None
        What a WFSS or SOSS fit reads beside the exposure.
    outcome : Outcome or None
        What is already known: SKIPPED or QUARANTINED; None means it will be computed.
    reason : str
        Why, in a sentence.
    error : dict or None
        The parts of the error of a QUARANTINED unit.
    notes : tuple of str
        What a user should know about how the members were read.
    """

    key: str
    association: str
    product: str
    target: str
    output: str
    mode: Mode = "image"
    combined: str | None = None
    fit: str | None = None
    inputs: FitInputs | None = None
    outcome: Outcome | None = None
    reason: str = ""
    error: dict[str, str | None] | None = None
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """What stands for the key: the unit's name in events and graphs."""
        return self.key

    @property
    def name(self) -> str:
        """File name of the target; of the association, where no target is known."""
        return Path(self.target).name

    @property
    def verdict(self) -> Verdict:
        """What is already known."""
        error = None if self.error is None else BkgflowError.from_dict(self.error)
        return Verdict(State(self.outcome or "PLANNED"), self.reason, error)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a plan promises, in bytes.

    Attributes
    ----------
    read, written : int
        From and to disk, all units together.
    combine_task, subtract_task : int
        Most memory that one task of either kind holds.
    """

    read: int
    written: int
    combine_task: int
    subtract_task: int

    @property
    def task(self) -> int:
        """Most memory that any task holds."""
        return max(self.combine_task, self.subtract_task)


@dataclass(frozen=True, slots=True)
class Plan:
    """A program's work, decided. `bkgflow.show` prints it as a table; `save` keeps it as JSON.

    Attributes
    ----------
    version : str
        Of bkgflow.
    output : str
        Folder of the products.
    settings : StepSettings
        The step's arguments.
    memory : int
        Bytes that the strips of a combine task may hold.
    exposures : tuple of ExposureFacts
        Every exposure that is read, once.
    combined : tuple of CombinedPlan
        Every combined background, once.
    fits : tuple of FitPlan
        Every SOSS fit, once.
    units : tuple of Unit
        In the order of the associations.
    costs : Costs
        What the run will move and hold.
    """

    version: str
    output: str
    settings: StepSettings
    memory: int
    exposures: tuple[ExposureFacts, ...]
    combined: tuple[CombinedPlan, ...]
    fits: tuple[FitPlan, ...]
    units: tuple[Unit, ...]
    costs: Costs

    def facts(self) -> dict[str, ExposureFacts]:
        """Return the exposures by path."""
        return {facts.path: facts for facts in self.exposures}

    def sharing(self) -> Counter[str]:
        """Count the targets of each combined background, by its key."""
        return Counter(unit.combined for unit in self.units if unit.combined)

    def output_path(self, unit: Unit) -> Path:
        """Return where a unit's product will be."""
        return Path(self.output) / unit.output

    def to_json(self) -> str:
        """Return the plan as JSON text."""
        return _adapter().dump_json(self, indent=1).decode()

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON.

        Raises
        ------
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
            loaded: Plan = _adapter().validate_json(Path(path).read_bytes())
        except (OSError, ValidationError) as problem:
            raise PlanError(
                "A saved plan is a JSON file that bkgflow wrote",
                file=path,
                value=str(problem).splitlines()[0],
                cure="Plan the program again",
            ) from None
        return loaded

    def __str__(self) -> str:
        """What will be done, in a few lines."""
        counts = Counter(unit.verdict.state.value for unit in self.units)
        states = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
        return f"Plan of {len(self.units)} units ({states or 'none'}) into {self.output}"


def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Plan)
