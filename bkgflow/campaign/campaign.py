"""A campaign as a value of Python: found by its output folder, from any process."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bkgflow.campaign.asked import Asked
from bkgflow.campaign.detached import Request, Submitted
from bkgflow.campaign.driver_job import submit_request
from bkgflow.campaign.ledger.rows import Kept
from bkgflow.campaign.looking import look_again
from bkgflow.campaign.place import Place, open_campaign
from bkgflow.campaign.progress import Cell, notebook_cell
from bkgflow.campaign.queued import cancel_campaign
from bkgflow.campaign.retrying import again, submit_again
from bkgflow.campaign.status import CampaignStatus, Standing, status_of
from bkgflow.clusters.handover import revived
from bkgflow.errors import LedgerError, RunError, UsageError
from bkgflow.io.fits.as_table import as_table
from bkgflow.io.storage.folders import folder_of
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.planning.frames import Row, frame_of
from bkgflow.planning.plan import Plan

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

__all__ = ["Campaign", "retry_plan", "wait_for"]

EVERY = 1.0
"""Seconds between two looks at a run that goes on."""

SELDOM = 10.0
"""Seconds between two looks at a job that waits: its batch system has others to answer."""

COLUMNS = (
    "unit", "target", "state", "reason", "product", "size", "checksum", "kind", "association",
    "why", "run", "worker", "begun", "ended",
)  # fmt: skip

EVENTS = ("time", "run", "unit", "event", "state", "words", "worker")


class Campaign:
    """A campaign: what runs, or ran, into an output folder.

    Nothing of it lives in this process. In a notebook it shows how it stands, and goes on to show
    it while its run goes on.
    """

    def __init__(self, output: Location) -> None:
        self._output = output

    @classmethod
    def open(cls, output: PathLike) -> Campaign:
        """Find the campaign of an output folder.

        Raises
        ------
        LedgerError
            If there is none.
        """
        found = cls(folder_of(output))
        found.status()
        return found

    @property
    def output(self) -> Path | Location:
        """The output folder: a path, or the location of a URL."""
        return self._output.as_path()

    @property
    def id(self) -> str:
        """Its id; empty while its first run has not begun yet."""
        place = Place.found(self._output)
        return place.campaign if place else ""

    def status(self) -> CampaignStatus:
        """Look how it stands.

        Raises
        ------
        LedgerError
            If it is not there any more, or its ledger cannot be read.
        """
        return status_of(self._output)

    def wait(self, timeout: float | None = None) -> CampaignStatus:
        """Wait until nothing runs any more; return how it stands then.

        Raises
        ------
        TimeoutError
            If it still runs after so many seconds.
        """
        status = wait_for(self._output, timeout)
        if status.state.going:
            raise TimeoutError(f"the campaign still runs after {timeout} s: {status.output}")
        return status

    def cancel(self, *, now: bool = False) -> CampaignStatus:
        """End its run in order, wherever its driver is, and wait until it has ended.

        Units that have begun come to their end, unless ``now`` says otherwise. Where nothing
        runs, nothing is done.
        """
        cancel_campaign(self._output, now=now)
        return self.status()

    def retry(self) -> Campaign:
        """Run it again by itself, in its folder as it lies now: what is left, and what went wrong.

        Raises
        ------
        UsageError
            If it is not known how, because it was run by `bkgflow.run`; or the folder in which
            its command was given is not there any more.
        """
        asked = again(self._output)
        if asked.command:
            done = submit_again(asked, capture=True)
            if done.returncode:
                raise RunError(
                    "A campaign must be able to start again",
                    file=self._output,
                    value=done.stderr.strip()[-1000:],
                    cure="Mend what it says",
                )
        else:
            retry_plan(self._output, asked)
        return self

    def results(self, kind: str = "pandas") -> pd.DataFrame | Table:
        """Return every unit as a table, in the plan's order.

        Columns: unit (str, its name in the ledger), target (str), state (str), reason (str),
        product (str, the path; empty where there is none), size (int, bytes of it), checksum
        (str), kind (str), association (str), why (str, why it was last taken up), run (str),
        worker (str), begun and ended (float, seconds since 1970; NaN where that never was).

        Parameters
        ----------
        kind : "pandas" or "astropy"
            A `pandas.DataFrame`, or an `astropy.table.Table`.
        """
        if kind not in {"pandas", "astropy"}:
            raise UsageError(
                "A table must be one of: pandas, astropy", value=kind, cure="Give one of these"
            )
        database, reader = open_campaign(self._output)
        try:
            rows = [_row(each) for each in reader.units()]
        finally:
            database.close()
        return frame_of(rows, COLUMNS) if kind == "pandas" else as_table(rows, COLUMNS)

    def events(self) -> pd.DataFrame:
        """Return what happened, in order, as a pandas table.

        Columns: time (float, seconds since 1970), run (str), unit (str), event (str), state
        (str), words (str), worker (str).
        """
        database, reader = open_campaign(self._output)
        try:
            rows = reader.events()
        finally:
            database.close()
        return frame_of([{name: each[name] for name in EVENTS} for each in rows], EVENTS)

    def __str__(self) -> str:
        """How it stands, in some lines."""
        return str(self.status())

    def __repr__(self) -> str:
        """Short: where it is."""
        return f"<Campaign {self.id or 'that begins'} in {self._output}>"

    def _repr_html_(self) -> str:
        """How it stands now."""
        return self.status()._repr_html_()

    def _ipython_display_(self) -> None:
        """Show how it stands, and in a notebook again and again while its run goes on."""
        cell = notebook_cell()
        if cell is None:
            print(self)
            return
        status = self.status()
        cell(status._repr_html_())
        if status.state.going:
            threading.Thread(target=self._live, args=(cell,), daemon=True).start()

    def _live(self, cell: Cell) -> None:
        going = True
        while going:
            time.sleep(EVERY)
            found = look_again(self._output)
            if isinstance(found, CampaignStatus):
                going = found.state.going
                cell(found._repr_html_())


def wait_for(output: Location, timeout: float | None = None) -> CampaignStatus:
    """Wait until nothing runs in an output folder, or for so many seconds; return how it stands."""
    if timeout is not None and not timeout >= 0:  # NaN among others
        raise UsageError(
            "A time to wait must be 0 seconds or more",
            value=f"timeout={timeout}",
            cure="Give seconds, or None for as long as it takes",
        )
    deadline = None if timeout is None else time.monotonic() + timeout
    pause = 0.1
    while True:
        found = look_again(output)
        queued = isinstance(found, CampaignStatus) and found.state == Standing.QUEUED
        if isinstance(found, CampaignStatus) and not found.state.going:
            return found
        left = pause if deadline is None else min(pause, deadline - time.monotonic())
        if left <= 0:
            if isinstance(found, LedgerError):
                raise found
            return found
        time.sleep(left)
        pause = min(2 * pause, SELDOM if queued else EVERY)


def retry_plan(output: Location, asked: Asked) -> Submitted:
    """Run a campaign again by the plan that was kept of it."""
    plan = Plan.load(output / asked.plan)
    if not plan.output.is_same(output):
        plan = plan.into(output)
    options = dict(asked.options) | {"retry_failed": True, "fresh": False}
    # What is left is all of it; and where its ledger is the folder knows, wherever it lies now.
    options = {name: value for name, value in options.items() if name not in {"only", "ledger"}}
    return submit_request(Request(plan, asked.cluster, options, asked), revived(asked.cluster))


def _row(kept: Kept) -> Row:
    verdict, file = kept.verdict, next(iter(kept.files), None)
    return {
        "unit": kept.unit,
        "target": kept.target,
        "state": kept.state.value,
        "reason": verdict.reason if verdict else "",
        "product": next(iter(verdict.products), "") if verdict else "",
        "size": file.size if file else 0,
        "checksum": file.checksum if file else "",
        "kind": kept.kind,
        "association": kept.association,
        "why": kept.why,
        "run": kept.run,
        "worker": verdict.worker if verdict else "",
        "begun": float("nan") if kept.begun is None else kept.begun,
        "ended": float("nan") if kept.ended is None else kept.ended,
    }
