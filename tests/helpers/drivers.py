"""Drivers of campaigns in tests: commands that end, and nothing that lives on after a test."""

import os
import subprocess
import sys
from contextlib import contextmanager, suppress

import psutil

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


def wait_for_products(out, number):
    """Wait until so many products are there."""
    wait_until(lambda: products_in(out) >= number, seconds=200, every=0.05)


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
