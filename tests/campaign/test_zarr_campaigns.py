"""Campaigns whose products are zarr groups: the same products, whole at every moment, resumed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from functools import partial

import numpy as np
import pytest
import xarray as xr
import zarr
from typer.testing import CliRunner

import bkgflow
from bkgflow.cli import app
from bkgflow.errors import FileError, OutputError, UsageError
from bkgflow.io.fits.tree import read_wcs
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.many_files import is_product
from bkgflow.simulate import (
    simulate_imaging,
    simulate_nods,
    simulate_soss,
    simulate_tso,
    simulate_wfss,
)
from tests.helpers.campaigns import Campaign
from tests.helpers.drivers import COMMAND, environment
from tests.helpers.products import assert_same, tree_text

pytestmark = pytest.mark.slow

KINDS = {
    "imaging": (simulate_imaging, {"targets": 2, "backgrounds": 3, "size": 300}),
    "nods": (simulate_nods, {"points": 3}),
    "time series": (simulate_tso, {"integrations": 4, "backgrounds": 2, "size": 64}),
    "slitless": (simulate_wfss, {"exposures": 1, "size": 128}),
    "SOSS": (simulate_soss, {"integrations": 4, "segments": 2, "templates": 2}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_gives_the_same_products_in_both_formats(tmp_path, kind):
    simulate, options = KINDS[kind]
    made = simulate(tmp_path / "program", **options)
    references = made.references[0].parent if made.references else None
    step = {"save_combined_background": True, "references": references}
    folders = {}
    for form in ("fits", "zarr"):
        folders[form] = tmp_path / form
        plan = bkgflow.plan(list(made.associations), folders[form], format=form, **step)
        assert bkgflow.run(plan, "threads", progress=False).ok
    direct = sorted(folders["fits"].glob("*.fits"))
    back = bkgflow.export_fits(folders["zarr"], tmp_path / "back")
    assert [each.name for each in back] == [each.name for each in direct]
    for one, other in zip(direct, back, strict=True):
        assert_same(other.path, one)
        assert without_times(tree_text(other.path)) == without_times(tree_text(one))
        assert_same_sky(Location.of(one), other)
    assert not bkgflow.diff(folders["fits"], folders["zarr"]).different


def without_times(text):
    return re.sub(r"\d\d:\d\d:\d\d\.\d{3}|\s+", " ", text)


def assert_same_sky(one, other):
    """Both have the same WCS, or none: the same numbers at points of the detector."""
    first, second = read_wcs(one), read_wcs(other)
    if first is None:
        assert second is None
        return
    names = first.available_frames
    assert names == second.available_frames
    forward = [each.get_transform(names[0], names[1]) for each in (first, second)]
    points = [np.arange(3.0, 3.0 + forward[0].n_inputs) + each for each in (0.0, 10.5)]
    for point in points:
        if len(point) == 5:  # of a grism: x, y, where the source is, and the order
            point[-1] = 1
        np.testing.assert_array_equal(*(transform(*point) for transform in forward))


@pytest.fixture
def campaign(tmp_path):
    return Campaign(tmp_path, targets=4)


def run(campaign, **options):
    planned = {name: options.pop(name) for name in ("format", "store") if name in options}
    plan = bkgflow.plan(campaign.program, campaign.out, **planned)
    return bkgflow.run(plan, "threads", progress=False, **options)


def names(folder):
    return sorted(each.name for each in folder.iterdir() if not each.name.startswith("bkgflow"))


PRODUCTS = [f"t{number}_bsub.zarr" for number in range(4)]


def test_each_product_is_a_folder_beside_the_ledger(campaign):
    result = run(campaign, format="zarr")
    assert result.ok and names(campaign.out) == PRODUCTS
    for name in PRODUCTS:
        np.testing.assert_array_equal(xr.open_zarr(campaign.out / name).sci, np.full((24, 24), 2.0))
    assert not run(campaign, format="zarr").kept ^ {unit.digest for unit in result.plan.units}


def test_what_is_asked_of_a_campaign_holds_for_folders(campaign):
    run(campaign, format="zarr")
    assert bkgflow.verify(campaign.out).ok
    assert "COMPLETE and valid" in str(bkgflow.explain(campaign.out, PRODUCTS[0]))
    size = bkgflow.list_campaigns(campaign.out.parent).found[0].size
    assert size > sum(Location.of(campaign.out / name).size() for name in PRODUCTS)
    (campaign.out / PRODUCTS[1] / "sci" / "c" / "0" / "0").write_bytes(b"")
    [wrong] = bkgflow.verify(campaign.out).wrong
    assert wrong.file == PRODUCTS[1] and "bytes" in wrong.why
    result = run(campaign, format="zarr")
    assert len(result.kept) == 3 and bkgflow.verify(campaign.out).ok
    (campaign.out / "bkgflow-ledger.sqlite").unlink()
    bkgflow.rebuild(campaign.out)
    assert len(run(campaign, format="zarr").kept) == 4


def test_another_format_is_another_product(campaign):
    run(campaign, format="fits")
    assert not run(campaign, format="zarr").kept
    there = names(campaign.out)
    assert there == sorted([*PRODUCTS, *(f"t{number}_bsub.fits" for number in range(4))])
    assert len(run(campaign, format="zarr").kept) == 4
    assert bkgflow.verify(campaign.out).ok
    old = bkgflow.clean(campaign.out, yes=True)
    assert old.removed and names(campaign.out) == PRODUCTS
    run(campaign, format="fits")
    bkgflow.clean(campaign.out, yes=True)
    assert names(campaign.out) == [f"t{number}_bsub.fits" for number in range(4)]


@pytest.mark.parametrize("inside", [True, False])
def test_a_store_holds_a_group_for_each_product(campaign, inside):
    store = (campaign.out if inside else campaign.out.parent) / "all.zarr"
    result = run(campaign, store=store)
    assert result.ok and names(store) == [*(f"t{n}_bsub" for n in range(4)), "zarr.json"]
    metadata = zarr.open_group(store, mode="r").metadata.consolidated_metadata.metadata
    assert {"t0_bsub", "t3_bsub"} <= set(metadata)
    tree = xr.open_datatree(store, engine="zarr", chunks={})
    assert set(tree.children) == {f"t{n}_bsub" for n in range(4)}
    assert float(tree["t2_bsub/sci"].mean()) == 2.0
    assert len(run(campaign, store=store).kept) == 4
    assert bkgflow.verify(campaign.out).ok and not bkgflow.verify(campaign.out).unknown
    (store / "t1_bsub" / "dq" / "c" / "0" / "0").unlink()
    assert [each.why for each in bkgflow.verify(campaign.out).wrong]
    assert len(run(campaign, store=store).kept) == 3
    files = bkgflow.export_fits(store, campaign.out / "fits", product="t[12]_bsub")
    assert [each.name for each in files] == ["t1_bsub.fits", "t2_bsub.fits"]


def test_stores_that_cannot_be_are_refused(campaign, tmp_path):
    with pytest.raises(UsageError, match="must hold products in zarr"):
        run(campaign, format="fits", store=tmp_path / "s.zarr")
    with pytest.raises(UsageError, match=r"must end with .icechunk"):
        run(campaign, store="icechunk://somewhere/s")
    with pytest.raises(UsageError, match=r"on a disk or in a bucket of S3"):
        run(campaign, store="icechunk://gs://bucket/s.icechunk")
    with pytest.raises(UsageError, match=r"no password in it"):
        run(campaign, store="icechunk://s3://me:hunter2@bucket/s.icechunk")
    with pytest.raises(UsageError, match="must be among: fits, zarr"):
        run(campaign, format="hdf5")
    run(campaign, format="zarr")
    result = run(campaign, store=campaign.out / PRODUCTS[0])
    assert "A store must be a zarr group of products" in result.stopped
    assert bkgflow.verify(campaign.out).ok
    (tmp_path / "file").write_text("")
    assert not run(campaign, store=tmp_path / "file").ok
    with pytest.raises(OutputError):
        bkgflow.export_fits(campaign.out, tmp_path / "file" / "x")


def test_the_command_line_takes_format_and_store(campaign, tmp_path):
    runner, words = CliRunner(), ["run", str(campaign.program), "--output", str(campaign.out)]
    words += ["--cluster", "threads", "-q"]
    assert runner.invoke(app, [*words, "--format", "zarr"]).exit_code == 0
    assert names(campaign.out) == PRODUCTS
    for name, wanted in (((), 4), (("t3_bsub.zarr",), 1)):
        done = runner.invoke(app, ["export-fits", str(campaign.out), *name, str(tmp_path / "f")])
        assert done.exit_code == 0 and len(done.output.splitlines()) == wanted
    done = runner.invoke(
        app, ["export-fits", str(campaign.out), "t0_bsub", str(tmp_path / "f.fits")]
    )
    assert done.exit_code == 0 and (tmp_path / "f.fits").is_file()
    for bad in (["nix", "x.fits"], ["x.fits"], ["a", "b", "c"]):
        assert isinstance(
            runner.invoke(app, ["export-fits", str(campaign.out), *bad]).exception, UsageError
        )


def test_a_single_subtraction_writes_a_folder_as_well(campaign, tmp_path):
    runner, folder = CliRunner(), campaign.program
    words = ["subtract", str(folder / "t0_rate.fits"), "--bkg-list", str(folder / "b0_rate.fits")]
    done = runner.invoke(app, [*words, "--output-dir", str(tmp_path / "o"), "--format", "zarr"])
    assert done.exit_code == 0 and done.output.strip().endswith("t0_bsub.zarr")
    assert names(tmp_path / "o") == ["t0_bsub.zarr"]
    assert float(xr.open_zarr(tmp_path / "o" / "t0_bsub.zarr").sci.max()) == 2.0


def test_a_pictures_two_sides_may_be_of_two_formats(campaign, tmp_path):
    run(campaign, format="zarr")
    target, product = campaign.program / "t0_rate.fits", campaign.out / PRODUCTS[0]
    assert bkgflow.draw(target, product, tmp_path / "p.png").is_file()


def test_workers_say_what_zarr_takes_of_their_memory(campaign):
    plans = [bkgflow.plan(campaign.program, campaign.out, format=f) for f in ("fits", "zarr")]
    assert plans[0].costs.unit_task < plans[1].costs.unit_task


# A reader that polls.


class Poller(threading.Thread):
    """Opens whatever products are there, again and again, and reads all of each."""

    def __init__(self, folder):
        super().__init__()
        self.folder, self.read, self.wrong = folder, 0, []
        self.done = threading.Event()

    def run(self):
        while not self.done.is_set():
            found = list(self.folder.iterdir()) if self.folder.is_dir() else []
            for product in found:
                if not product.name.startswith(("bkgflow", ".", "zarr.")):
                    self.look(product)

    def look(self, product):
        try:
            data = xr.open_zarr(product, chunks=None)
            if not (data.sci.values == 2.0).all() or not np.isfinite(data.err.values).all():
                self.wrong.append(f"{product}: other numbers")
            assert "cards" in zarr.open_group(product, mode="r")["fits"]
        except Exception as problem:
            self.wrong.append(f"{product}: {type(problem).__name__}: {problem}")
        self.read += 1


@pytest.mark.parametrize("store", [False, True])
def test_a_reader_that_polls_never_finds_half_a_product(campaign, store):
    where = campaign.out / "all.zarr" if store else campaign.out
    poller = Poller(where)
    poller.start()
    try:
        for fresh in (False, True, True):
            assert run(campaign, format="zarr", store=where if store else None, fresh=fresh).ok
        wanted = poller.read + 8
        while poller.read < wanted and poller.is_alive():
            time.sleep(0.01)
    finally:
        poller.done.set()
        poller.join()
    assert poller.read >= 8 and not poller.wrong


def test_a_writer_that_is_killed_leaves_no_half_product_and_the_next_run_clears(tmp_path):
    campaign = Campaign(tmp_path, targets=16)
    for _attempt in range(8):
        if left := killed(campaign):
            break
    assert left, "it was never met while it wrote"
    for product in campaign.out.glob("*.zarr"):
        assert is_product(product)
        np.testing.assert_array_equal(xr.open_zarr(product).sci, np.full((24, 24), 2.0))
    assert run(campaign, format="zarr").ok
    assert names(campaign.out) == sorted(f"t{number}_bsub.zarr" for number in range(16))
    assert bkgflow.verify(campaign.out).ok


def killed(campaign):
    """Kill a run as soon as it writes; return what it left hidden."""
    words = ["run", campaign.program, "--output", campaign.out, "--format", "zarr", "--fresh"]
    process = subprocess.Popen(
        [*COMMAND, *map(str, words), "--cluster", "threads", "-q"],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while process.poll() is None and not list(campaign.out.glob(".bkgflow-*/*/sci/zarr.json")):
            time.sleep(0.001)
    finally:
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    return list(campaign.out.glob(".bkgflow-*/*"))


def test_a_store_forgets_what_is_cleaned_from_it(tmp_path):
    program, out, store = tmp_path / "program", tmp_path / "out", tmp_path / "all.zarr"
    simulate_imaging(program, targets=2, backgrounds=2, size=16)
    again = partial(bkgflow.run, cluster="threads", progress=False)
    again(bkgflow.plan(program, out, store=store))
    gone = sorted(program.glob("*_asn.json"))[0]
    gone.rename(tmp_path / gone.name)
    again(bkgflow.plan(program, out, store=store))
    assert len(bkgflow.clean(out, yes=True).unwanted) == 1
    assert len(list(xr.open_datatree(store, engine="zarr").children)) == 1


@pytest.mark.parametrize("damage", ["missing", "cut", "an array"])
def test_a_group_that_lacks_pixels_is_no_product(tmp_path, damage):
    program, out = tmp_path / "program", tmp_path / "out"
    simulate_imaging(program, targets=2, backgrounds=2, size=16)
    bkgflow.run(bkgflow.plan(program, out, format="zarr"), "threads", progress=False)
    broken, whole = sorted(out.glob("*.zarr"))
    shard = broken / "sci" / "c" / "0" / "0"
    if damage == "missing":
        shard.unlink()
    elif damage == "cut":
        os.truncate(shard, shard.stat().st_size // 2)
    else:
        shutil.rmtree(broken / "err")
    (out / "bkgflow-ledger.sqlite").unlink()
    with pytest.raises(FileError, match="must be a whole group"):
        bkgflow.export_fits(broken, tmp_path / "fits")
    assert not list(tmp_path.glob("fits/*.fits"))
    assert [each.file for each in bkgflow.rebuild(out).left_out] == [broken.name]
    assert [each.file for each in bkgflow.verify(out).files] == [whole.name]


def test_an_export_replaces_nothing_but_exports(tmp_path):
    program, out = tmp_path / "program", tmp_path / "out"
    [exposure, *_] = simulate_imaging(program, targets=1, backgrounds=2, size=16).exposures
    bkgflow.run(bkgflow.plan(program, out, format="zarr"), "threads", progress=False)
    [product] = out.glob("*.zarr")
    before = exposure.read_bytes()
    with pytest.raises(OutputError, match="that bkgflow did not write"):
        bkgflow.export_fits(product, exposure)
    assert exposure.read_bytes() == before
    for _ in range(2):
        bkgflow.export_fits(product, tmp_path / "mine.fits")
