"""The verdicts of a run as they come in: looked at, announced, and complete at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bkgflow.campaign.events import Event, Listener, UnitEnded, UnitStarted, UnitTried
from bkgflow.campaign.keeper import Keeper
from bkgflow.campaign.log import log
from bkgflow.campaign.signals import deferred
from bkgflow.clusters.attempts import Attempt
from bkgflow.errors import LedgerError, StorageError
from bkgflow.planning.plan import Plan
from bkgflow.verdict import State, Verdict

__all__ = ["FailFastError", "OutputLostError", "Tally", "announcer"]

BEFORE = "the run ended before its turn"
DURING = "the run ended while it was computed"
"""Why a unit is BLOCKED whose verdict never came."""


class OutputLostError(Exception):
    """The output folder takes no product any more: nothing else of the run need be tried."""

    def __init__(self, error: StorageError) -> None:
        words = "the output folder takes no more products"
        if "://" in (error.file or ""):  # an input or an output: the store says which it is
            words = error.rule[:1].lower() + error.rule[1:]
        super().__init__(f"{words} ({error.value})")


class FailFastError(Exception):
    """A unit is not good, and the run was to end with the first one that is not."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"a unit is {verdict.state}, and the first one ends it (--fail-fast)")


class Tally:
    """Takes down how every unit ends.

    Attributes
    ----------
    verdicts : dict
        By the digests of units, as they came.
    """

    def __init__(
        self,
        run: str,
        plan: Plan,
        announce: Listener,
        look: Callable[[Verdict], Verdict],
        keeper: Keeper | None = None,
        *,
        fail_fast: bool = False,
    ) -> None:
        self._fail_fast = fail_fast
        self.run, self.plan = run, plan
        self.keeper = keeper or Keeper()
        self.verdicts: dict[str, Verdict] = {}
        self.announce, self._look = announce, look
        self.lost: LedgerError | None = None
        self._begun: set[str] = set()

    def refused(self) -> None:
        """Take down the units that the plan has quarantined already."""
        for unit in self.plan.units:
            if unit.verdict.state == State.QUARANTINED:
                self._keep(unit.digest, unit.verdict)
                self._end_early(unit.verdict)

    def tried(self, unit: str, attempt: Attempt) -> None:
        """Take down an attempt at a unit, which has ended."""
        try:
            self.keeper.tried(unit, attempt)
        except LedgerError as error:
            self.lost = error
        self.announce(UnitTried(self.run, unit, attempt))

    def start(self, unit: str) -> None:
        """Take down that a unit begins."""
        self._begun.add(unit)
        self.keeper.begun(unit)
        self.announce(UnitStarted(self.run, unit))

    def end(self, unit: str, verdict: Verdict) -> None:
        """Take down how a unit ended: the first that is heard of it counts.

        Raises
        ------
        OutputLostError
            If no other can end better: the disk is full, gone or read-only.
        LedgerError
            If nothing can be taken down any more.
        FailFastError
            If it is not good, and the run was to end with the first such unit.
        """
        if unit in self.verdicts:
            return
        seen = self._look(verdict)
        with deferred():  # a signal must not come between a verdict and its announcement
            self._keep(unit, seen)
        if isinstance(seen.error, StorageError):
            raise OutputLostError(seen.error)
        if self.lost is not None:
            raise self.lost
        self._end_early(seen)

    def _end_early(self, verdict: Verdict) -> None:
        if self._fail_fast and not verdict.state.good:
            raise FailFastError(verdict)

    def close(self, reason: str) -> None:
        """Take down that the units which are left were never done, and why."""
        why = f": {reason}" if reason else ""
        for unit in self.plan.units:
            if unit.digest not in self.verdicts:
                word = DURING if unit.digest in self._begun else BEFORE
                self._keep(unit.digest, Verdict.blocked(word + why))

    def amend(self, now: Callable[[Verdict], Verdict]) -> None:
        """Take down how units stand at the end whose products did not stay where they were."""
        for unit, verdict in list(self.verdicts.items()):
            if (found := now(verdict)) is not verdict:
                self._keep(unit, found)

    def in_order(self) -> tuple[Verdict, ...]:
        """Return the verdicts in the plan's order; every unit must have one."""
        return tuple(self.verdicts[unit.digest] for unit in self.plan.units)

    def _keep(self, unit: str, verdict: Verdict) -> None:
        self.verdicts[unit] = verdict
        try:
            self.keeper.ended(unit, verdict)
        except LedgerError as error:
            self.lost = error
        self.announce(UnitEnded(self.run, unit, verdict))


def announcer(listeners: Iterable[Listener]) -> Listener:
    """Tell every listener what happens; one that fails is told no more, and stops no run."""
    told = list(listeners)

    def announce(event: Event) -> None:
        for listener in tuple(told):
            try:
                listener(event)
            except Exception:
                told.remove(listener)
                log.exception("a listener of the run failed and is told no more: %r", listener)

    return announce
