"""Campaigns that go on by themselves, as a shell submits, watches, cancels and retries them."""

import json
import os
import shlex
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from bkgflow.campaign.cancel import cancel_run
from bkgflow.campaign.place import open_campaign
from bkgflow.campaign.status import status_of
from bkgflow.cli import app
from bkgflow.cli.status import exit_code_of
from bkgflow.io.storage.location import Location
from tests.helpers.clusters import free_port, wait_until
from tests.helpers.crowd import write_crowd
from tests.helpers.drivers import (
    COMMAND,
    Held,
    command,
    driver_of,
    environment,
    products_in,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]

THREADS = ("--cluster", "threads", "--workers", "1")


def runs_in(out):
    database, reader = open_campaign(Location.of(out))
    try:
        return reader.runs()
    finally:
        database.close()


def status(out):
    """What ``bkgflow status --json`` says, and its exit code, without another Python."""
    found = status_of(Location.of(out))
    return exit_code_of(found), found.to_dict()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_submitted_run_outlives_its_shell_and_the_hangup_of_its_group(crowd, out, tmp_path):
    words = shlex.join(map(str, (*COMMAND, "submit", crowd, "--output", out, *THREADS)))
    with Held(out) as held:
        done = subprocess.run(
            ["bash", "-c", f"{words} && kill -HUP 0 && sleep 60"],
            start_new_session=True,
            capture_output=True,
            text=True,
            env=environment(),
            cwd=tmp_path,
            check=False,
            timeout=250,
        )
        driver = held.wait()
        assert done.returncode == -signal.SIGHUP, done.stderr
        assert f"driver: {driver.pid}@" in done.stdout
        campaign = json.loads((out / "bkgflow-campaign.json").read_text())["campaign"]
        assert f"campaign {campaign}: 8 units into {out}" in done.stdout
        assert os.getsid(driver.pid) == os.getpgid(driver.pid) == driver.pid
        assert driver.terminal() is None
        code, found = status(out)
        assert (code, found["state"]) == (3, "running")
        assert found["driver"].split("@")[0] == str(driver.pid)
    code, said, _ = command("wait", out)
    assert code == 0
    assert "is complete" in said and "8 of 8 units done (8 COMPLETE)" in said
    assert products_in(out) == 8
    driver.wait(60)
    log = (out / "bkgflow-driver.log").read_text()
    assert "8 units: 8 COMPLETE" in log and "Traceback" not in log
    assert not [name for name in names_in(out) if name.startswith(".")]


def test_a_second_submission_starts_nothing_and_says_who_runs(crowd, out):
    with Held(out) as held:
        assert command("submit", crowd, "--output", out, *THREADS)[0] == 0
        driver = held.wait()
        code, said, _ = command("submit", crowd, "--output", out)
        assert code == 0
        assert f"nothing was submitted: run {runs_in(out)[0].run}, process {driver.pid} on" in said
        assert "since 20" in said
        driver.kill()
    assert len(runs_in(out)) == 1


def test_of_two_submissions_at_once_one_runs(crowd, out):
    def submit(_):
        return command("submit", crowd, "--output", out, *THREADS)

    with Held(out) as held, ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(submit, range(2)))
        held.wait().kill()
    assert [code for code, *_ in ends] == [0, 0]
    assert sorted(said.startswith("nothing was submitted") for _, said, _ in ends) == [False, True]
    assert len(runs_in(out)) == 1


