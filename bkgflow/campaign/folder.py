"""What a run leaves in its output folder, beside the products."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from bkgflow.campaign.log import log_file
from bkgflow.campaign.result import RunResult
from bkgflow.io.storage.location import Location

__all__ = ["RunFolder"]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The output folder of a plan.

    Attributes
    ----------
    location : Location
        It is made when something is written.
    """

    location: Location

    @property
    def log(self) -> Location:
        """What was logged, run after run."""
        return self.location / "bkgflow.log"

    @property
    def result(self) -> Location:
        """How every unit of the last run ended, as JSON."""
        return self.location / "bkgflow-run.json"

    def logging(self) -> AbstractContextManager[None]:
        """Keep what is logged inside.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        return log_file(self.log)

    def keep(self, result: RunResult) -> None:
        """Write down how a run ended; the file appears whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written there.
        """
        result.save(self.result)
