"""A repository of icechunk in a bucket: products as commits, whoever is killed meanwhile."""

import icechunk
import pytest
import xarray as xr

import bkgflow
from tests.helpers.products import assert_same
from tests.helpers.programs import write_program
from tests.helpers.stores import killed_at

NAMES = ["t0_bsub", "t1_bsub", "t2_bsub"]


@pytest.fixture
def program(store, tmp_path):
    write_program(tmp_path / "p")
    return store.upload(tmp_path / "p", "prog")


def last(store, name):
    where = icechunk.s3_storage(
        bucket=store.bucket, prefix=name, endpoint_url=f"http://127.0.0.1:{store.port}",
        allow_http=True, force_path_style=True, region="us-east-1",
        access_key_id=store.key, secret_access_key=store.secret,
    )  # fmt: skip
    session = icechunk.Repository.open(where).readonly_session("main")
    return xr.open_datatree(session.store, engine="zarr", consolidated=False)


@pytest.mark.slow
@pytest.mark.parametrize("home", ["disk", "bucket"])
def test_products_are_commits_in_a_bucket_and_come_back(store, program, tmp_path, home):
    out = tmp_path / "out" if home == "disk" else f"{store.url}/out"
    url = f"icechunk://{store.url}/all.icechunk"
    plan = bkgflow.plan(program, out, store=url)
    assert bkgflow.run(plan, "threads", progress=False).ok
    tree = last(store, "all.icechunk")
    assert sorted(tree.children) == NAMES and float(tree["t0_bsub/sci"][0, 0]) == 2.0
    assert len(bkgflow.run(plan, "threads", progress=False).kept) == 3
    found = bkgflow.verify(out)
    assert found.ok and all(each.checksum for each in found.files)
    assert bkgflow.run(bkgflow.plan(program, tmp_path / "d"), "threads", progress=False).ok
    for back in bkgflow.export_fits(url, tmp_path / "back"):
        assert_same(back.path, tmp_path / "d" / back.name)


@pytest.mark.slow
def test_a_writer_that_is_killed_before_its_commit_leaves_nothing_to_be_seen(store, program):
    url, out = f"icechunk://{store.url}/all.icechunk", f"{store.url}/out"
    assert bkgflow.run(bkgflow.plan(program, out, store=url), "threads", only=["t0*"]).ok
    before = set(store.names("all.icechunk/"))
    words = ["run", program, "--output", out, "--store", url, "--cluster", "threads", "-q"]
    killed_at(store, lambda each: each.method == "PUT" and "/snapshots/" in each.path, *words)
    assert set(store.names("all.icechunk/")) > before  # manifests, which nothing refers to
    assert list(last(store, "all.icechunk").children) == ["t0_bsub"]
    result = bkgflow.run(bkgflow.plan(program, out, store=url), "threads", progress=False)
    assert result.ok and len(result.kept) == 1 and bkgflow.verify(out).ok
    assert sorted(last(store, "all.icechunk").children) == NAMES