def test_cancel_ends_a_run_in_order_and_retry_goes_on(crowd, out, tmp_path):
    given = ("submit", crowd, "--output", "out", *THREADS, "--label", "operator=ada")
    with Held(out, products=2) as held:
        assert command(*given, cwd=tmp_path)[0] == 0
        code, said, _ = held.cancel()
    assert code == 0 and "is stopped" in said
    assert driver_of(out) is None
    code, found = status(out)
    assert (code, found["state"]) == (4, "stopped")
    assert found["stopped"].startswith("canceled by ") and "process" in found["stopped"]
    assert found["counts"]["BLOCKED"] and found["counts"]["COMPLETE"] >= 2
    assert found["done"] == found["counts"]["COMPLETE"] == products_in(out)
    result = json.loads((out / "bkgflow-run.json").read_text())
    assert result["stopped"] == found["stopped"]
    assert "canceled by" in (out / "bkgflow-driver.log").read_text()
    again = f"cd {tmp_path} && bkgflow run {crowd} --output out --cluster threads --workers 1 "
    assert found["go_on"] == f"{again}--label operator=ada"
    before = found["counts"]["COMPLETE"]
    assert command("retry", out, cwd="/")[0] == 0
    code, said, _ = command("wait", out)
    assert code == 0 and "operator=ada" in said
    second = runs_in(out)[1]
    assert (second.kept, second.to_do) == (before, 8 - before)
    assert second.asked["command"][1] == "--retry-failed"
    code, said, _ = command("cancel", out)
    assert code == 0 and "nothing runs" in said


def test_cancel_now_does_not_wait_for_what_has_begun(crowd, out):
    with Held(out, products=1) as held:
        assert command("submit", crowd, "--output", out, *THREADS)[0] == 0
        assert held.cancel("--now")[0] == 0
    assert driver_of(out) is None
    code, found = status(out)
    assert (code, found["state"]) == (4, "stopped") and "canceled" in found["stopped"]
    code, _, _ = command("run", crowd, "--output", out, *THREADS)
    assert code == 0 and products_in(out) == 8
    assert not [name for name in names_in(out) if name.startswith(".")]


def test_a_driver_that_hangs_is_killed_where_it_is_to_end_at_once(crowd, out):
    with Held(out) as held:
        assert command("submit", crowd, "--output", out, *THREADS)[0] == 0
        held.wait()
        assert cancel_run(Location.of(out), now=True, timeout=100)
    code, found = status(out)
    assert (code, found["state"]) == (4, "stopped")
    assert found["stopped"].startswith("canceled at once by ")


