"""SLURM on this machine: its real daemons, for tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.helpers.clusters import ROOT, free_port, wait_until

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel")
SCRIPT = Path(__file__).with_name("slurm.sh")
PROFILE = ROOT / "deploy" / "slurm" / "profile.yaml"


def missing_programs() -> str:
    """What of SLURM is not there; empty where all of it is, and it may be run."""
    lacking = [each for each in PROGRAMS if shutil.which(each) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed (tests/real/install.sh installs them)"
    return "" if os.geteuid() == 0 else "SLURM's daemons want to be started by root"


@contextmanager
def slurm(folder: Path):
    """Run SLURM below a folder; this process, and those it starts, reach it meanwhile."""
    ports = [str(free_port()), str(free_port())]
    before = os.environ.get("SLURM_CONF")
    try:
        subprocess.run([SCRIPT, "start", folder, *ports], check=True, timeout=60)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        yield folder
    finally:
        if "SLURM_CONF" in os.environ:
            subprocess.run(["scancel", "--user=root"], check=False, timeout=30)
            wait_until(lambda: not jobs(), seconds=60)
        subprocess.run([SCRIPT, "stop", folder], check=False, timeout=60)
        if before is None:
            os.environ.pop("SLURM_CONF", None)
        else:
            os.environ["SLURM_CONF"] = before


def jobs(state="", name=""):
    """The ids of all jobs that have not ended: those that stand so, and are called so."""
    words = ["squeue", "--noheader", "--format=%i %T %j"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout
    found = [line.split(maxsplit=2) for line in said.splitlines()]
    return [job for job, now, called in found if now.startswith(state or now) and name in called]


def profile_here(folder: Path, **more) -> Path:
    """Write the profile of deploy/ with what is otherwise here; return its path."""
    settings = yaml.safe_load(PROFILE.read_text())
    del settings["adaptive"], settings["prologue"]
    settings |= {"workers": 2, "cores": 1, "memory": "1500MiB", "interface": "lo", "wait": 120}
    settings |= {"driver_memory": "1GiB", "prologue": [f"export PYTHONPATH={ROOT}"]}
    path = folder / "slurm-here.yaml"
    path.write_text(yaml.safe_dump(settings | more))
    return path
