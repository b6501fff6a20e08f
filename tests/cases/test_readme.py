"""README's blocks do what they say: each is executed as pasted, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.sources import ROOT

SCHEDULER = "tcp://scheduler:8786"
"""The address that README invents: the tests have one of their own."""

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of a language; those that are about this repository's make left out."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block for block in found if not block.startswith("make ")]


def environment(folder: Path) -> dict[str, str]:
    """A user's environment: the command is on the PATH, and runs this checkout."""
    commands = folder / "bin"
    commands.mkdir()
    command = commands / "bkgflow"
    code = "from bkgflow.cli import main; main()"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}" "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join((str(commands), str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def test_readme_has_blocks_of_both_languages():
    assert len(blocks("sh")) >= 5
    assert len(blocks("python")) >= 1
    assert blocks("sh")[0].startswith("bkgflow simulate ")
    assert all(f"bkgflow {word}" in README for word in ("plan", "run", "subtract", "warm-up"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_readme_works_as_pasted(tmp_path, cluster):
    """The shell's blocks one after the other, then Python's as a script, in one empty folder."""
    user = environment(tmp_path)
    folder = tmp_path / "empty"
    folder.mkdir()
    script = "\n".join(blocks("sh")).replace(SCHEDULER, cluster)
    assert cluster in script
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=user, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    products = {path.name for path in (folder / "my_products").glob("*_bsub.fits")}
    assert len(products) == 6  # four of imaging, two slitless
    assert len(list(folder.glob("*_bsub.fits"))) == 1
    assert len(list(folder.glob("*_bsubints.fits"))) == 1
    for number, block in enumerate(blocks("python")):
        path = folder / f"pasted_{number}.py"
        path.write_text(block)
        run = subprocess.run(
            [sys.executable, path.name],
            cwd=folder, env=user, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        assert "Traceback" not in run.stderr
        assert run.stdout.startswith("COMPLETE\n")
        assert "4 units: 4 COMPLETE" in run.stdout
    assert (folder / "combined.nc").exists()
