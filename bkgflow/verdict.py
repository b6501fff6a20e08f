"""How a unit stands: one closed set of states, and one value that says it with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from bkgflow.errors import BkgflowError, OutputError
from bkgflow.record import Record, history

__all__ = ["Passing", "State", "Verdict"]

MOST = 200
"""Letters of a reason at a prompt."""


class State(StrEnum):
    """Where a unit stands. COMPLETE, SKIPPED and FAILED go into ``S_BKDSUB`` of its product."""

    PLANNED = "PLANNED"
    """To be done: nothing speaks against it, and nothing has happened yet."""

    COMPLETE = "COMPLETE"
    """The background was subtracted and the product written."""

    SKIPPED = "SKIPPED"
    """A rule says that there is nothing to subtract; the product is the unchanged exposure."""

    FAILED = "FAILED"
    """The method ran and found no usable fit; the product is written, its data unchanged."""

    QUARANTINED = "QUARANTINED"
    """An input is bad: no product, and an error that names file, rule, value and cure."""

    BLOCKED = "BLOCKED"
    """Not done, through no fault of its inputs: the run ended before its turn, lost its cluster,
    or the disk took no product; run again."""

    @property
    def good(self) -> bool:
        """Whether the campaign may go on as if nothing had happened."""
        return self in {State.COMPLETE, State.SKIPPED}


class Passing(StrEnum):
    """What was at fault that may be gone at another attempt, or on another worker."""

    MEMORY = "memory"
    """A task did not find the memory that it needs."""

    DISK = "disk"
    """A read or a write failed in a way that network file systems recover from."""


Error = Annotated[
    BkgflowError,
    PlainValidator(lambda v: v if isinstance(v, BkgflowError) else BkgflowError.from_dict(v)),
    PlainSerializer(lambda error: error.to_dict()),
]
"""An error that goes into JSON by its parts, and comes back whole."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a unit stands, or ended.

    It is what the headers decide, what a task returns, what a product says of itself, and what
    events and results carry.

    Attributes
    ----------
    state : State
        The word for it.
    reason : str
        Why, in a sentence; empty for PLANNED and COMPLETE.
    error : BkgflowError or None
        Of a QUARANTINED unit; of a BLOCKED one, where something was wrong with it alone.
    record : Record or None
        What was done; None where no product says it.
    products : tuple of str
        Where the files are that were published: the product first.
    sizes : tuple of int
        Of these files in bytes, as the worker saw them; -1 for what is no file.
    checksums : tuple of str
        Of these files, as the worker wrote them; empty for what is no file.
    worker : str
        Who published them: a process and its host.
    passing : Passing or None
        Why another attempt may end better; None where it would end the same.
    """

    state: State
    reason: str = ""
    error: Error | None = None
    record: Record | None = None
    products: tuple[str, ...] = ()
    sizes: tuple[int, ...] = field(default=(), compare=False)
    worker: str = field(default="", compare=False)
    checksums: tuple[str, ...] = field(default=(), compare=False)
    passing: Passing | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        """Short: the record has hundreds of values."""
        reason = f": {self.reason}" if len(self.reason) <= MOST else f": {self.reason[:MOST]}…"
        return f"<Verdict {self.state}{reason if self.reason else ''}>"

    @classmethod
    def quarantined(cls, error: BkgflowError) -> Verdict:
        """Return the verdict on a unit that an error stops."""
        return cls(State.QUARANTINED, error.message, error)

    @classmethod
    def planned(cls) -> Verdict:
        """Return the verdict on a unit against which nothing speaks."""
        return cls(State.PLANNED)

    @classmethod
    def skipped(cls, reason: str) -> Verdict:
        """Return the verdict on a unit for which a rule says that there is nothing to subtract."""
        return cls(State.SKIPPED, reason)

    @classmethod
    def blocked(cls, reason: str | BkgflowError) -> Verdict:
        """Return the verdict on a unit that is not done for a reason that is not its inputs'."""
        if isinstance(reason, BkgflowError):
            return cls(State.BLOCKED, reason.message, reason)
        return cls(State.BLOCKED, reason)

    @classmethod
    def stopped_by(cls, error: BkgflowError) -> Verdict:
        """Return the verdict on a unit that an error stops: whose fault it is, the error says."""
        return cls.blocked(error) if isinstance(error, OutputError) else cls.quarantined(error)

    @property
    def to_do(self) -> bool:
        """Whether the unit is still to be done."""
        return self.state == State.PLANNED

    def to_tree(self) -> dict[str, object]:
        """Return what a product says in ``meta.bkgflow``."""
        record = {} if self.record is None else self.record.to_tree()
        return {"state": self.state.value, "reason": self.reason, **record}

    @property
    def history(self) -> list[str]:
        """The same in words, for the FITS HISTORY."""
        record = {} if self.record is None else self.record.to_dict()
        return history({"state": self.state.value, "reason": self.reason, **record})

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Verdict:
        """Read what a product says of itself.

        Raises
        ------
        ValueError
            If it names no state.
        """
        # "outcome" is the name in products of layout 1.
        state = State(str(tree.get("state") or tree.get("outcome")))
        return cls(state, str(tree.get("reason", "")), record=Record.from_tree(tree))

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values; NaN stays NaN, which `json` writes and reads."""
        return {
            "state": self.state.value,
            "reason": self.reason,
            "error": None if self.error is None else self.error.to_dict(),
            "record": None if self.record is None else self.record.to_tree(),
            "products": list(self.products),
            "sizes": list(self.sizes),
            "worker": self.worker,
            "checksums": list(self.checksums),
        }

    @classmethod
    def from_dict(cls, parts: Mapping[str, Any]) -> Verdict:
        """Return the verdict that `to_dict` took apart."""
        error, record = parts["error"], parts["record"]
        return cls(
            State(parts["state"]),
            parts["reason"],
            None if error is None else BkgflowError.from_dict(error),
            None if record is None else Record.from_tree(record),
            tuple(parts["products"]),
            tuple(parts.get("sizes", ())),
            parts.get("worker", ""),
            tuple(parts.get("checksums", ())),
        )

    def published(
        self,
        products: tuple[str, ...],
        sizes: tuple[int, ...] = (),
        worker: str = "",
        checksums: tuple[str, ...] = (),
    ) -> Verdict:
        """Return the verdict with the files that are now there, and who made them appear."""
        return replace(self, products=products, sizes=sizes, worker=worker, checksums=checksums)
