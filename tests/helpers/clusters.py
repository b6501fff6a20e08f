"""Real clusters over TCP: a scheduler and workers, each a process of its own with its own world."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from distributed import Client

if TYPE_CHECKING:
    from tests.helpers.tls import Files

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(true, seconds=60, every=0.1):
    """Wait until something is true; fail where it does not become so."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"it did not come true within {seconds} s: {true}"
        time.sleep(every)
    return found


class Processes:
    """Starts schedulers and workers; all of them are ended with it.

    Attributes
    ----------
    folder : Path
        Working folder of all, with the log of each.
    tls : tests.helpers.tls.Files or None
        Certificates of all of them, where they speak TLS.
    """

    def __init__(self, folder: Path, tls: Files | None = None) -> None:
        self.folder, self.tls = folder, tls
        self.port = free_port()
        self.started: list[subprocess.Popen[bytes]] = []

    @property
    def address(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"

    def client(self) -> Client:
        """Connect, with the certificates of the cluster."""
        security = self.tls.security if self.tls else None
        return Client(self.address, timeout=30, security=security, set_as_default=False)

    @property
    def certificates(self) -> list[str]:
        """Options of dask's commands."""
        return self.tls.options if self.tls else []

    def scheduler(self, **environment: str) -> subprocess.Popen[bytes]:
        """Start a scheduler at this cluster's address, and wait for it."""
        here = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-show"]
        here += self.certificates
        process = self.start(["-m", "dask", "scheduler", *here], **environment)

        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(answers)
        return process

    def worker(
        self, *arguments: str, nanny: bool = False, ready: bool = True, **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start a worker of one thread, and wait until it has joined."""
        more = [] if nanny else ["--no-nanny"]
        here = ["--host", "127.0.0.1", "--nthreads", "1", "--no-dashboard", *self.certificates]
        before = self.count() if ready else 0
        process = self.start(
            ["-m", "dask", "worker", self.address, *here, *more, *arguments], **environment
        )
        if ready:
            wait_until(lambda: self.count() > before)
        return process

    def count(self) -> int:
        """How many workers the scheduler knows."""
        with self.client() as client:
            return len(client.scheduler_info(n_workers=-1)["workers"])

    def start(self, arguments: list[str], **environment: str) -> subprocess.Popen[bytes]:
        """Start Python, with this checkout on its path unless the environment says otherwise."""
        log = (self.folder / f"log-{len(self.started)}").open("wb")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.started.append(process)
        return process

    def workers_of(self, process: subprocess.Popen[bytes]) -> list[int]:
        """Return the processes that compute for what `worker` started: its own, or a nanny's."""
        with self.client() as client:
            pids = client.run(os.getpid).values()
        return [each for each in pids if os.getpgid(each) == process.pid]

    def end(self) -> None:
        """End all of them with what they have started, stopped ones as well."""
        for process in self.started:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.started:
            process.wait(30)


@contextmanager
def processes(folder: Path, tls: Files | None = None) -> Iterator[Processes]:
    """Give a cluster without any process; whatever is started is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Processes(folder, tls)
    try:
        yield made
    finally:
        made.end()
