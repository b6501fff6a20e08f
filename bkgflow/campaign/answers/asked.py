"""A campaign that is asked something: its ledger opened to be read, and whether a run goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.place import open_campaign
from bkgflow.errors import OutputError
from bkgflow.io.storage.holder import Holder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of

__all__ = ["Tell", "asked", "is_own", "not_running", "running", "side_by_side", "time_of"]

Tell = Callable[[int, int], object]
"""Told how many of how many are done."""

AT_ONCE = 8
"""Files that are read side by side: disks of a network answer several questions at a time."""

OWN = re.compile(r"\.?bkgflow([-.].*)?")
"""Names of what bkgflow itself keeps in an output folder, beside products."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@contextmanager
def asked(output: Location) -> Iterator[Reader]:
    """Open the ledger of a campaign to read it; nothing is locked.

    Raises
    ------
    LedgerError
        If there is none, or it cannot be read.
    """
    database, reader = open_campaign(output)
    try:
        yield reader
    finally:
        database.close()


def running(output: Location) -> str:
    """Say which run goes on in an output folder; empty where none does."""
    holder = holder_of(output)
    return "" if holder is None else f"a run goes on: {holder.words}"


def not_running(output: Location) -> None:
    """Refuse an output folder in which a run goes on.

    Raises
    ------
    OutputError
        If one does.
    """
    holder: Holder | None = holder_of(output)
    if holder is not None:
        raise OutputError(
            "An output folder must be left alone while a run goes on",
            file=output,
            value=holder.words,
            cure="Wait until it has ended, or stop it",
        )


def is_own(name: str) -> bool:
    """Whether bkgflow itself keeps a file of this name in an output folder, beside products."""
    return OWN.fullmatch(name) is not None


def time_of(seconds: float | None) -> str:
    """Return a time as people and programs read it: UTC, ISO 8601; empty where there is none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def side_by_side(
    ask: Callable[[Item], Answer], items: Iterable[Item], tell: Tell | None = None
) -> list[Answer]:
    """Ask the same of several items at a time, in threads; return the answers in their order."""
    work = list(items)
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bkgflow-read") as pool:
        waiting = [pool.submit(ask, each) for each in work]
        try:
            for number, each in enumerate(as_completed(waiting), 1):
                each.result()
                if tell is not None:
                    tell(number, len(work))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [each.result() for each in waiting]
