"""Who takes down what happens to units while they are computed."""

from __future__ import annotations

from dataclasses import dataclass

from bkgflow.clusters.attempts import Attempt
from bkgflow.verdict import Verdict

__all__ = ["Closed", "Keeper"]


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of all that was taken down of a run.

    Attributes
    ----------
    trouble : str
        What is not kept of it, and why; empty where all is.
    mended : tuple of str
        What was lost meanwhile and written again.
    """

    trouble: str = ""
    mended: tuple[str, ...] = ()


class Keeper:
    """Takes down how units begin and end; this one keeps nothing."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know about where it is kept."""
        return ()

    def begun(self, unit: str) -> None:
        """Take down that a unit begins, by the digest of its key."""

    def tried(self, unit: str, attempt: Attempt) -> None:
        """Take down an attempt at it, good or bad."""

    def ended(self, unit: str, verdict: Verdict) -> None:
        """Take down how it ended; an error of the output where nothing can be kept any more."""

    def said(self, words: str) -> None:
        """Take down what was said of the run as a whole."""

    def end(self, stopped: str) -> Closed:
        """Take down how the run ended; return what is kept of it."""
        return Closed()
