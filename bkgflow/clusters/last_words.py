"""The last lines that a worker process logged: kept there, and asked for when a unit ends."""

from __future__ import annotations

import logging
from collections import deque
from functools import cache

__all__ = ["MOST_LINES", "LastWords", "last_words"]

MOST_LINES = 50

LOGGERS = ("bkgflow", "distributed.worker")

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LastWords(logging.Handler):
    """Keeps the last lines, numbered from the first one on."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(FORMAT))
        self.number = 0
        self._lines: deque[str] = deque(maxlen=MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record as a line; tracebacks are kept with it."""
        self._lines.append(self.format(record)[:2000])
        self.number += 1

    def since(self, number: int) -> tuple[str, ...]:
        """Return the lines after so many; 0 for all that are kept."""
        lines = tuple(self._lines)
        new = self.number - number
        return lines[-new:] if new > 0 else ()


@cache
def last_words() -> LastWords:
    """Return what listens in this process; it does from the first call on."""
    handler = LastWords()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    return handler
