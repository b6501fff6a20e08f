"""Stores that throttle, stall, cut connections, or are gone: borne, or said once."""

import os
from collections import Counter

import numpy as np
import pytest
from astropy.io import fits

import bkgflow
from bkgflow.errors import BkgflowError, FileError, OutputError, StorageError
from bkgflow.graph.guard import Patience, guarded
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.storage import unwell
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reached import forget_stores
from bkgflow.verdict import Passing
from tests.helpers.exposures import make_model
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow


def faults_of_each(kind, times):
    """The first requests for every object and method go wrong."""
    seen = Counter()

    def fault(request, number):
        what = request.method, request.path, request.headers.get("range")
        seen[what] += 1
        return kind if seen[what] <= times else ""

    return fault


@pytest.mark.parametrize("kind", ["throttle", "429", "cut", "refuse"])
def test_a_run_bears_a_store_that_is_unwell(kind, store, hasty, tmp_path):
    write_program(tmp_path / "p")
    url = store.upload(tmp_path / "p", "prog")
    store.proxy.fault = faults_of_each(kind, 2 if kind != "cut" else 1)
    result = bkgflow.run(bkgflow.plan(url, f"{store.url}/out"), "threads")
    assert result.ok, result
    store.proxy.fault = lambda request, number: ""
    for name in ("t0", "t1", "t2"):
        (tmp_path / "x.fits").write_bytes(store.get(f"out/{name}_bsub.fits"))
        assert np.all(fits.getdata(tmp_path / "x.fits", "SCI") == 2.0)


def test_a_store_that_stalls_is_asked_again(store, hasty, tmp_path, monkeypatch):
    with make_model([[1.0] * 64] * 64) as model:
        model.save(str(tmp_path / "a.fits"))
    url = store.put("a_rate.fits", (tmp_path / "a.fits").read_bytes())
    monkeypatch.setenv("FSSPEC_S3", '{"config_kwargs": {"read_timeout": 0.5}}')
    forget_stores()
    store.proxy.fault = faults_of_each("stall", 1)
    assert inspect(url).window.shape == (64, 64)


def test_what_does_not_pass_is_trouble_that_may_pass_of_its_unit(store, hasty):
    location = Location.of(store.put("a.bin", os.urandom(200_000)))
    location.identity()
    store.proxy.fault = lambda request, number: "throttle"
    again = Patience(2, 0.0, sleep=lambda seconds: None)
    verdict = guarded(lambda: location.open().__enter__().read(), patience=again)
    assert verdict.passing == Passing.DISK
    assert "8 attempts" in verdict.reason and "SlowDown" in verdict.reason


def test_a_missing_bucket_is_said_once_before_anything(store, tmp_path):
    write_program(tmp_path / "p")
    url = store.upload(tmp_path / "p", "prog")
    with pytest.raises(StorageError, match="bucket of an input or an output must be there"):
        bkgflow.plan(url, "s3://no-such-bucket/out")
    with pytest.raises(BkgflowError, match="must be there") as caught:
        bkgflow.plan("s3://no-such-bucket/prog", tmp_path / "out")
    assert "NoSuchBucket" in caught.value.value


def test_a_bucket_that_vanishes_stops_the_run_once(store, hasty, tmp_path):
    write_program(tmp_path / "p", targets=20, size=160)
    url = store.upload(tmp_path / "p", "prog")
    plan = bkgflow.plan(url, tmp_path / "out")
    client = store.client
    for name in store.names():
        client.delete_object(Bucket=store.bucket, Key=name)
    client.delete_bucket(Bucket=store.bucket)
    plan.save(tmp_path / "plan.json")
    forget_stores()
    result = bkgflow.run(bkgflow.Plan.load(tmp_path / "plan.json"), "threads")
    assert "bucket" in result.stopped
    assert set(result.counts) == {"BLOCKED"} and not list((tmp_path / "out").glob("*.fits"))


def test_a_missing_object_is_the_affair_of_its_unit(store, tmp_path):
    write_program(tmp_path / "p")
    url = store.upload(tmp_path / "p", "prog")
    store.client.delete_object(Bucket=store.bucket, Key="prog/t1_rate.fits")
    plan = bkgflow.plan(url, tmp_path / "out")
    assert Counter(u.verdict.state.value for u in plan.units) == {"PLANNED": 2, "QUARANTINED": 1}
    with pytest.raises(FileError, match="must be a readable file"):
        inspect(f"{url}/t1_rate.fits")


def test_a_store_that_swallows_every_request_is_not_asked_for_minutes(monkeypatch):
    """With a clock of its own: each request takes ten seconds and comes to nothing."""
    now = [0.0]
    monkeypatch.setattr("bkgflow.io.storage.unwell.time.monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += seconds

    def ask():
        wait(10.0)
        raise TimeoutError("no answer")

    patience = unwell.Patience(sleep=wait)
    with pytest.raises(OSError, match="no answer"):
        unwell.persistently(ask, "s3://far/away", patience)
    assert 30.0 < now[0] < 45.0
    before = now[0]
    with pytest.raises(OSError, match="no answer"):
        unwell.persistently(ask, "s3://far/another", patience)
    assert now[0] - before == pytest.approx(10.0)
    assert unwell.persistently(lambda: "there again", "s3://far/away", patience) == "there again"
    with pytest.raises(OSError, match="no answer"):
        unwell.persistently(ask, "s3://far/away", patience)
    assert now[0] - before > 40.0
    unwell.persistently(lambda: "there again", "s3://far/away", patience)


@pytest.mark.parametrize("file", ["bkgflow-campaign.json", ".bkgflow-lock"])
def test_a_campaign_that_cannot_be_read_just_now_is_not_replaced(store, hasty, tmp_path, file):
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", "prog"), f"{store.url}/out"
    plan = bkgflow.plan(url, out)
    assert bkgflow.run(plan, "threads").ok
    before = store.get("out/bkgflow-campaign.json")
    store.proxy.fault = lambda request, number: "throttle" if file in request.path else ""
    asked = (
        lambda: bkgflow.run(plan, "threads"),
        lambda: bkgflow.rebuild(out, anew=True),
        lambda: bkgflow.verify(out),
        lambda: bkgflow.Campaign.open(out),
    )
    for ask in asked:
        with pytest.raises(OutputError, match="SlowDown") as caught:
            ask()
        assert caught.value.file.startswith(out)
    store.proxy.fault = lambda request, number: ""
    assert store.get("out/bkgflow-campaign.json") == before
    assert len(bkgflow.run(plan, "threads").kept) == 3
