"""A cluster over TCP: a scheduler and workers, each a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Grid", "grid"]

DASK = [sys.executable, "-m", "dask"]


@dataclass
class Grid:
    """A scheduler and its workers, each a process."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    address: str = ""

    def start(
        self,
        *arguments: str,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process of dask's."""
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                [*prefix, *DASK, *arguments],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    **(environment or {}),
                },
            )
        self.processes.append(process)
        return process

    def scheduler(self) -> subprocess.Popen[bytes]:
        """Start the scheduler, at the address of the one before, and wait until it answers."""
        port = self.address.rpartition(":")[2] or "0"
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        here = ["--host", "127.0.0.1", "--no-dashboard", "--scheduler-file", str(file)]
        process = self.start("scheduler", *here, "--port", port)
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]
        return process

    def worker(
        self,
        preload: str = "",
        memory: str = "4GiB",
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread; ``preload`` is Python that it runs first."""
        more = []
        if preload:
            path = self.folder / f"preload{len(self.processes)}.py"
            path.write_text(preload)
            more = ["--preload", str(path)]
        given = [self.address, "--nthreads", "1", "--memory-limit", memory, "--no-dashboard"]
        given += ["--host", "127.0.0.1", *more]
        process = self.start("worker", *given, prefix=prefix, environment=environment)
        self.workers.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End a process, and all that it has started, here and now."""
        for number in (signal.SIGCONT, signal.SIGKILL):
            try:
                os.killpg(process.pid, number)
            except ProcessLookupError:
                break
        process.wait(30)

    def wait(self, workers: int) -> None:
        """Wait until so many workers are there."""
        from distributed import Client

        with Client(self.address, set_as_default=False, timeout=60) as client:
            client.wait_for_workers(workers, timeout=90)


@contextmanager
def grid(folder: Path, workers: int = 2) -> Iterator[Grid]:
    """Start a scheduler and workers; none of them lives on afterwards."""
    folder.mkdir(parents=True)
    made = Grid(folder)
    try:
        made.scheduler()
        for _ in range(workers):
            made.worker()
        if workers:
            made.wait(workers)
        yield made
    finally:
        for process in made.processes:
            made.kill(process)
