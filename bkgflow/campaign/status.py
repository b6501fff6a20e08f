"""How a campaign stands: looked at from any process, also while its run goes on."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum

from bkgflow.campaign.asked import Asked
from bkgflow.campaign.cancel import ended_at_once
from bkgflow.campaign.ledger.figures import LATELY, Figures, Running, figures_of
from bkgflow.campaign.ledger.reader import not_made_yet
from bkgflow.campaign.ledger.rows import RunRow
from bkgflow.campaign.place import PLACE_FILE, Place, open_campaign
from bkgflow.campaign.queued import queued_job
from bkgflow.errors import LedgerError
from bkgflow.io.storage.handed import working_folder
from bkgflow.io.storage.holder import Holder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of
from bkgflow.planning.grouped import Group
from bkgflow.report.campaign_tables import campaign_html, campaign_lines
from bkgflow.verdict import State

__all__ = ["CampaignStatus", "Standing", "status_of"]

LAYOUT = 1
"""Of the status as JSON."""


class Standing(StrEnum):
    """Where a campaign stands."""

    PLANNED = "planned"
    """Nothing runs, and some units were never taken up."""
    QUEUED = "queued"
    """Its driver is a job that waits, or is about to begin."""
    RUNNING = "running"
    STOPPED = "stopped"
    """Its last run ended in order before its end, or was ended at once because somebody asked."""
    DIED = "died"
    """Its last run ended without a word: its driver was killed, or its machine."""
    COMPLETE = "complete"
    """Every unit is COMPLETE or SKIPPED."""
    FAILED = "failed"
    """Its last run came to its end, and some units went wrong."""

    @property
    def going(self) -> bool:
        """Whether it goes on by itself."""
        return self in {Standing.QUEUED, Standing.RUNNING}


@dataclass(frozen=True, slots=True)
class CampaignStatus:
    """How a campaign stands.

    Attributes
    ----------
    campaign : str
        Its id; empty while its first run has not begun yet.
    output : str
        Its output folder.
    state : Standing
        Of the whole of it.
    words : str
        The same in a sentence, with what to do about it.
    counts : dict
        Units by their state; ``total`` of all of them, ``done`` of those that have their end.
    rate : float or None
        Units a minute: over the last minutes of a run that goes on, else over all of it.
    seconds_left : float or None
        Of a run that goes on, at this pace.
    under_way : tuple of Running
        What is computed now, since when and where (the worker, or else its host or cluster, as
        far as is known); of a run that died, what it had begun.
    failures : tuple of Group
        What went wrong: ``state``, ``text``, ``units`` (names), ``files``.
    run, driver, user : str
        Of the latest run: its id, its process and host, who started it.
    started, ended : float or None
        When, in seconds since 1970.
    stopped : str
        Why it ended before its end.
    written : int
        Bytes of the products that are there.
    go_on : str
        The command line that goes on, as it was given, into this folder; empty where it was none.
    """

    campaign: str
    output: str
    state: Standing
    words: str
    counts: Mapping[str, int] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    rate: float | None = None
    seconds_left: float | None = None
    under_way: tuple[Running, ...] = ()
    failures: tuple[Group, ...] = ()
    run: str = ""
    runs: int = 0
    driver: str = ""
    user: str = ""
    started: float | None = None
    ended: float | None = None
    stopped: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    written: int = 0
    go_on: str = ""

    def __str__(self) -> str:
        """Some lines for people."""
        return "\n".join(campaign_lines(self, time.time()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: a bar, the same lines, and what went wrong as a table."""
        return campaign_html(self, time.time())

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON; times in UTC (ISO 8601)."""
        return {
            "layout": LAYOUT,
            "campaign": self.campaign,
            "output": self.output,
            "state": self.state.value,
            "words": self.words,
            "counts": dict(self.counts),
            "done": self.done,
            "total": self.total,
            "rate": self.rate,
            "seconds_left": self.seconds_left,
            "under_way": [
                {
                    "unit": each.unit,
                    "target": each.target,
                    "since": _iso(each.since),
                    "where": each.where,
                }
                for each in self.under_way
            ],
            "failures": [
                {
                    "state": each.state.value,
                    "reason": each.text,
                    "number": len(each.units),
                    "targets": list(each.units),
                    "files": list(each.files),
                }
                for each in self.failures
            ],
            "run": self.run,
            "runs": self.runs,
            "driver": self.driver,
            "user": self.user,
            "started": _iso(self.started),
            "ended": _iso(self.ended),
            "stopped": self.stopped,
            "labels": dict(self.labels),
            "written": self.written,
            "go_on": self.go_on,
        }


def status_of(output: Location) -> CampaignStatus:
    """Look how the campaign of an output folder stands.

    Raises
    ------
    LedgerError
        If there is none, or its ledger cannot be read.
    """
    holder = holder_of(output)
    job = queued_job(output) if holder is None else None
    queued = job.words() if job is not None else ""
    if Place.found(output) is None:
        if queued:
            return CampaignStatus("", str(output), Standing.QUEUED, queued)
        if holder is None:
            raise LedgerError(
                "A campaign must have been run in the output folder",
                file=output,
                value=f"no {PLACE_FILE}",
                cure="Give the output folder of a campaign, or start one: bkgflow submit PROGRAM "
                "--output DIR",
            )
        return _beginning(output, holder)
    try:
        database, reader = open_campaign(output)
    except LedgerError as error:
        if holder is None or not not_made_yet(error):
            raise
        return _beginning(output, holder)
    now = time.time()
    try:
        runs, labels = reader.runs(), reader.labels()
        latest = runs[-1]
        figures = figures_of(reader, latest.run, now)
    finally:
        database.close()
    # One that ends while this is asked has an end in the ledger; one that began has a lock.
    holder = holder_of(output) if holder is None and latest.ended is None else holder
    found = _judged(output, reader.campaign, latest, len(runs), labels, figures, holder, now)
    return replace(found, state=Standing.QUEUED, words=queued) if queued and not holder else found


def _beginning(output: Location, holder: Holder) -> CampaignStatus:
    words = "its run has not begun yet: it waits for its cluster"
    who = holder.owner
    driver = f"{who.pid}@{who.host}"
    state = Standing.RUNNING
    return CampaignStatus(
        "", str(output), state, words, run=holder.run, driver=driver, user=holder.user
    )


def _judged(
    output: Location,
    campaign: str,
    latest: RunRow,
    runs: int,
    labels: Mapping[str, str],
    figures: Figures,
    holder: Holder | None,
    now: float,
) -> CampaignStatus:
    going = holder is not None
    counts, asked = figures.counts, Asked.from_dict(latest.asked).into(output)
    total = sum(counts.values())
    left = counts.get(State.PLANNED.value, 0) + counts.get(State.BLOCKED.value, 0)
    stopped = latest.stopped or ""
    if not going and latest.ended is None:
        stopped = ended_at_once(output, latest.run)
    state = _standing(latest, counts, stopped, going=going)
    rate = _rate(figures, now if going else figures.last, going=going)
    # Of a campaign's units, a run may have been asked for a few.
    to_do = min(counts.get(State.PLANNED.value, 0), max(latest.to_do - figures.ended, 0))
    seconds = to_do / rate * 60 if going and rate else None
    go_on = asked.words(str(working_folder()))
    who = latest.owner if holder is None or holder.run == latest.run else holder.owner
    where = asked.place or (latest.owner.host if asked.cluster else "")
    shown = figures.under_way if going or state == Standing.DIED else ()
    under_way = tuple(replace(each, where=each.where or where) for each in shown)
    return CampaignStatus(
        campaign=campaign,
        output=str(output),
        state=state,
        words=_words(state, latest, stopped, len(figures.under_way), go_on, str(output)),
        counts=dict(sorted(counts.items())),
        done=total - left,
        total=total,
        rate=rate,
        seconds_left=seconds,
        under_way=under_way,
        failures=figures.failures,
        run=latest.run,
        runs=runs,
        driver=f"{who.pid}@{who.host}",
        user=latest.user,
        started=latest.started,
        ended=latest.ended,
        stopped=stopped,
        labels=labels,
        written=figures.written,
        go_on=go_on,
    )


def _standing(latest: RunRow, counts: Mapping[str, int], stopped: str, *, going: bool) -> Standing:
    if going:
        return Standing.RUNNING
    if latest.ended is None and not stopped:
        return Standing.DIED
    if stopped:
        return Standing.STOPPED
    if counts.get(State.PLANNED.value):
        return Standing.PLANNED
    good = all(State(each).good for each, number in counts.items() if number)
    return Standing.COMPLETE if good else Standing.FAILED


def _words(
    state: Standing, latest: RunRow, stopped: str, begun: int, go_on: str, output: str
) -> str:
    once_more = f"bkgflow retry {shlex.quote(output)}"
    again = f"go on with: {go_on or once_more}"
    match state:
        case Standing.RUNNING | Standing.QUEUED:
            return "its run goes on"
        case Standing.DIED:
            flight = f"{begun:,} {'unit' if begun == 1 else 'units'} in flight"
            retry = f", or {once_more}" if go_on else ""
            return f"its driver ({latest.owner.words}) died, {flight}; {again}{retry}"
        case Standing.STOPPED:
            return f"its run ended early: {stopped}; {again}"
        case Standing.PLANNED:
            return f"some units were not taken up yet; {again}"
        case Standing.COMPLETE:
            return "everything is done"
        case Standing.FAILED:
            return f"some units went wrong; when that is mended, {once_more}"


def _rate(figures: Figures, until: float | None, *, going: bool) -> float | None:
    """Return the units a minute; None where nothing can be said of it yet."""
    if figures.first is None or until is None:
        return None
    if not going:
        seconds, number = until - figures.first, figures.ended
    else:
        seconds, number = min(until - figures.first, LATELY), figures.lately
    return number / seconds * 60 if seconds > 0 and number else None


def _iso(when: float | None) -> str | None:
    return None if when is None else datetime.fromtimestamp(when, UTC).isoformat(timespec="seconds")
