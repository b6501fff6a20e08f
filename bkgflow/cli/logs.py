"""The log file of a run, kept beside its products."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bkgflow.campaign.events import Event, RunFinished, RunStarted, UnitFinished
from bkgflow.errors import OutputError

__all__ = ["LogListener", "log_file", "log_to_terminal"]

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

log = logging.getLogger("bkgflow.run")


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Append everything that bkgflow logs to a file; its folder is made if it is not there.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as problem:
        raise OutputError(
            "A run keeps its log beside its products",
            file=path,
            value=problem.strerror,
            cure="Give another output folder, or mend its permissions or its free space",
        ) from None
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger("bkgflow")
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        handler.close()


def log_to_terminal(level: int) -> None:
    """Show bkgflow's log on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    root = logging.getLogger("bkgflow")
    root.addHandler(handler)
    root.setLevel(level)


class LogListener:
    """Writes every event of a run to the log."""

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case RunStarted(plan=plan, where=where):
                log.info(
                    "bkgflow %s: %d units on %s, settings %s",
                    plan.version,
                    len(plan.units),
                    where,
                    plan.settings.model_dump(),
                )
            case UnitFinished(unit=unit, result=result):
                for note in unit.notes:
                    log.info("%s: %s", unit.target, note)
                for name in result.unused:
                    log.warning("%s: %s has no valid pixel here", unit.target, name)
                if result.n_unsubtracted:
                    log.warning(
                        "%s: %d pixels have no valid background",
                        unit.target,
                        result.n_unsubtracted,
                    )
                level = logging.INFO if result.outcome.good else logging.ERROR
                word = result.reason or ", ".join(result.products)
                log.log(level, "%s: %s %s", unit.target, result.outcome, word)
            case RunFinished(seconds=seconds):
                log.info("the run ended after %.1f s", seconds)
