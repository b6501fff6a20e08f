"""One run of a campaign beside its ledger: what it takes up, and how each unit ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from bkgflow.campaign.keeper import Closed, Keeper
from bkgflow.campaign.ledger.lasting import see_that_it_lasts
from bkgflow.campaign.ledger.opening import Database, open_database
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.register import Entry
from bkgflow.campaign.ledger.rows import Kept, KeptFile, RunRow
from bkgflow.campaign.ledger.writer import Writer
from bkgflow.campaign.place import PLACE_FILE, Place
from bkgflow.campaign.resume import Choice, Choices, Resume, choose_units
from bkgflow.clusters.attempts import Attempt
from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.kept import KeptFacts
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner, user_name
from bkgflow.io.storage.space import name_in
from bkgflow.planning.plan import Plan
from bkgflow.verdict import Verdict

__all__ = ["Session", "open_session", "preview"]


@dataclass
class Session(Keeper):
    """A run of a campaign, while it holds the output folder.

    Attributes
    ----------
    whole, plan : Plan
        Of all units of the program, and of those that are asked for.
    choices : Choices
        What the run takes up of them.
    """

    whole: Plan
    plan: Plan
    choices: Choices
    writer: Writer
    place: Place
    labels: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, object] = field(default_factory=dict)

    @property
    def to_do(self) -> Plan:
        """The plan of the units that the run takes up."""
        return self.plan.only({each.unit.digest for each in self.choices.to_do})

    @property
    def earlier(self) -> dict[str, Verdict]:
        """How the units ended that are left as they are, by the digests of their keys."""
        return {
            each.unit.digest: each.kept.verdict
            for each in self.choices.left
            if each.kept is not None and each.kept.verdict is not None
        }

    def begin(self) -> None:
        """Take down that the run begins; from here on it counts.

        Raises
        ------
        LedgerError
            If the ledger does not take it.
        """
        self.place.save()
        row = RunRow(
            run=self.writer.run,
            version=self.plan.version,
            owner=Owner.me(),
            user=user_name(),
            started=time.time(),
            to_do=len(self.choices.to_do),
            kept=len(self.choices.left),
            settings=self.plan.settings.model_dump(mode="json"),
            asked=self.asked,
        )
        with suppress(BkgflowError):  # the next plan then looks at all files again
            folder = self.plan.output
            KeptFacts.read(folder).keep(folder, self.whole.exposures)
        entries = [Entry(each.unit, each.why) for each in self.choices.to_do]
        self.writer.begin(row, self.whole, str(self.plan.output), entries, self.labels)
        for each in self.choices.left:
            self._left(each)

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know about the ledger."""
        return self.writer.notes

    def _left(self, choice: Choice) -> None:
        """Take down what is newly known of a unit that stays as it is."""
        self.writer.seen(choice.stale)
        if choice.more_known:  # checksums of the same inputs, or their times on this disk
            self.writer.keyed(choice.unit)

    def end(self, stopped: str) -> Closed:
        """Take down how the run ended, if it began; return what is kept of it.

        Parameters
        ----------
        stopped : str
            Why it ended; empty where it came to its end.
        """
        if not self.writer.began:
            return Closed()
        self.writer.end(stopped)
        problem: BkgflowError | None = self.writer.problem
        mended: list[str] = []
        try:
            mended += self._campaign_again()
            database, campaign = self.writer.database, self.place.campaign
            mended += see_that_it_lasts(database, self.plan.output, campaign, self.writer.run)
        except BkgflowError as error:
            problem = problem or error
        words = f"the ledger does not have the end of this run: {problem}" if problem else ""
        return Closed(words, tuple(mended))

    def _campaign_again(self) -> Iterator[str]:
        """Write the file again that says where the ledger is, if it was removed."""
        if Place.found(self.plan.output) is None:
            self.place.save()
            yield f"{PLACE_FILE} was removed while the run went on, and was written again"

    def begun(self, unit: str) -> None:
        """Take down that a unit begins, by the digest of its key."""
        self.writer.begun(unit)

    def tried(self, unit: str, attempt: Attempt) -> None:
        """Take down an attempt at it: what nobody could measure is left open."""

        def measured(number: int) -> int | None:
            return None if number < 0 else number

        self.writer.tried(
            unit,
            {
                "number": attempt.number,
                "worker": attempt.process or attempt.worker,
                "host": attempt.host,
                "started": attempt.started.timestamp(),
                "seconds": attempt.seconds,
                "read": measured(attempt.read),
                "written": measured(attempt.written),
                "peak_memory": measured(attempt.peak),
                "state": attempt.state,
                "reason": attempt.reason,
                "log": "\n".join(attempt.log),
            },
        )

    def ended(self, unit: str, verdict: Verdict) -> None:
        """Take down how it ended, and its files as they are on the disk now."""
        self.writer.ended(unit, verdict, self._files(unit, verdict))

    def _files(self, unit: str, verdict: Verdict) -> Iterator[KeptFile]:
        sizes = verdict.sizes or (-1,) * len(verdict.products)
        checksums = verdict.checksums or ("",) * len(verdict.products)
        for path, size, checksum in zip(verdict.products, sizes, checksums, strict=True):
            file = Location.of(path)
            stamp = file.stamp()
            if stamp is not None:
                yield KeptFile(
                    name_in(self.plan.output, file), size, stamp.mtime_ns, checksum, unit
                )

    def said(self, words: str) -> None:
        """Take down what was said of the run as a whole."""
        self.writer.said(words)


