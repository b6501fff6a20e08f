"""The image of this project, built and run without a Docker engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass

from tests.helpers.sources import ROOT

__all__ = ["AS_SHIPPED", "IMAGE", "Ran", "build", "missing_tools", "podman", "run"]

IMAGE = "bkgflow-test"
TOOLS = ("buildah", "debootstrap", "podman", "runc")
PODMAN = ("podman", "--runtime=runc", "--cgroup-manager=cgroupfs", "--events-backend=file")
AS_SHIPPED = (
    "--network=host",
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp",
    "--user=10001",
    # By default podman asks for more than who is not wholly root may have.
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
)
"""Without a root that can be written, and as nobody in particular."""


def missing_tools() -> str:
    """What is missing for a container; empty where one can be built and run."""
    lacking = [each for each in TOOLS if shutil.which(each) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (tests/real/install.sh installs them)"
    return "" if os.geteuid() == 0 else "an image is built in a chroot, by root"


@dataclass(frozen=True)
class Ran:
    """How a command ended, what it said, and the seconds that it took."""

    code: int
    said: str
    seconds: float


def _run(words: tuple[str, ...], patience: float, given: str | None = None) -> Ran:
    before = time.monotonic()
    done = subprocess.run(
        words,
        env=os.environ | {"STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "overlay")},
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=patience,
    )
    return Ran(done.returncode, done.stdout, time.monotonic() - before)


def build(patience: float = 900.0) -> Ran:
    """Build the image, and its base where it is not there yet."""
    return _run((str(ROOT / "deploy" / "image" / "build.sh"), IMAGE), patience)


def podman(*words: str, given: str | None = None, patience: float = 300.0) -> Ran:
    """Give podman a command; ``given`` is its standard input."""
    return _run((*PODMAN, *words), patience, given)


def run(*words: str, options: tuple[str, ...] = (), given: str | None = None) -> Ran:
    """Run a command in a container of the image, as it is shipped, and take it away."""
    # A health check that comes regularly needs systemd.
    return podman(
        "run", "--rm", "-i", "--no-healthcheck", *AS_SHIPPED, *options, IMAGE, *words, given=given
    )
