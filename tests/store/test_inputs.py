"""Programs that are read from a bucket: by ranges, as they are, and as what was planned."""

import gzip
import random
import time

import numpy as np
import pytest
from astropy.io import fits

import bkgflow
from bkgflow.errors import FileError, PlanError, UsageError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.source import read_whole
from bkgflow.io.storage.lists import expanded, split_list
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.ranges import SMALL
from bkgflow.io.storage.reached import forget_stores
from tests.helpers.exposures import make_model, write_association
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow


def data_of(size, seed=1):
    return random.Random(seed).randbytes(size)


def test_any_reads_give_the_bytes_of_the_object(store):
    data = data_of(700_000)
    location = Location.of(store.put("a.bin", data))
    chance = random.Random(2)
    with location.open() as stream:
        for _ in range(200):
            at, size = chance.randrange(len(data) + 10), chance.choice([1, 80, 2880, 70_000])
            stream.seek(at)
            assert stream.read(size) == data[at : at + size]
        stream.seek(0)
        assert stream.read() == data
    assert store.proxy.sent("GET", "a.bin") <= 2 * len(data)


def test_what_was_announced_comes_in_few_requests_and_once(store):
    data = data_of(9 << 20)
    location = Location.of(store.put("a.bin", data))
    location.identity()
    with location.open() as stream:
        stream.announce([(100_000, 3 << 20), (3 << 20, 8 << 20)])
        stream.seek(100_000)
        assert stream.read((8 << 20) - 100_000) == data[100_000 : 8 << 20]
    ranges = [r.headers["range"] for r in store.proxy.requests if r.method == "GET"]
    assert len(ranges) == 3  # the beginning, and two pieces
    assert store.proxy.sent("GET", "a.bin") < (8 << 20) + 50_000


def test_an_object_is_read_through_gzip(store, tmp_path):
    make_model(np.arange(24 * 24, dtype=np.float32).reshape(24, 24)).save(str(tmp_path / "a.fits"))
    packed = gzip.compress((tmp_path / "a.fits").read_bytes())
    url = store.put("a_rate.fits.gz", packed)
    sci, _, _ = read_whole(inspect(url).source)
    assert np.array_equal(sci, fits.getdata(tmp_path / "a.fits", "SCI"))
    assert store.proxy.sent("GET", "a_rate") <= 1.1 * len(packed)


def units_of(plan):
    return [(unit.target.name, unit.verdict.state.value) for unit in plan.units]


def test_a_program_has_the_same_units_however_a_url_names_it(store, tmp_path):
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", "prog"), f"{store.url}/out"
    (tmp_path / "list.txt").write_text("x_asn.json\n")
    store.put("prog/list.txt", b"# a list\nx_asn.json\n")
    wanted = units_of(bkgflow.plan(str(tmp_path / "p"), tmp_path / "out"))
    assert len(wanted) == 3
    for program in (url, f"{url}/x_asn.json", f"{url}/*_asn.json", f"@{url}/list.txt"):
        assert units_of(bkgflow.plan(program, out)) == wanted
    alone = bkgflow.plan(f"{url}/t?_rate.fits", out, bkg_list=f"{url}/b_rate.fits")
    assert units_of(alone) == wanted
    assert store.names("out") == []


@pytest.mark.parametrize("folder", ["br[1]ack", "a,b", "st*r", "q?"])
def test_a_name_that_is_there_is_no_pattern_and_no_list(folder, store, tmp_path):
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", f"d/{folder}"), f"{store.url}/out"
    wanted = units_of(bkgflow.plan(str(tmp_path / "p"), tmp_path / "out"))
    for program in (url, f"{url}/", f"{url}/x_asn.json"):
        assert units_of(bkgflow.plan(program, out)) == wanted
    skies = f"{url}/b_rate.fits"
    assert units_of(bkgflow.plan(f"{url}/t0_rate.fits", out, bkg_list=skies)) == wanted[:1]
    assert split_list(f"{url}/b_rate.fits,{tmp_path}/x.fits")[-1] == f"{tmp_path}/x.fits"
    assert split_list(f"{store.url}/e.fits,{store.url}/f.fits") == [
        f"{store.url}/{each}.fits" for each in "ef"
    ]


def test_what_a_pattern_does_not_fit_is_said(store):
    with pytest.raises(PlanError, match="must fit one file"):
        bkgflow.plan(f"{store.url}/none*.json", f"{store.url}/out")
    with pytest.raises(PlanError, match="no such file or folder"):
        bkgflow.plan(f"{store.url}/none", f"{store.url}/out")
    with pytest.raises(FileError, match="with a path on each line"):
        expanded(f"@{store.url}/none.txt")


