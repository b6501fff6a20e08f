"""Canceling a run from another process, on this host or another: a word left in its folder.

Only the driver writes the ledger, so that whoever cancels asks it to end. A word in a file reaches
a driver wherever it is; signals would not.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bkgflow.campaign.events import Event, Listener, UnitEnded, UnitStarted
from bkgflow.campaign.signals import Stopped, stop_main
from bkgflow.errors import RunError
from bkgflow.io.storage.handed import Desk
from bkgflow.io.storage.holder import Holder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of
from bkgflow.io.storage.owner import Owner, user_name

__all__ = ["DESK_FILE", "cancel_run", "cancelable", "ended_at_once"]

DESK_FILE = ".bkgflow-cancel"
"""Name of the file, in the output folder."""

EVERY = 1.0
"""Seconds between two looks whether a run in a store has ended."""

AT_ONCE = 10.0
"""Seconds after which a driver of this machine is killed that was to end at once."""

AGAIN = 2.0
"""Seconds after which a word is left once more that is not there."""


@dataclass(frozen=True, slots=True)
class _Word:
    """Who asks which run to end, and whether at once."""

    run: str
    by: str
    now: bool

    def to_json(self) -> str:
        return json.dumps({"run": self.run, "by": self.by, "now": self.now})

    @classmethod
    def read(cls, text: str) -> _Word | None:
        """Return what was left; None where it is nothing, or half written."""
        try:
            parts = json.loads(text)
            return cls(str(parts["run"]), str(parts["by"]), bool(parts["now"]))
        except (ValueError, KeyError, TypeError):
            return None


@contextmanager
def cancelable(output: Location, run: str) -> Iterator[Listener]:
    """Heed while a run holds its folder whether it is to end; give a listener of the run.

    In the main thread the run then ends as SIGTERM ends it. In another one, which no signal
    reaches, the listener ends it when the next unit begins or ends.
    """
    desk = Desk(output / DESK_FILE)
    desk.open()
    ended, words = threading.Event(), list[str]()
    main = threading.current_thread() is threading.main_thread()

    def stop(reason: str) -> None:
        if not (main and stop_main(reason)):
            words.append(reason)

    def listen(event: Event) -> None:
        if words and isinstance(event, UnitStarted | UnitEnded):
            reason = words.pop()
            words.clear()
            raise Stopped(signal.SIGTERM, reason)

    watch = threading.Thread(
        target=_heed, args=(desk, run, ended, stop), name="bkgflow-cancel", daemon=True
    )
    watch.start()
    try:
        yield listen
    finally:
        ended.set()
        watch.join()
        desk.close()


def _heed(desk: Desk, run: str, ended: threading.Event, stop: Callable[[str], object]) -> None:
    stopped = False
    while not ended.wait(desk.patience):
        word = _Word.read(desk.read())
        if word is None or word.run != run:
            continue
        if not stopped:
            stopped = True
            stop(f"canceled by {word.by}")
        elif word.now:  # as a second signal
            stop(f"canceled by {word.by}")
            return


def cancel_run(output: Location, *, now: bool = False, timeout: float | None = None) -> bool:
    """Have the run that holds a folder end, and wait until it has; False if there is none.

    Parameters
    ----------
    now : bool
        Give up at once what has begun, too; the next run clears up. A driver of this machine that
        does not end is killed.
    timeout : float or None
        Seconds to wait.

    Raises
    ------
    RunError
        If it has not ended by then; it will.
    OutputError
        If nothing can be written there.
    """
    holder = holder_of(output)
    if holder is None:
        return False
    desk, began = Desk(output / DESK_FILE), time.monotonic()
    wanted, left = _Word(holder.run, f"{user_name()} ({Owner.me().words})", now), -AGAIN
    while _holds(output, holder):
        word, clock = _Word.read(desk.read()), time.monotonic()
        told = word is not None and word.run == holder.run and word.now >= now
        if not told and clock - left >= AGAIN:  # a run that had just begun may have cleared it
            desk.leave(wanted.to_json())
            left = clock
        waited = time.monotonic() - began
        if now and waited > AT_ONCE:
            holder.owner.kill()
        if timeout is not None and waited > timeout:
            raise RunError(
                "A run that is canceled must come to its end",
                file=output,
                value=f"{holder.words}, after {waited:.0f} s",
                cure="Wait: units that have begun come to their end; or end it at once (--now)",
            )
        time.sleep(0.2 if output.is_local else EVERY)
    if not now:  # else it says why the ledger has no end of the run
        desk.close()
    return True


def ended_at_once(output: Location, run: str) -> str:
    """Return who ended a run at once, if its ledger could not take that down; else nothing."""
    word = _Word.read(Desk(output / DESK_FILE).read())
    return f"canceled at once by {word.by}" if word and word.run == run and word.now else ""


def _holds(output: Location, holder: Holder) -> bool:
    now = holder_of(output)
    return now is not None and now.run == holder.run
