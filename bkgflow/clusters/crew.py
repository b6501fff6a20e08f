"""A cluster's workers as they are looked at again and again, and what may be done to them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

__all__ = ["Crew", "Limits", "Member", "Workers", "limit_of", "send_away", "start_again"]

MIB = 1 << 20

Workers = Mapping[str, Mapping[str, Any]]
"""What a scheduler says of each worker, by its address."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a run is patient, in seconds.

    Attributes
    ----------
    interval : float
        Between two looks at the workers; longer where there are many.
    silent : float
        That a worker may say nothing, before its tasks are given to others.
    paused : float
        That a worker may be paused, its memory near the limit, before it is started again.
    all_paused : float
        That every worker may be paused, before the run ends.
    nobody : float
        That there may be no worker, or no answer of the scheduler, before the run ends.
    deaths : int
        Workers that may die, one after the other, without any unit that ends well. A single
        unit may take some ten with it until it is proven that nothing else kills them.
    window : int
        Units that a scheduler has at a time; 0 for as many as its threads need.
    """

    interval: float = 1.0
    silent: float = 20.0
    paused: float = 25.0
    all_paused: float = 60.0
    nobody: float = 60.0
    deaths: int = 30
    window: int = 0

    @property
    def word(self) -> float:
        """Seconds before it is said that nobody works."""
        return min(self.nobody, 10.0)


@dataclass(slots=True)
class Member:
    """A worker, and for how many seconds it has been what it should not be."""

    last_seen: float
    silent: float = 0.0
    paused: float = 0.0


@dataclass(slots=True)
class Crew:
    """The workers as they were when they were last looked at.

    Time counts only while somebody looks: a driver that was stopped blames no worker. Nor are
    clocks compared: what counts is that a worker's last sign of life stays the same.
    """

    members: dict[str, Member] = field(default_factory=dict)

    def look(self, workers: Workers, elapsed: float) -> set[str]:
        """Take notice of what the scheduler says, ``elapsed`` seconds later; return who is gone."""
        gone = self.members.keys() - workers.keys()
        for address in gone:
            del self.members[address]
        for address, said in workers.items():
            new = address not in self.members
            member = self.members.setdefault(address, Member(said["last_seen"]))
            same = said["last_seen"] == member.last_seen and not new
            member.silent = member.silent + elapsed if same else 0.0
            member.paused = member.paused + elapsed if said["status"] == "paused" else 0.0
            member.last_seen = said["last_seen"]
        return set(gone)

    def silent(self, seconds: float) -> set[str]:
        """Return who has given no sign of life for so long."""
        return {each for each, member in self.members.items() if member.silent >= seconds}


async def start_again(client: Client, worker: str) -> None:
    """Have a worker's nanny start it again, by force if need be; without one it is removed."""
    await client.scheduler.restart_workers(
        workers=[worker],
        timeout=5,
        wait_for_workers=False,
        on_error="return",
        stimulus_id=f"bkgflow-{time.time()}",
    )


async def send_away(client: Client, worker: str) -> None:
    """Remove a worker, and have it close; its tasks go to others, and are not blamed for it."""
    await client.scheduler.unregister(
        address=worker, expected=True, stimulus_id=f"bkgflow-{time.time()}"
    )


def limit_of(said: Mapping[str, Any]) -> str:
    """Say what a worker's memory limit is; empty where it has none."""
    limit = int(said.get("memory_limit") or 0)
    return f" of {limit // MIB} MiB" if limit else ""