def test_headers_of_many_exposures_are_read_side_by_side(store, tmp_path):
    with make_model([[1.0] * 64] * 64) as model:
        model.save(str(tmp_path / "b_rate.fits"))
    names = [f"t{n}_rate.fits" for n in range(24)]
    data = (tmp_path / "b_rate.fits").read_bytes()
    for name in ["b_rate.fits", *names]:
        store.put(name, data)
    path = write_association(tmp_path / "a.json", [(n, n, ["b_rate.fits"]) for n in names])
    url = store.put("a_asn.json", path.read_bytes())
    store.proxy.latency = 0.3
    begin = time.monotonic()
    plan = bkgflow.plan(url, tmp_path / "out")
    took = time.monotonic() - begin
    looked = store.proxy.count("_rate.fits")
    assert len(plan.units) == 24 and 25 <= looked <= 8 * 25
    assert took < 0.7 * looked * store.proxy.latency
    assert store.proxy.count("_rate.fits", "HEAD") == 0  # one listing tells all versions


def test_an_open_bucket_is_read_without_credentials(store, tmp_path, monkeypatch):
    write_program(tmp_path / "p", targets=1)
    url = store.upload(tmp_path / "p", "jwst/public/jw02282/jw02282010001")
    store.client.put_bucket_acl(Bucket=store.bucket, ACL="public-read")
    for name in store.names():
        store.client.put_object_acl(Bucket=store.bucket, Key=name, ACL="public-read")
    store.proxy.requests.clear()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    forget_stores()
    plan = bkgflow.plan(f"{url}/x_asn.json", tmp_path / "out")
    assert units_of(plan) == [("t0_rate.fits", "PLANNED")]
    assert not [r for r in store.proxy.requests if "authorization" in r.headers]
    bkgflow.run(plan, "threads")
    assert fits.getdata(tmp_path / "out" / "t0_bsub.fits", "SCI")[0, 0] == 2.0


@pytest.mark.parametrize("place", ["program", "output", "data", "bkg_list"])
@pytest.mark.parametrize("user", ["me:hunter2", ":hunter2", "me:p@hunter2"])
def test_a_url_with_a_password_is_refused_and_not_repeated(user, place, tmp_path):
    write_program(tmp_path / "p")
    url = f"s3://{user}@bucket/x"
    given = {"program": str(tmp_path / "p"), "output": tmp_path / "out", place: url}
    with pytest.raises(UsageError, match="no password in it") as caught:
        bkgflow.plan(given.pop("program"), given.pop("output"), **given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("size", [24, 160])
def test_an_object_replaced_after_the_plan_is_an_error_of_its_unit_alone(store, tmp_path, size):
    """A small one is read whole while it is planned, and then held in memory."""
    (tmp_path / "p").mkdir()
    for name, value in (("t0", 3.0), ("t1", 3.0), ("t2", 3.0), ("b", 1.0), ("other", 9.0)):
        with make_model(np.full((size, size), value, np.float32)) as model:
            model.save(str(tmp_path / "p" / f"{name}_rate.fits"))
    assert ((tmp_path / "p" / "b_rate.fits").stat().st_size <= SMALL) == (size == 24)
    products = [(f"p{n}", f"t{n}_rate.fits", ["b_rate.fits"]) for n in range(3)]
    write_association(tmp_path / "p" / "x_asn.json", products)
    url = store.upload(tmp_path / "p", "prog")
    plan = bkgflow.plan(f"{url}/x_asn.json", f"{store.url}/out")
    plan.save(tmp_path / "plan.json")
    store.put("prog/t1_rate.fits", (tmp_path / "p" / "other_rate.fits").read_bytes())
    result = bkgflow.run(bkgflow.Plan.load(tmp_path / "plan.json"), "threads")
    assert [v.state for v in result.verdicts] == ["COMPLETE", "QUARANTINED", "COMPLETE"]
    error = result.verdicts[1].error
    assert "must stay what it was when the program was planned" in error.message
    assert "plans anew" in error.cure and error.file.endswith("t1_rate.fits")
    again = bkgflow.run(bkgflow.plan(f"{url}/x_asn.json", f"{store.url}/out"), "threads")
    assert [v.state for v in again.verdicts] == ["COMPLETE"] * 3 and len(again.kept) == 2


def test_a_small_background_replaced_after_the_plan_is_no_background(store, tmp_path):
    write_program(tmp_path / "p", targets=1)
    url = store.upload(tmp_path / "p", "prog")
    plan = bkgflow.plan(f"{url}/x_asn.json", f"{store.url}/out")
    store.put("prog/b_rate.fits", (tmp_path / "p" / "t0_rate.fits").read_bytes())
    [verdict] = bkgflow.run(plan, "threads").verdicts
    assert verdict.state == "QUARANTINED" and verdict.error.file.endswith("b_rate.fits")


def test_what_is_held_in_memory_is_asked_for_once_in_a_byte(store):
    location = Location.of(store.put("a.bin", data_of(50_000)))
    location.identity()
    for opened in range(3):
        with location.open() as stream:
            stream.read()
        assert store.proxy.count("a.bin", "GET") == 1, opened
    location.expect(location.identity())
    for _ in range(3):
        with location.open() as stream:
            assert stream.read() == data_of(50_000)
    ranges = [r.headers["range"] for r in store.proxy.requests if r.method == "GET"]
    assert ranges[1:] == ["bytes=0-0"]
