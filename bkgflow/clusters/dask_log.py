"""What dask itself logs while bkgflow computes: in the log of the run, not on the terminal.

A worker that dies, or a cluster that is closed, has dask print tracebacks of connections that
broke. What became of the work, bkgflow says in its own words.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["quiet", "quiet_from_now_on"]

LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")
"""Those to which dask gives a handler of its own, to standard error."""

OWNERS = {name.partition(".")[0] for name in LOGGERS}

SHOWN = ("distributed.worker.memory", "distributed.nanny.memory")
"""What is said of the memory of workers: a user can do something about it."""

log = logging.getLogger("bkgflow.clusters")


class _Quiet(logging.Filter):
    """Lets through what a user should see."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a handler shows a record; it may be one for the records of others, too."""
        return record.name in SHOWN or record.name.partition(".")[0] not in OWNERS


class _Kept(_Quiet):
    """Passes on the first line of everything else to the log of the run."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a handler shows a record."""
        shown = super().filter(record)
        if not shown:
            with suppress(Exception):  # a record whose arguments do not fit its text
                log.info("%s: %s", record.name, record.getMessage().partition("\n")[0])
        return shown


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what this process logs of dask off the terminal; the log of the run has it.

    Nothing changes where the user has configured dask's logging (``logging`` of dask's
    configuration, or DASK_LOGGING__DISTRIBUTED=info in the environment).
    """
    kept = _Kept()
    handlers = _handlers()
    for each in handlers:
        each.addFilter(kept)
    try:
        yield
    finally:
        for each in handlers:
            each.removeFilter(kept)


def quiet_from_now_on() -> None:
    """Do the same in a worker process that belongs to a run, and has no log of it."""
    for each in _handlers():
        each.addFilter(_Quiet())


def _handlers() -> set[logging.Handler]:
    """Return dask's own handlers; none where the user has said what is to be logged."""
    import dask
    import distributed  # noqa: F401 - it is what makes the handlers

    if dask.config.get("logging", None):
        return set()
    return {each for name in LOGGERS for each in logging.getLogger(name).handlers}