@contextmanager
def open_session(
    plan: Plan,
    run: str,
    resume: Resume,
    *,
    ledger: str = "",
    labels: Mapping[str, str] | None = None,
    asked: Mapping[str, object] | None = None,
) -> Iterator[Session]:
    """Open a campaign's ledger for a run that holds its output folder; decide what it takes up.

    Raises
    ------
    LedgerError
        If the ledger cannot be used.
    """
    place = Place.of(plan.output, ledger).with_stores(plan.outputs.store)
    with ExitStack() as stack:
        database = _there(place)
        known: Iterable[Kept] = ()
        if database is not None:
            stack.callback(database.close)
            place = place.in_database(database)
            place.check_alone(database)
            # A ledger that was told is another than before: it may know the campaign or not.
            known = Reader(database, place.campaign, plan.output).units(all_of_them=True)
        choices = choose_units(plan, known, resume)
        wanted = plan.only({each.unit.digest for each in choices.units}) if resume.only else plan
        writer = Writer(place.campaign, run, partial(_opened, stack, place, database))
        stack.callback(writer.close)
        yield Session(plan, wanted, choices, writer, place, labels or {}, asked or {})


def _there(place: Place) -> Database | None:
    """Open the ledger that is there; None where the run makes it, if it comes to begin."""
    url = place.database
    if url.get_backend_name() == "sqlite" and not Location.of(str(url.database)).exists():
        return None
    return open_database(url, write=True)


def _opened(stack: ExitStack, place: Place, database: Database | None) -> Database:
    if database is None:
        database = open_database(place.database, write=True)
        stack.callback(database.close)
    return database


def preview(plan: Plan, resume: Resume, ledger: str = "") -> Choices:
    """Decide what a run would take up, and write nothing.

    Raises
    ------
    LedgerError
        If there is a ledger that cannot be read.
    """
    place = Place.of(plan.output, ledger)
    known: Iterable[Kept] = ()
    url = place.database
    if url.get_backend_name() != "sqlite" or Location.of(str(url.database)).exists():
        database = open_database(url, write=False)
        try:
            place = place.in_database(database)
            known = Reader(database, place.campaign, plan.output).units(all_of_them=True)
        finally:
            database.close()
    return choose_units(plan, known, resume)
