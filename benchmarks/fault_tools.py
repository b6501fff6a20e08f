"""Real runs to be hurt: a program, the command as a process, and what it leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from astropy.io import fits

__all__ = [
    "COMMAND",
    "Found",
    "Running",
    "bkgflow",
    "disk",
    "ended",
    "found_in",
    "pixels_of",
    "processes_of",
    "traceback_in",
    "unchanged",
]

SLOW = {"BKGFLOW_AMEND": "0", "PYTHONUNBUFFERED": "1"}
"""Every product through its data model: a unit takes long enough to be hit."""

COMMAND = (sys.executable, "-c", "from bkgflow.cli import main; main()")

PATIENCE = 240.0
"""Seconds that a run may take before it counts as hung."""


@dataclass
class Running:
    """A command that runs, as the leader of a group of processes of its own."""

    process: subprocess.Popen[str]
    out: Path
    files: tuple[Path, Path]
    began: float = field(default_factory=time.monotonic)

    @property
    def products(self) -> int:
        """How many products are there by now."""
        return len(list(self.out.glob("*_bsub.fits")))

    def wait_for(self, met: Callable[[], bool], patience: float = PATIENCE) -> bool:
        """Wait until something holds; return whether it did before the command ended."""
        deadline = time.monotonic() + patience
        while not met():
            if self.process.poll() is not None or time.monotonic() > deadline:
                return met()
            time.sleep(0.01)
        return True

    def wait_for_products(self, number: int) -> bool:
        """Wait until so many products are there."""
        return self.wait_for(lambda: self.products >= number)

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the command, or as a terminal does to all its processes."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def end(self, patience: float = PATIENCE) -> tuple[int | None, str]:
        """Wait for its end: exit code and what it said; None if it hangs, and is killed."""
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self.process.wait(patience)
        self.kill()
        return code, "".join(path.read_text(errors="replace") for path in self.files)

    def kill(self) -> None:
        """End all of it here and now."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)


def _heeds_signals() -> None:
    """Let a process end of what it ends of by default: nohup and shells may have changed that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def bkgflow(
    *arguments: object,
    out: Path,
    command: Sequence[str] = COMMAND,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Start a command of bkgflow that writes to a folder; nothing of it lives on afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="fault-said-"))
    files = folder / "out", folder / "err"
    given = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **SLOW}
    with files[0].open("w") as stdout, files[1].open("w") as stderr:
        process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdout=stdout,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            cwd=folder,
            env=given | dict(environment or {}),
            preexec_fn=_heeds_signals,  # noqa: PLW1509 - nothing that a thread could hold
        )
    running = Running(process, out, files)
    try:
        yield running
    finally:
        running.kill()
        shutil.rmtree(folder, ignore_errors=True)


def ended(*arguments: object, out: Path, **options: Any) -> tuple[int | None, str]:
    """Run a command to its end."""
    with bkgflow(*arguments, out=out, **options) as running:
        return running.end()


def traceback_in(said: str) -> str:
    """Return what stands before and at the end of a traceback that a command shows, if it does."""
    lines = said.splitlines()
    for number, line in enumerate(lines):
        if line.startswith("Traceback (most"):
            last = next((each for each in lines[number + 1 :] if each[:1].strip()), "")
            return f"{lines[max(number - 1, 0)]} … {last}"[:300]
    return ""


def processes_of(running: Running) -> list[psutil.Process]:
    """Return the worker processes that a command has started."""
    try:
        children = psutil.Process(running.process.pid).children(recursive=True)
        return [each for each in children if "spawn_main" in " ".join(each.cmdline())]
    except psutil.NoSuchProcess:
        return []


@dataclass(frozen=True)
class Found:
    """What a run left in its folder.

    Attributes
    ----------
    counts : dict
        Units by state, as the result file says; empty where there is none that can be read.
    missing : tuple of str
        Products that the result reports, and that are not there.
    hidden : tuple of str
        Names that begin with a dot.
    """

    counts: Mapping[str, int]
    result: Mapping[str, Any]
    products: tuple[Path, ...]
    missing: tuple[str, ...]
    hidden: tuple[str, ...]


def found_in(out: Path, result: Path | None = None) -> Found:
    """Look at what a run left; the result file is elsewhere if that is said."""
    kept: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        kept = json.loads((result or out / "bkgflow-run.json").read_text())
    names = [each.name for each in out.iterdir()] if out.is_dir() else []
    reported = [path for unit in kept.get("units", ()) for path in unit["products"]]
    return Found(
        kept.get("counts", {}),
        kept,
        tuple(sorted(out.glob("*_bsub.fits"))),
        tuple(path for path in reported if not Path(path).is_file()),
        tuple(sorted(name for name in names if name.startswith("."))),
    )


def unchanged(products: Sequence[Path], right: Mapping[str, str]) -> list[str]:
    """Return the names of products whose pixels are not those of an undisturbed run."""
    return [path.name for path in products if pixels_of(path) != right.get(path.name)]


def pixels_of(path: Path) -> str:
    """Return a sum of all pixels of a product; empty if it is no whole FITS file."""
    total = hashlib.sha256()
    try:
        with fits.open(path, memmap=False, lazy_load_hdus=False) as hdus:
            for name in ("SCI", "ERR", "DQ"):
                total.update(hdus[name].data.tobytes())
    except Exception:  # whatever is wrong with it
        return ""
    return total.hexdigest()


@contextmanager
def disk(folder: Path, *, size: str = "64m", files: int | None = None) -> Iterator[Path | None]:
    """Mount a small disk in memory at a folder; None where this user may not."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={size}" + (f",nr_inodes={files}" if files else "")
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    try:
        yield folder if done else None
    finally:
        if done:
            subprocess.run(["umount", "-l", str(folder)], check=False)
