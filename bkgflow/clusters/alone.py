"""A task that may take its process with it is alone there: others wait, and are not blamed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Room", "room"]


class Room:
    """Where the tasks of a process are: many at a time, or one that is alone."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._within = 0
        self._wants = 0
        self._taken = False

    @contextmanager
    def within(self, *, alone: bool) -> Iterator[None]:
        """Be there, as one of many or alone; who wants to be alone goes before those who come."""
        with self._news:
            if alone:
                self._wants += 1
                try:
                    self._news.wait_for(lambda: not (self._within or self._taken))
                finally:
                    self._wants -= 1
                self._taken = True
            else:
                self._news.wait_for(lambda: not (self._wants or self._taken))
                self._within += 1
        try:
            yield
        finally:
            with self._news:
                if alone:
                    self._taken = False
                else:
                    self._within -= 1
                self._news.notify_all()


room = Room()
"""Of this process."""
