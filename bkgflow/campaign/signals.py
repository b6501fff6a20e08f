"""Signals that end a run: the first one ends it in order, a second one at once.

They reach Python in the main thread alone. A run in another thread is not stopped by them.
"""

from __future__ import annotations

import _thread
import _weakrefset
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bkgflow.campaign.result import RunResult

__all__ = ["SIGNALS", "Stopped", "deferred", "exit_code", "received", "stop_main", "stoppable"]

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C; what a batch system sends first; the terminal was closed."""

AGAIN = 0.02
"""Seconds after which a signal is sent once more that came where nothing can be raised."""

CALLED_BACK = (weakref.__file__, _weakrefset.__file__)
"""Files whose functions are called when an object goes."""

Handler = Callable[[int, FrameType | None], object] | int | None


class Stopped(KeyboardInterrupt):
    """A signal came that ends the program; ``result`` is how far the run got, if one was on."""

    def __init__(self, number: int, words: str = "") -> None:
        self.number = number
        self.result: RunResult | None = None
        super().__init__(words or f"stopped by {signal.Signals(number).name}")


class _Desk:
    """Where signals arrive: which came, whether they may interrupt now, who had them before."""

    def __init__(self) -> None:
        self.number = 0
        self.holds = 0
        self.waiting = False
        self.at_once = False
        self.unheard = False
        self.words = ""
        self.before: dict[int, Handler] = {}

    def take(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.number and not self.unheard:
            self.end(number)
            return
        self.number, self.unheard = number, _ignores_errors(frame)
        if self.unheard:
            # Not by `threading`: the lock under which it starts threads may be this thread's now.
            _thread.start_new_thread(self.send_again, (number,))
            return
        if self.holds:
            self.waiting = True
            return
        raise Stopped(number, self.words)

    def send_again(self, number: int) -> None:
        """Send a signal that came where nothing can be raised, if a run is still on."""
        time.sleep(AGAIN)
        if self.unheard:
            _signal_main(number)

    def end(self, number: int) -> None:
        """Handle a second one: end the process here and now, or as it would have without us."""
        if self.at_once:
            with suppress(OSError):
                os.write(2, b"\nbkgflow: stopped at once; the next run clears up\n")
            os._exit(exit_code(number))
        before = self.before.get(number)
        if callable(before):
            before(number, None)
        elif before == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def release(self) -> None:
        """Let a signal interrupt that came while none might."""
        self.holds -= 1
        if self.waiting and not self.holds:
            self.waiting = False
            raise Stopped(self.number, self.words)


_desk = _Desk()


def exit_code(number: int) -> int:
    """Return how shells say that a program was ended by a signal."""
    return 128 + number


def received() -> int:
    """Return the signal that ends the program; 0 if none came."""
    return _desk.number


def stop_main(words: str) -> bool:
    """Have the run of the main thread end as SIGTERM ends it, for a reason in words.

    Called in another thread. False where bkgflow handles no signals there.
    """
    if signal.SIGTERM not in _desk.before:
        return False
    _desk.words = _desk.words or words
    _signal_main(signal.SIGTERM)
    return True


def _signal_main(number: int) -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, number)


def _ignores_errors(frame: FrameType | None) -> bool:
    """Whether the main thread is where Python shows what is raised, and goes on without it."""
    while frame is not None:
        code, frame = frame.f_code, frame.f_back
        if code.co_name == "__del__" or code.co_filename in CALLED_BACK:
            return True
    return False


@contextmanager
def stoppable(*, at_once: bool = False) -> Iterator[None]:
    """Have a signal raise `Stopped` in the main thread; in another one nothing is changed.

    What is ignored stays ignored (``nohup``), and handlers of others stay theirs.

    Parameters
    ----------
    at_once : bool
        For a command: a second signal ends the process there and then. Without it, in a notebook
        or a script, a second one does what it would have done before; and after all is in order
        the first one, where it was not Ctrl-C, ends the script.

    Raises
    ------
    SystemExit
        As said, with the exit code that shells know for the signal.
    """
    if threading.current_thread() is not threading.main_thread() or _desk.before:
        yield
        return
    ours = (signal.SIG_DFL, signal.default_int_handler)
    _desk.before = {n: h for n in SIGNALS if (h := signal.getsignal(n)) in ours}
    _desk.number, _desk.holds, _desk.waiting, _desk.at_once = 0, 0, False, at_once
    _desk.words, _desk.unheard = "", False
    for number in _desk.before:
        signal.signal(number, _desk.take)
    try:
        yield
    except Stopped as stop:
        if at_once or stop.number == signal.SIGINT:
            raise
        raise SystemExit(exit_code(stop.number)) from stop
    finally:
        _desk.unheard = False
        for number, handler in _desk.before.items():
            signal.signal(number, handler)
        _desk.before = {}


@contextmanager
def deferred() -> Iterator[None]:
    """Keep a signal waiting until this has ended: what is half done would be lost."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _desk.holds += 1
    try:
        yield
    except BaseException:
        _desk.holds -= 1
        _desk.waiting = _desk.waiting and bool(_desk.holds)
        raise
    _desk.release()
