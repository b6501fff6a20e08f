"""Drivers of campaigns in tests: commands that end, and nothing that lives on after a test."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psutil

from bkgflow.campaign.cancel import DESK_FILE
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of
from tests.helpers.clusters import wait_until

COMMAND = [sys.executable, "-P", "-c", "from bkgflow.cli import main; main()"]


def environment():
    """A shell's: every product through its data model, so that a unit takes long enough."""
    path = os.pathsep.join(filter(None, sys.path))
    return {**os.environ, "PYTHONPATH": path, "BKGFLOW_AMEND": "0"}


def command(*arguments, cwd=None):
    """Run a command to its end: exit code, standard output, standard error."""
    words = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(
        words, capture_output=True, text=True, env=environment(), cwd=cwd, check=False, timeout=300
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout, done.stderr


def driver_of(out):
    """Return the process that holds an output folder."""
    holder = holder_of(Location.of(out))
    return None if holder is None else psutil.Process(holder.owner.pid)


def products_in(out):
    """Return how many products are there."""
    return len(list(out.glob("*_bsub.fits")))


class Held:
    """Holds a driver still as soon as it has begun a unit and so many products are there.

    However slow the machine is, the run is then in its midst.
    """

    def __init__(self, out, products=0):
        self.out, self.products = out, products
        self.driver = None
        self.given_up = threading.Event()
        self.thread = threading.Thread(target=self.hold)

    def hold(self):
        log = self.out / "bkgflow.log"
        while not self.given_up.wait(0.01):
            if products_in(self.out) < self.products or not log.exists():
                continue
            if ": begins" in log.read_text() and (driver := driver_of(self.out)) is not None:
                driver.suspend()
                self.driver = driver
                return

    def __enter__(self):
        self.thread.start()
        return self

    def wait(self):
        """Wait until it is held; return its process."""
        self.thread.join(250)
        assert self.driver is not None
        return self.driver

    def release(self):
        """Let it go on."""
        with suppress(psutil.NoSuchProcess):
            self.wait().resume()

    def cancel(self, *words):
        """Let it go on when it has been asked to end; wait for its end."""
        self.wait()
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(command, "cancel", self.out, *words)
            desk = self.out / DESK_FILE
            wait_until(lambda: desk.exists() and desk.read_text(), seconds=200)
            self.release()
            return ended.result()

    def __exit__(self, *_):
        self.given_up.set()
        self.thread.join()
        if self.driver is not None:
            self.release()


@contextmanager
def no_driver_left(out):
    """End whatever drives a campaign into a folder, with all its workers, when a test ends."""
    try:
        yield out
    finally:
        driver = driver_of(out)
        if driver is not None:
            with suppress(psutil.NoSuchProcess):
                found = [*driver.children(recursive=True), driver]
                for each in found:
                    with suppress(psutil.NoSuchProcess):
                        each.kill()
                psutil.wait_procs(found, 30)
