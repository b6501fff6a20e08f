"""Campaigns whose store is a repository of icechunk: each product a commit, whole at every one."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time

import icechunk
import numpy as np
import pytest
import xarray as xr

import bkgflow
from bkgflow.errors import FileError, OutputError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.products.writer import Changes
from bkgflow.io.products.zarr import ZarrWriter
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import PublishAnywhere, publisher_of
from bkgflow.record import Record
from bkgflow.verdict import State, Verdict
from tests.helpers.campaigns import Campaign
from tests.helpers.drivers import COMMAND, environment

pytestmark = pytest.mark.slow

NAMES = [f"t{number}_bsub" for number in range(4)]


@pytest.fixture
def campaign(tmp_path):
    return Campaign(tmp_path, targets=4)


@pytest.fixture
def store(tmp_path):
    return f"icechunk://{tmp_path}/all.icechunk"


def run(campaign, store, cluster="threads", **options):
    plan = bkgflow.plan(campaign.program, campaign.out, store=store)
    return bkgflow.run(plan, cluster, progress=False, **options)


def repository_of(store):
    path = store.removeprefix("icechunk://")
    return icechunk.Repository.open(icechunk.local_filesystem_storage(path))


def last(store):
    return repository_of(store).readonly_session("main").store


def commits(store):
    return [each.message for each in repository_of(store).ancestry(branch="main")]


def test_each_product_is_one_commit(campaign, store):
    result = run(campaign, store)
    assert result.ok, result
    assert result.verdicts[0].products == (f"{store}/t0_bsub",)
    tree = xr.open_datatree(last(store), engine="zarr", consolidated=False)
    assert sorted(tree.children) == NAMES
    assert float(tree["t2_bsub/sci"].mean()) == 2.0 and "background" in tree["t2_bsub"]
    assert sorted(commits(store)[:4]) == NAMES
    assert not list(campaign.out.glob(".bkgflow*")) and not list(campaign.out.glob("*.zarr"))


def test_a_campaign_knows_its_products_there(campaign, store):
    assert run(campaign, store).ok
    before = len(commits(store))
    assert len(run(campaign, store).kept) == 4 and len(commits(store)) == before
    found = bkgflow.verify(campaign.out)
    assert found.ok and not found.unknown and all(each.checksum for each in found.files)
    assert "COMPLETE and valid" in str(bkgflow.explain(campaign.out, "t1_bsub"))
    (campaign.out / "bkgflow-ledger.sqlite").unlink()
    assert bkgflow.rebuild(campaign.out).units == 4
    assert len(run(campaign, store).kept) == 4 and len(commits(store)) == before
    assert bkgflow.verify(campaign.out).ok


def test_the_fits_files_of_it_are_those_of_a_run_with_files(campaign, store, tmp_path):
    assert run(campaign, store).ok
    plan = bkgflow.plan(campaign.program, tmp_path / "direct")
    assert bkgflow.run(plan, "threads", progress=False).ok
    files = bkgflow.export_fits(store, tmp_path / "back")
    assert [each.name for each in files] == [f"{name}.fits" for name in NAMES]
    one = bkgflow.export_fits(store, tmp_path / "one.fits", product="t1_bsub")
    assert one[0].size() == files[1].size()
    assert not bkgflow.diff(tmp_path / "direct", campaign.out).different
    assert bkgflow.open_exposure(f"{store}/t3_bsub").sci.mean() == 2.0


def test_a_unit_that_is_done_again_is_a_new_commit_and_the_old_one_stays(campaign, store):
    assert run(campaign, store).ok
    reader = xr.open_zarr(last(store), group="t0_bsub", consolidated=False)
    old = len(commits(store))
    assert run(campaign, store, fresh=True).ok
    assert len(commits(store)) == old + 4
    assert (reader.sci.values == 2.0).all()
    assert bkgflow.verify(campaign.out).ok


def test_a_product_that_was_removed_is_missing_and_done_again(campaign, store):
    assert run(campaign, store).ok
    from bkgflow.io.storage.icechunks import remove_group

    remove_group(f"{store}/t1_bsub")
    [wrong] = bkgflow.verify(campaign.out).wrong
    assert "missing" in wrong.why
    assert len(run(campaign, store).kept) == 3 and bkgflow.verify(campaign.out).ok


def test_clean_takes_products_that_nobody_wants_out_of_it(campaign, store):
    assert run(campaign, store).ok
    (campaign.program / "3_asn.json").unlink()
    assert run(campaign, store).ok
    cleaned = bkgflow.clean(campaign.out, yes=True)
    assert [each.file for each in cleaned.unwanted] == [f"{store}/t3_bsub"]
    assert (
        sorted(xr.open_datatree(last(store), engine="zarr", consolidated=False).children)
        == (NAMES[:3])
    )


def test_workers_in_processes_of_their_own_commit_side_by_side(tmp_path, store):
    campaign = Campaign(tmp_path / "many", targets=12)
    assert run(campaign, store, "local", workers=2).ok
    assert len(commits(store)) >= 12 and bkgflow.verify(campaign.out).ok


def group(store, name, value):
    """Begin a product of one value; it is not committed yet."""
    target = inspect(name)
    edit = {"SCI": lambda sci, _i, _r: sci.fill(value)}
    to = Location.of(f"{store}/x")
    with ZarrWriter(PublishAnywhere()).open(target) as opened:
        verdict = Verdict(State.COMPLETE, record=Record("0", "k"))
        return opened.product(Changes(edit), verdict, to)


def test_a_reader_sees_one_version_while_others_are_committed(campaign, store):
    assert run(campaign, store).ok
    target, ended, seen, wrong = campaign.program / "t0_rate.fits", threading.Event(), set(), []

    def poll():
        while not ended.is_set():
            data = xr.open_zarr(last(store), group="x", consolidated=False, chunks=None)
            values = set(data.sci.values.ravel().tolist())
            seen.update(values)
            if len(values) != 1 or ("cards" not in data.attrs and "dq" not in data):
                wrong.append(values)

    group(store, target, -1.0).publish()
    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for value in range(6):
            group(store, target, float(value)).publish()
    finally:
        ended.set()
        reader.join()
    assert seen and not wrong


def test_drafts_that_end_at_once_are_all_committed(campaign, store):
    assert run(campaign, store).ok
    target = inspect(campaign.program / "t0_rate.fits")
    made = []
    for name in ("a", "b", "c"):
        with ZarrWriter().open(target) as opened:
            verdict = Verdict(State.COMPLETE, record=Record("0", "k"))
            made.append(opened.product(Changes(), verdict, Location.of(f"{store}/{name}")))
    threads = [threading.Thread(target=draft.publish) for draft in made]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    tree = xr.open_datatree(last(store), engine="zarr", consolidated=False)
    assert {"a", "b", "c"} <= set(tree.children)


def test_of_a_writer_that_is_killed_whole_products_are_seen_and_the_next_run_goes_on(
    tmp_path, store
):
    campaign = Campaign(tmp_path / "many", targets=16)
    words = ["run", campaign.program, "--output", campaign.out, "--store", store]
    process = subprocess.Popen(
        [*COMMAND, *map(str, words), "--cluster", "threads", "-q"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    manifests = tmp_path / "all.icechunk" / "manifests"
    try:  # a manifest is written before the commit that it belongs to
        while process.poll() is None and not (manifests.is_dir() and any(manifests.iterdir())):
            time.sleep(0.001)
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    tree = xr.open_datatree(last(store), engine="zarr", consolidated=False)
    assert len(tree.children) < 16, "it was never met while it wrote"
    for name in tree.children:
        np.testing.assert_array_equal(tree[f"{name}/sci"], np.full((24, 24), 2.0))
        assert (tree[f"{name}/n_used"] == 1).all()
    assert run(campaign, store).ok and bkgflow.verify(campaign.out).ok


def test_what_a_repository_cannot_hold_is_refused(campaign, store, tmp_path):
    with pytest.raises(FileError, match="must hold products in zarr"):
        bkgflow.export_fits(store, tmp_path / "fits")
    with pytest.raises(OutputError, match="must hold groups of zarr") as caught:
        bkgflow.plan(campaign.program, store)
    assert "another output folder" in caught.value.cure
    with pytest.raises(OutputError, match="side by side"):
        publisher_of(Location.of(f"{store}/a/b")).prepare(Location.of(f"{store}/a/b"))
