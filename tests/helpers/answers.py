"""A campaign that can be asked, written once; and copies of it to be damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import bkgflow
from tests.helpers.programs import write_program


def make_campaign(folder: Path, targets: int = 3, **options: object) -> Path:
    """Run a program of targets that share one background; return its output folder."""
    write_program(folder / "program", targets)
    out = folder / "out"
    result = run_campaign(folder, **options)
    assert result.ok
    return out


def plan_campaign(folder: Path, **options: object) -> bkgflow.Plan:
    return bkgflow.plan(folder / "program", folder / "out", **options)


def run_campaign(folder: Path, labels: dict[str, str] | None = None, **options: object):
    plan = plan_campaign(folder, **options)
    return bkgflow.run(plan, "threads", workers=1, progress=False, labels=labels)


def copy_campaign(folder: Path, to: Path) -> Path:
    """Copy program and products with their times; return the output folder of the copy."""
    shutil.copytree(folder, to, copy_function=shutil.copy2, dirs_exist_ok=True)
    return to / "out"


def ledger_of(out: Path) -> Path:
    return out / "bkgflow-ledger.sqlite"
