"""A repository of icechunk in a bucket: products as commits, whoever is killed meanwhile."""

import json

import icechunk
import pytest
import xarray as xr

import bkgflow
from bkgflow.errors import UsageError
from bkgflow.io.storage.reached import forget_stores
from bkgflow.io.storage.s3_settings import credentials_of, s3_settings
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


ENVIRONMENT = {
    "words": lambda store: {
        "FSSPEC_S3_ENDPOINT_URL": store.proxy.url,
        "FSSPEC_S3_KEY": store.key,
        "FSSPEC_S3_SECRET": store.secret,
    },
    "client": lambda store: {
        "FSSPEC_S3": json.dumps(
            {
                "client_kwargs": {
                    "endpoint_url": store.proxy.url,
                    "aws_access_key_id": store.key,
                    "aws_secret_access_key": store.secret,
                    "region_name": "us-east-1",
                }
            }
        )
    },
    "profile": lambda store: {"FSSPEC_S3_PROFILE": "lab"},
}
"""How fsspec is told of a store; nothing else says it."""


@pytest.fixture
def said_to_fsspec(request, store, tmp_path, monkeypatch):
    for name in store.environment:
        if name != "AWS_EC2_METADATA_DISABLED":
            monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        f"[profile lab]\nregion = us-east-1\nendpoint_url = {store.proxy.url}\n"
        f"aws_access_key_id = {store.key}\naws_secret_access_key = {store.secret}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    for name, value in ENVIRONMENT[request.param](store).items():
        monkeypatch.setenv(name, value)
    forget_stores()


@pytest.mark.slow
@pytest.mark.parametrize("said_to_fsspec", ENVIRONMENT, indirect=True)
def test_a_repository_is_reached_as_fsspec_reaches_its_bucket(
    said_to_fsspec, store, program, tmp_path
):
    url = f"icechunk://{store.url}/all.icechunk"
    plan = bkgflow.plan(program, f"{store.url}/out", store=url)
    assert bkgflow.run(plan, "threads", progress=False).ok
    assert len(bkgflow.run(plan, "threads", progress=False).kept) == 3
    assert sorted(last(store, "all.icechunk").children) == NAMES
    assert store.secret not in repr(s3_settings())
    assert s3_settings().profile == "" or credentials_of("lab")[:2] == (store.key, store.secret)


@pytest.mark.parametrize("anonymous", ["true", "yes"])
def test_public_buckets_are_read_without_credentials(store, monkeypatch, anonymous):
    assert not s3_settings().anonymous
    monkeypatch.setenv("FSSPEC_S3_ANON", anonymous)
    forget_stores()
    assert s3_settings().anonymous


def test_a_profile_that_is_not_there_is_said(store, monkeypatch):
    monkeypatch.setenv("FSSPEC_S3_PROFILE", "nobody")
    forget_stores()
    with pytest.raises(UsageError, match="nobody"):
        s3_settings()


@pytest.mark.slow
def test_a_repository_that_does_not_answer_is_refused_before_the_first_unit(
    store, tmp_path, bkgflow_, monkeypatch
):
    write_program(tmp_path / "p")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_stores()
    url, out = f"icechunk://{store.url}/all.icechunk", tmp_path / "out"
    code, said, err = bkgflow_("run", tmp_path / "p", "--output", out, "--store", url)
    assert code == 2 and "must say what is in it" in err and "AWS_ENDPOINT_URL" in err
    assert "BLOCKED" not in said + err and not out.exists()
    monkeypatch.setenv("AWS_ENDPOINT_URL", store.proxy.url)
    forget_stores()
    plan = bkgflow.plan(tmp_path / "p", out, store=url)
    assert bkgflow.run(plan, "threads", progress=False).ok
