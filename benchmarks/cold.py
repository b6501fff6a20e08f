"""One command as a user types it: a whole process, from its start to its end."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.contender import Contender, ContenderError, Work
from benchmarks.files import empty

__all__ = ["command", "subtract_commands"]


def subtract_commands(
    target: Path, backgrounds: Sequence[Path], scratch: Path
) -> dict[str, Contender]:
    """Return both sides' commands for one exposure."""
    scripts, skies = Path(sys.executable).parent, ",".join(map(str, backgrounds))
    ours, peer = scratch / "ours", scratch / "peer"
    return {
        "ours": partial(
            command,
            (scripts / "bkgflow", "subtract", target, "--bkg-list", skies, "--output-dir", ours),
            ours,
        ),
        "peer": partial(
            command,
            (
                *(scripts / "strun", "bkg_subtract", target),
                *(f"--bkg_list={skies}", f"--output_dir={peer}"),
            ),
            peer,
        ),
    }


@contextmanager
def command(words: Sequence[str | Path], output: Path) -> Iterator[Work]:
    """Run a command that writes into a folder; the first time it may compile what it needs."""

    def run() -> None:
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise ContenderError(f"{words[0]} ended with {done.returncode}:\n{done.stderr}")

    yield Work(run, prepare=lambda: empty(output))