def test_a_driver_that_was_killed_is_told_with_the_command_that_goes_on(crowd, out, tmp_path):
    with Held(out, products=2) as held:
        assert command("submit", crowd, "--output", out, "--fresh", *THREADS)[0] == 0
        driver = held.wait()
        driver.kill()
        wait_until(lambda: driver_of(out) is None)
    code, found = status(out)
    assert (code, found["state"]) == (4, "died")
    assert f"its driver (process {driver.pid} on" in found["words"]
    assert "in flight; go on with: " in found["words"]
    assert f"or bkgflow retry {out}" in found["words"]
    assert found["counts"]["PLANNED"] and found["ended"] is None
    assert "--fresh" not in found["go_on"]
    line = found["go_on"].replace("bkgflow run", f"{shlex.join(COMMAND)} run")
    done = subprocess.run(["bash", "-c", line], env=environment(), cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert status(out)[0] == 0
    assert len(runs_in(out)) == 2


def test_a_run_in_the_foreground_is_canceled_likewise(crowd, out):
    with (
        Held(out) as held,
        subprocess.Popen(
            [*COMMAND, "run", str(crowd), "--output", str(out), *THREADS],
            env=environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        ) as running,
    ):
        assert held.cancel()[0] == 0
        said = running.communicate(timeout=100)[1]
    assert running.returncode == 143
    assert "canceled by" in said and "Traceback" not in said


@pytest.mark.parametrize(
    "wrong",
    [
        ("--sigma", "-3"),
        ("--cluster", "nowhere"),
        ("--rerun-on", "moon"),
        ("--workers", "0"),
        ("--label", "x"),
        ("--ledger", "mysql://x/y"),
        ("--nonsense",),
    ],
)
def test_nonsense_is_refused_at_the_prompt_and_leaves_nothing(wrong, crowd, out):
    code, said, error = command("submit", crowd, "--output", out, *wrong)
    assert (code, said) == (2, "") and error
    assert not out.exists()


def test_what_a_driver_finds_wrong_is_said_at_the_prompt_and_leaves_nothing(crowd, out):
    address = f"tcp://127.0.0.1:{free_port()}"
    code, said, error = command("submit", crowd, "--output", out, "--cluster", address)
    assert (code, said) == (2, "")
    rule = "A scheduler must answer at the address that was given"
    assert error.startswith(f"bkgflow: {rule} (found: {address}")
    assert not out.exists()
    out.mkdir()
    (out / "bkgflow-driver.log").write_text("of an earlier one\n")
    assert command("submit", crowd, "--output", out, "--cluster", address)[0] == 2
    assert names_in(out) == ["bkgflow-driver.log"]
    assert (out / "bkgflow-driver.log").read_text() == "of an earlier one\n"


def test_exit_codes_say_where_a_campaign_stands(folder, out):
    assert command("status", out)[0] == 2
    assert command("cancel", out)[0] == 2
    assert command("retry", out)[0] == 2
    assert command("wait", out)[0] == 2
    program = folder / "program"
    spoiled = program / "t2_rate.fits"
    spoiled.unlink()
    spoiled.write_text("no exposure")
    assert command("run", program, "--output", out, *THREADS, "--only", "t1*")[0] == 0
    code, found = status(out)
    assert (code, found["state"], found["counts"]) == (4, "planned", {"COMPLETE": 1, "PLANNED": 1})
    assert command("run", program, "--output", out, *THREADS)[0] == 1
    code, found = status(out)
    assert (code, found["state"]) == (1, "failed")
    (failure,) = found["failures"]
    assert failure["state"] == "QUARANTINED" and failure["number"] == 1
    assert failure["targets"] == ["t2_rate.fits"]
    spoiled.unlink()
    spoiled.symlink_to(folder / "t2_rate.fits")
    assert command("retry", out)[0] == 0
    assert command("wait", out)[0] == 0


def test_waiting_has_an_end(crowd, out):
    with Held(out) as held:
        assert command("submit", crowd, "--output", out, *THREADS)[0] == 0
        held.wait()
        code, said, _ = command("wait", out, "--timeout", "0.2")
        assert code == 3 and "is running" in said
        watching = subprocess.Popen(
            [*COMMAND, "status", str(out), "--json", "--watch", "--every", "0.2"],
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        first = watching.stdout.readline()
        onlooker = subprocess.Popen(
            [*COMMAND, "status", str(out), "--watch"],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        onlooker.stdout.readline()
        onlooker.send_signal(signal.SIGINT)
        said = onlooker.communicate(timeout=60)[1]
        assert onlooker.returncode == 130
        assert f"the campaign itself goes on; end it with: bkgflow cancel {out}" in said
        held.release()
        lines = [first, *watching.communicate(timeout=250)[0].splitlines()]
    assert watching.returncode == 0
    assert [json.loads(line)["state"] for line in (lines[0], lines[-1])] == ["running", "complete"]


def test_submit_takes_every_option_of_run():
    import typer.main

    commands = typer.main.get_command(app).commands

    def options(name):
        return {option for each in commands[name].params for option in each.opts}

    assert options("run") - options("submit") == {"--dry-run", "--verbose", "-v"}
    assert options("submit") <= options("run")


def test_no_password_is_written(tmp_path, crowd):
    """Of a ledger that cannot be reached: what was handed over went through no file either."""
    secret = "wonderland7"
    out, given = tmp_path / "out", f"postgresql://ada:{secret}@127.0.0.1:{free_port()}/x"
    code, _, error = command("submit", crowd, "--output", out, "--ledger", given)
    assert code == 2 and secret not in error
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


def test_a_program_of_one_bad_unit_ends_before_anybody_waits(tmp_path, out):
    program = write_crowd(tmp_path / "one", 1, size=16)
    (program / "t0_rate.fits").write_text("no exposure")
    code, said, _ = command("submit", program, "--output", out)
    assert code == 0 and "1 unit into" in said
    assert command("wait", out)[0] == 1
