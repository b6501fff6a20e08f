"""How often something is tried again, when, and how long it may take: one value for a run."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from bkgflow.errors import SettingsError

__all__ = ["RetryPolicy", "window_for"]

LEAST_WINDOW, PER_THREAD, BESIDE = 32, 4, 16
"""Units that are with a scheduler at a time: so many for each thread and some more, but not
fewer than the first."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What a run does about units that fail for no fault of their own.

    Units whose inputs are bad are never tried again: they would end the same.

    Attributes
    ----------
    max_retries : int
        How often a unit is tried again.
    pause : float
        Seconds before it is tried again; each further time it is twice as long.
    longest_pause : float
        Seconds.
    timeout : float or None
        Seconds that a unit may take on its worker; None for as long as it likes.
    fail_fast : bool
        Whether the run ends with the first unit that is not good.
    """

    max_retries: int = 3
    pause: float = 0.5
    longest_pause: float = 60.0
    timeout: float | None = None
    fail_fast: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be meant."""
        if self.max_retries < 0:
            raise SettingsError(
                "A unit must be tried again no less than 0 times",
                value=f"max_retries={self.max_retries}",
                cure="Give 0 or more",
            )
        if self.timeout is not None and not (self.timeout > 0 and math.isfinite(self.timeout)):
            raise SettingsError(
                "The time that a unit may take must be longer than nothing",
                value=f"timeout={self.timeout}",
                cure="Give seconds, such as 600, or leave it out",
            )

    def delay(self, retry: int) -> float:
        """Return the seconds before a retry (the first is 1).

        By chance up to a half more or less: what failed together does not come back together.
        """
        seconds = min(self.pause * 2.0 ** min(retry - 1, 30), self.longest_pause)
        return seconds * random.uniform(0.5, 1.5)


def window_for(threads: int) -> int:
    """Return how many units may be with a scheduler at a time: workers never wait for the next."""
    return max(LEAST_WINDOW, PER_THREAD * threads + BESIDE)
