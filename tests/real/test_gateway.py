"""What only a real store shows: refused secrets, conditions, parts, and the demo program."""

import os
import signal
import subprocess
import sys
import time

import pytest

import bkgflow
from bkgflow.errors import OutputError, StorageError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.storage.leftovers import clear_dead
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import hold, holder_of
from bkgflow.io.storage.publish import publisher_of
from bkgflow.io.storage.reached import forget_stores
from bkgflow.io.zarr.reading import holds_product
from tests.helpers.clusters import ROOT
from tests.helpers.demo import DEMO, demo_program, differences, with_references
from tests.helpers.programs import write_program
from tests.helpers.stores import killed_at

pytestmark = [pytest.mark.debian, pytest.mark.slow]


def needed(plan):
    """Bytes of exposures that must be read: targets whole, members' SCI, ERR and DQ."""
    facts, members = plan.facts(), {each for one in plan.shared for each in one.members}
    targets = sum(facts[unit.target].identity.size for unit in plan.units)
    pixels = sum(
        facts[each].window.nx * facts[each].window.ny * (facts[each].n_integrations or 1)
        for each in members - {unit.target for unit in plan.units}
    )
    return targets + 12 * pixels


def test_the_demo_program_goes_from_a_bucket_to_a_bucket(store, tmp_path):
    written = demo_program(tmp_path / "program")
    with_references(written, tmp_path / "refs")
    url = store.upload(tmp_path / "program", "program")
    refs = store.upload(tmp_path / "refs", "refs")
    names = [p.relative_to(tmp_path / "program") for each in written for p in each.associations]
    here = [str(tmp_path / "program" / name) for name in names]
    local = bkgflow.run(
        bkgflow.plan(here, tmp_path / "out", references=tmp_path / "refs", **DEMO), "threads"
    )
    assert local.ok
    plan = bkgflow.plan([f"{url}/{name}" for name in names], f"{store.url}/out", references=refs,
                        **DEMO)  # fmt: skip
    result = bkgflow.run(plan, "local", workers=2)
    assert result.ok, result
    read, requests = store.proxy.sent("GET", "/program/"), store.proxy.count("_rate", "GET")
    assert read <= 1.1 * needed(plan), (read, needed(plan))
    print(f"{read / needed(plan):.3f} of the bytes, {requests / len(plan.exposures):.1f} requests")
    products = sorted(path.name for path in (tmp_path / "out").glob("*.fits"))
    assert products == [n.removeprefix("out/") for n in store.names("out") if n.endswith(".fits")]
    for name in products:
        (tmp_path / "theirs.fits").write_bytes(store.get(f"out/{name}"))
        assert not differences(tmp_path / "out" / name, tmp_path / "theirs.fits")


def test_a_wrong_secret_is_refused_once_before_anything(store, tmp_path, monkeypatch):
    write_program(tmp_path / "p")
    url = store.upload(tmp_path / "p", "prog")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    forget_stores()
    for program, out in ((url, tmp_path / "out"), (str(tmp_path / "p"), f"{store.url}/out")):
        with pytest.raises(StorageError, match="accept the credentials") as caught:
            bkgflow.plan(program, out)
        assert "SignatureDoesNotMatch" in caught.value.value
        assert "another-secret" not in str(caught.value)


def test_a_secret_that_is_withdrawn_stops_the_run_once(store, tmp_path, monkeypatch, hasty):
    write_program(tmp_path / "p", targets=12, size=160)
    plan = bkgflow.plan(store.upload(tmp_path / "p", "prog"), tmp_path / "out")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    forget_stores()
    result = bkgflow.run(plan, "threads")
    assert "credentials" in result.stopped and set(result.counts) == {"BLOCKED"}


def test_conditions_hold_for_small_and_for_large_objects(store):
    for size in (100, 40 << 20):
        to = Location.of(f"{store.url}/a.fits")
        draft = publisher_of(to).prepare(to)
        draft.path.write_bytes(b"x" * size)
        store.put("a.fits", b"theirs")
        with pytest.raises(OutputError, match="somebody else has written"):
            draft.publish()
        assert store.get("a.fits") == b"theirs"
        draft = publisher_of(to).prepare(to)
        draft.path.write_bytes(b"x" * size)
        draft.publish()
        assert len(store.get("a.fits")) == size
        store.client.delete_object(Bucket=store.bucket, Key="a.fits")


def test_the_lock_is_held_and_given_back(store):
    out = Location.of(f"{store.url}/out")
    with hold(out, "0123abcd"):
        assert holder_of(out).run == "0123abcd"
        with pytest.raises(OutputError, match="one run at a time"), hold(out, "4567abcd"):
            pass
    assert store.names() == []


WRITER = """
import sys
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import publisher_of
to = Location.of(sys.argv[1])
draft = publisher_of(to).prepare(to)
draft.path.write_bytes(bytes(60 << 20))
draft.publish()
"""


def test_a_writer_that_is_killed_leaves_no_object_and_its_parts_are_removed(store, tmp_path):
    store.proxy.fault = lambda request, _: "stall" * ("partNumber=3" in request.path)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, f"{store.url}/out/a.fits"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 60
    while store.proxy.count("partNumber", "PUT") < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    uploads = lambda: store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads")  # noqa: E731
    assert uploads() and store.names() == []
    with hold(Location.of(f"{store.url}/out"), "0123abcd"):
        assert clear_dead(Location.of(f"{store.url}/out")).removed == 1
    assert not uploads()


def test_a_killed_writer_of_a_group_leaves_none_and_the_next_run_makes_it(store, tmp_path):
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", "prog"), f"{store.url}/out"
    words = ("run", url, "--output", out, "--format", "zarr", "--cluster", "threads", "-q")
    killed_at(
        store,
        lambda each: each.method == "PUT" and each.path.endswith("t1_bsub.zarr/zarr.json"),
        *words,
    )
    product = Location.of(f"{out}/t1_bsub.zarr")
    assert len([n for n in store.names("out/") if "t1_bsub.zarr/" in n]) > 10
    assert not holds_product(product)
    result = bkgflow.run(bkgflow.plan(url, out, format="zarr"), "threads", progress=False)
    assert result.ok and holds_product(product) and bkgflow.verify(out).ok
    assert not [name for name in store.names("out/") if "/.bkgflow-" in name]


def test_workers_commit_to_a_repository_side_by_side(store, tmp_path):
    write_program(tmp_path / "p", targets=8)
    url, store_url = store.upload(tmp_path / "p", "prog"), f"icechunk://{store.url}/all.icechunk"
    plan = bkgflow.plan(url, tmp_path / "out", store=store_url)
    result = bkgflow.run(plan, "local", workers=2, progress=False)
    assert result.ok, result
    assert len(bkgflow.run(plan, "threads", progress=False).kept) == 8
    assert bkgflow.verify(tmp_path / "out").ok
    assert len(bkgflow.export_fits(store_url, tmp_path / "fits")) == 8


def test_an_exposure_costs_few_requests(store, tmp_path):
    write_program(tmp_path / "p", targets=1, size=600)
    url = store.upload(tmp_path / "p", "prog")
    inspect(f"{url}/t0_rate.fits")
    assert store.proxy.count("t0_rate") <= 10
