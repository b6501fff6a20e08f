"""What only a real SLURM shows: drivers that are jobs, jobs that end, and files of deploy/."""

import subprocess
import sys

import pytest

from bkgflow.campaign.status import status_of
from bkgflow.io.storage.location import Location
from tests.helpers.clusters import ROOT, wait_until
from tests.helpers.crowd import write_crowd
from tests.helpers.demo import differences
from tests.helpers.drivers import Held, command
from tests.helpers.slurm import jobs, profile_here

pytestmark = [pytest.mark.debian, pytest.mark.slow, pytest.mark.usefixtures("slurm_here")]

SBATCH = ROOT / "deploy" / "slurm" / "campaign.sbatch"


@pytest.fixture
def crowd(tmp_path):
    write_crowd(tmp_path / "crowd", 30)
    return tmp_path / "crowd"


def called(*words, **more):
    return subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, timeout=120, **more
    )


def products_in(out):
    return len(list(out.glob("*_bsub.fits")))


def submitted(crowd, out, profile):
    code, said, error = command("submit", crowd, "--output", out, "--cluster", profile)
    assert code == 0, error
    assert "driver: job " in said and " of SLURM" in said
    return said.partition("driver: job ")[2].split()[0]


def test_a_submitted_campaign_is_driven_by_a_job(crowd, tmp_path):
    out, profile = tmp_path / "out", profile_here(tmp_path)
    job = submitted(crowd, out, profile)
    assert job in jobs(name="bkgflow-out")
    code, said, _ = command("submit", crowd, "--output", out, "--cluster", profile)
    assert code == 0 and "nothing was submitted" in said
    code, said, error = command("wait", out)
    assert code == 0, (said, error, (out / "bkgflow-driver.log").read_text())
    assert products_in(out) == 30
    wait_until(lambda: not jobs(name="bkgflow-out"))
    assert not (out / "bkgflow-job").exists()
    assert list((out / "bkgflow-jobs").glob("bkgflow-worker-*.err"))
    assert "30 units: 30 COMPLETE" in (out / "bkgflow-driver.log").read_text()


def test_a_driver_that_is_requeued_goes_on(crowd, tmp_path):
    out, profile = tmp_path / "out", profile_here(tmp_path)
    with Held(out, products=3) as held:
        job = submitted(crowd, out, profile)
        held.wait()
        assert called("scontrol", "requeue", job).returncode == 0
        held.release()
    wait_until(lambda: status_of(Location.of(out)).state == "queued", seconds=60)
    done = products_in(out)
    assert 3 <= done < 30
    # SLURM lets a job that was requeued wait for two minutes.
    wait_until(lambda: job in jobs("PENDING"))
    assert called("scontrol", "update", f"JobId={job}", "StartTime=now").returncode == 0
    code, said, error = command("wait", out)
    assert code == 0, (said, error, (out / "bkgflow-driver.log").read_text())
    assert products_in(out) == 30
    assert status_of(Location.of(out)).runs == 2


def test_a_job_that_waits_is_taken_back(crowd, tmp_path):
    out = tmp_path / "out"
    profile = profile_here(tmp_path, directives=[], driver_memory="7900MiB")
    blocker = called(
        "sbatch", "--parsable", "--mem=7000M", "--output=/dev/null", "--wrap", "sleep 600"
    ).stdout.strip()
    job = ""
    try:
        job = submitted(crowd, out, profile)
        code, said, _ = command("status", out)
        assert code == 3 and f"Its driver is job {job} of SLURM: PENDING" in said
        assert command("cancel", out)[0] == 0
        assert job not in jobs()
        assert command("status", out)[0] == 2
    finally:
        called("scancel", blocker, *([job] if job else []))


def test_a_campaign_that_a_job_drives_is_canceled(crowd, tmp_path):
    out = tmp_path / "out"
    with Held(out, products=2) as held:
        submitted(crowd, out, profile_here(tmp_path))
        code, said, error = held.cancel()
    assert code == 0, error
    assert "is stopped" in said
    wait_until(lambda: not jobs(name="bkgflow-out"))
    assert products_in(out) < 30


def test_a_profile_is_checked_with_one_worker(tmp_path):
    profile = profile_here(tmp_path, logs=str(tmp_path / "logs"))
    code, said, error = command(
        "clusters", "check", profile, "--folder", ROOT / "docs", "--within", tmp_path
    )
    assert code == 0, error
    for word in ("worker: ", "versions: ", "bkgflow", "memory: ", "unit: ", "ended: "):
        assert word in said
    wait_until(lambda: not jobs(name="bkgflow-worker"))
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".bkgflow")]


def test_a_job_that_cannot_start_is_said_with_its_own_words(tmp_path):
    wrong = ["echo no such environment >&2", "exit 1"]
    profile = profile_here(tmp_path, prologue=wrong, wait=8, logs=str(tmp_path / "logs"))
    code, _, error = command("clusters", "check", profile, "--within", tmp_path)
    assert code == 1
    assert "no such environment" in error


def test_the_batch_script_is_taken_and_a_broken_copy_is_not(tmp_path):
    assert called("sbatch", "--test-only", SBATCH, "p", "o").returncode == 0
    broken = tmp_path / "broken.sbatch"
    broken.write_text(SBATCH.read_text().replace("--mem=6G", "--mem=plenty"))
    assert called("sbatch", "--test-only", broken, "p", "o").returncode != 0


def test_the_batch_script_runs_a_campaign(demo, tmp_path):
    products, plan_into = demo
    plan_into(tmp_path / "elsewhere")  # the program is there
    program = products.parent / "program" / "imaging"
    (tmp_path / "bin").mkdir()
    shell = tmp_path / "bin" / "bkgflow"
    words = "from bkgflow.cli import main; main()"
    shell.write_text(f'#!/bin/sh\nexec {sys.executable} -P -c "{words}" "$@"\n')
    shell.chmod(0o755)
    out = tmp_path / "out"
    environment = f"ALL,PATH={shell.parent}:/usr/bin:/bin,PYTHONPATH={ROOT}"
    words = ["sbatch", "--wait", f"--export={environment}", SBATCH, program, out]
    done = called(*words, "--save-combined-background", cwd=tmp_path)
    log = "".join(path.read_text() for path in tmp_path.glob("bkgflow-*.log"))
    assert done.returncode == 0, (done.stderr, log)
    made = sorted(out.glob("*_bsub.fits"))
    assert made
    for path in made:
        assert not differences(products / path.name, path)
