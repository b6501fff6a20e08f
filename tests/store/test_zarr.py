"""Products as groups of zarr in a bucket: whole, known by the ledger, and given back as FITS."""

import os
import subprocess
import sys
import threading

import pytest
import xarray as xr
import zarr

import bkgflow
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.products.zarr import ZarrWriter
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import PublishAnywhere
from bkgflow.io.zarr.reading import holds_product, store_of
from tests.helpers.clusters import ROOT
from tests.helpers.products import assert_same
from tests.helpers.programs import write_program
from tests.helpers.stores import killed_at

pytestmark = pytest.mark.slow


@pytest.fixture
def program(store, tmp_path):
    """A program in a bucket; and the folder of its products as FITS files on a disk."""
    write_program(tmp_path / "p")
    url, direct = store.upload(tmp_path / "p", "prog"), tmp_path / "direct"
    assert bkgflow.run(bkgflow.plan(url, direct), "threads").ok
    return url, direct


@pytest.mark.parametrize("where", ["groups", "a store", "a store of a campaign on a disk"])
def test_products_in_a_bucket_are_known_again_and_come_back(store, program, tmp_path, where):
    url, direct = program
    out = tmp_path / "out" if "disk" in where else f"{store.url}/out"
    stored = f"{store.url}/all.zarr" if "store" in where else None
    plan = bkgflow.plan(url, out, format="zarr", store=stored)
    assert bkgflow.run(plan, "threads").ok
    assert len(bkgflow.run(plan, "threads").kept) == 3
    again = bkgflow.run(plan, "threads", fresh=True)
    assert again.ok and not again.kept
    found = bkgflow.verify(out)
    assert found.ok and all(each.checksum for each in found.files)
    assert not [name for name in store.names("") if "/.bkgflow-" in name]
    for back in bkgflow.export_fits(stored or out, tmp_path / "back"):
        assert_same(back.path, direct / back.name)
    if stored:
        tree = xr.open_datatree(stored, engine="zarr")
        assert sorted(tree.children) == ["t0_bsub", "t1_bsub", "t2_bsub"]
        assert tree["t0_bsub"]["sci"].attrs["units"]


def test_a_lost_ledger_of_products_in_a_bucket_is_made_again(store, program, tmp_path):
    url, _ = program
    out = tmp_path / "out"
    plan = bkgflow.plan(url, out, store=f"{store.url}/all.zarr")
    assert bkgflow.run(plan, "threads").ok
    (out / "bkgflow-ledger.sqlite").unlink()
    found = bkgflow.rebuild(out)
    assert found.counts == {"COMPLETE": 3} and not found.left_out
    assert len(bkgflow.run(plan, "threads").kept) == 3 and bkgflow.verify(out).ok


def test_a_byte_that_changed_in_a_bucket_is_seen(store, program):
    url, _ = program
    out = f"{store.url}/out"
    assert bkgflow.run(bkgflow.plan(url, out, format="zarr"), "threads").ok
    name = "out/t1_bsub.zarr/sci/c/0/0"
    raw = bytearray(store.get(name))
    raw[-1] ^= 1
    store.put(name, bytes(raw))
    [wrong] = [each for each in bkgflow.verify(out).files if not each.good]
    assert wrong.file == "t1_bsub.zarr" and "its bytes are not those" in wrong.why


def test_a_reader_that_polls_a_bucket_never_opens_half_a_group(store, program):
    """Of a group that is written again and again, every opening gives all of one version."""
    url, _ = program
    target = inspect(f"{url}/t0_rate.fits")
    to, writer, seen, done = (
        Location.of(f"{store.url}/x.zarr"),
        ZarrWriter(PublishAnywhere()),
        [],
        [],
    )

    def write() -> None:
        from bkgflow.io.products.writer import Changes
        from bkgflow.record import Record
        from bkgflow.verdict import State, Verdict

        try:
            for turn in range(4):
                value = float(turn)
                edit = {"SCI": lambda sci, _i, _r, value=value: sci.fill(value)}
                with writer.open(target) as opened:
                    verdict = Verdict(State.COMPLETE, record=Record("0", "k"))
                    opened.product(Changes(edit), verdict, to).publish()
        finally:
            done.append(True)

    thread = threading.Thread(target=write)
    thread.start()
    while not done:
        try:
            group = zarr.open_group(store_of(to), mode="r")
        except FileNotFoundError:
            continue
        names = {name for name, _ in group.arrays()}
        seen.append(names)
        assert {"sci", "err", "dq", "x", "y"} <= names
        values = set(group["sci"][:].ravel().tolist())
        assert len(values) == 1
    thread.join()
    assert holds_product(to) and seen


@pytest.mark.parametrize("before", [False, True])
def test_a_writer_that_is_killed_leaves_no_half_group_and_its_parts_are_removed(
    store, program, before
):
    """It dies when all of a group is there but what it opens by; of a new one, and over an old."""
    url, _ = program
    out, plan = f"{store.url}/out", bkgflow.plan(url, f"{store.url}/out", format="zarr")
    if before:
        assert bkgflow.run(plan, "threads", progress=False).ok

    def is_top(request):
        return request.method == "PUT" and request.path.endswith("t1_bsub.zarr/zarr.json")

    words = ("run", url, "--output", out, "--format", "zarr", "--cluster", "threads", "-q")
    killed_at(store, is_top, *words, *(["--fresh"] if before else []))
    left = [name for name in store.names("out/") if "t1_bsub.zarr/" in name]
    hidden = [name for name in left if "/.bkgflow-" in name]
    assert len(hidden if before else left) > 10
    product = Location.of(f"{out}/t1_bsub.zarr")
    assert holds_product(product) == before
    if before:
        assert (xr.open_zarr(product.url).sci == 2.0).all()
    else:
        with pytest.raises(FileNotFoundError):
            xr.open_zarr(product.url)
    result = bkgflow.run(plan, "threads", progress=False)
    assert result.ok and bkgflow.verify(out).ok and not bkgflow.verify(out).unknown
    assert not [name for name in store.names("out/") if "/.bkgflow-" in name]
    assert (xr.open_zarr(product.url).sci == 2.0).all()


def test_clean_removes_all_objects_of_a_group(store, program, tmp_path):
    url, _ = program
    out = f"{store.url}/out"
    assert bkgflow.run(bkgflow.plan(url, out, format="zarr"), "threads", progress=False).ok
    assert bkgflow.run(bkgflow.plan(url, out), "threads", progress=False).ok
    assert len(bkgflow.clean(out, yes=True).unwanted) == 3
    assert not [name for name in store.names("out/") if ".zarr" in name]


FORGETS = """
import gc, sys
import xarray as xr
from bkgflow.io.storage.reached import forget_stores
data = xr.open_zarr(sys.argv[1], group="t0_bsub")
assert float(data.sci.mean()) == 2.0
del data
forget_stores()
gc.collect()
"""


def test_no_connection_stays_open_of_a_store_that_xarray_has_opened(store, program, tmp_path):
    url, _ = program
    where = f"{store.url}/all.zarr"
    assert bkgflow.run(bkgflow.plan(url, tmp_path / "out", store=where), "threads").ok
    done = subprocess.run(
        [sys.executable, "-c", FORGETS, where],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
