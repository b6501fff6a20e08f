"""Campaigns that go on by themselves, whose output folder is a bucket; and workers without keys."""

import json
import os

import pytest

import bkgflow
from bkgflow.errors import UsageError
from tests.helpers.clusters import processes
from tests.helpers.drivers import command
from tests.helpers.programs import write_program
from tests.helpers.stores import SECRET

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]

THREADS = ("--cluster", "threads", "--workers", "1")


@pytest.fixture
def program(store, tmp_path):
    write_program(tmp_path / "p")
    return store.upload(tmp_path / "p", "prog")


def test_a_campaign_in_a_bucket_is_submitted_waited_for_and_asked(store, program):
    out = f"{store.url}/out"
    code, said, err = command("submit", program, "--output", out, *THREADS)
    assert code == 0 and f"3 units into {out}" in said, err
    code, said, err = command("wait", out)
    assert code == 0 and "3 of 3 units done (3 COMPLETE)" in said, err
    code, said, err = command("status", out, "--json")
    found = json.loads(said)
    assert (code, found["state"]) == (0, "complete"), err
    assert [n for n in store.names("out/") if n.endswith(".fits")] == [
        f"out/t{n}_bsub.fits" for n in range(3)
    ]
    assert ".bkgflow" not in " ".join(store.names("out/"))
    assert SECRET not in said + err


def test_what_went_wrong_in_a_bucket_is_retried(store, program):
    out, data = f"{store.url}/out", store.get("prog/t1_rate.fits")
    store.put("prog/t1_rate.fits", data[: len(data) - 8000])  # its headers are in order
    assert command("submit", program, "--output", out, *THREADS)[0] == 0
    code, said, _ = command("wait", out)
    assert code != 0 and "QUARANTINED" in said
    assert command("status", out)[0] == code
    store.put("prog/t1_rate.fits", data)
    code, said, err = command("retry", out)
    assert code == 0, said + err
    code, said, err = command("wait", out)
    assert code == 0 and "3 COMPLETE" in said, said + err
    assert command("status", out)[0] == 0
    assert bkgflow.verify(out).ok


def test_a_worker_without_credentials_is_refused_before_the_first_unit(store, program, tmp_path):
    """One of two has them: what the other lacks is said, and nothing is done."""
    out = f"{store.url}/out"
    store.proxy.requests.clear()
    without = {name: "" for name in os.environ if name.startswith(("AWS_ACCESS", "AWS_SECRET"))}
    with processes(tmp_path / "cluster") as cluster:
        cluster.scheduler()
        cluster.worker()
        cluster.worker(**without)
        plan = bkgflow.plan(program, out)
        with pytest.raises(UsageError, match="must see the inputs as the driver") as caught:
            bkgflow.run(plan, cluster.address, progress=False)
    assert "the store refuses access" in caught.value.value
    assert "credentials" in caught.value.cure and caught.value.file.startswith(program)
    assert SECRET not in str(caught.value)
    assert not [name for name in store.names("out/") if name.endswith(".fits")]
