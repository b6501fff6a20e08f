"""Ledgers made again of products that lie in a store, wherever that is."""

import json
import shutil

import pytest

import bkgflow
from bkgflow.errors import OutputError
from tests.helpers.answers import plan_campaign
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow

PLACE, RESULT, LEDGER = "bkgflow-campaign.json", "bkgflow-run.json", "bkgflow-ledger.sqlite"


@pytest.fixture(params=["all.zarr", "out/all.zarr", "out/deep/all.zarr", "all.icechunk"])
def made(request, tmp_path):
    """A folder with a campaign that was run into a store, and the store."""
    write_program(tmp_path / "program")
    store = str(tmp_path / request.param)
    store = f"icechunk://{store}" if store.endswith(".icechunk") else store
    assert run(tmp_path, store).ok
    return tmp_path, store


def run(folder, store):
    plan = plan_campaign(folder, store=store)
    return bkgflow.run(plan, "threads", workers=1, progress=False)


@pytest.mark.parametrize("lost", [(), (PLACE,), (RESULT,), (PLACE, RESULT)])
def test_products_in_a_store_are_found(made, lost, bkgflow_):
    folder, store = made
    out = folder / "out"
    for name in (LEDGER, *lost):
        (out / name).unlink()
    code, said, _ = bkgflow_("rebuild", out, *(["--store", store] if len(lost) == 2 else []))
    assert code == 0 and "3 units (3 COMPLETE)" in said and "left out" not in said
    assert bkgflow.verify(out).ok
    assert len(run(folder, store).kept) == 3
    (out / LEDGER).unlink()
    assert bkgflow.rebuild(out).units == 3  # it is known again where they lie


def test_a_store_that_is_gone_is_no_campaign_without_units(made, bkgflow_):
    folder, store = made
    out = folder / "out"
    (out / LEDGER).unlink()
    shutil.rmtree(store.removeprefix("icechunk://"))
    code, said, err = bkgflow_("rebuild", out)
    # A process that has met a repository of icechunk wonders what has become of it.
    assert code == 2 and not said
    assert "tells of 3 products" in err or "must say what is in it" in err
    assert not (out / LEDGER).exists()
    for name in (PLACE, RESULT):
        (out / name).unlink()
    with pytest.raises(OutputError, match=r"none is there|must say what is in it"):
        bkgflow.rebuild(out, store=store)


def test_a_product_that_is_missing_is_said(tmp_path):
    write_program(tmp_path / "program")
    store = str(tmp_path / "all.zarr")
    assert run(tmp_path, store).ok
    (tmp_path / "out" / LEDGER).unlink()
    shutil.rmtree(tmp_path / "all.zarr" / "t1_bsub")
    found = bkgflow.rebuild(tmp_path / "out")
    assert found.units == 2 and f"1 product of the last run not found: {store}/t1_bsub" in str(
        found
    )
    assert len(run(tmp_path, store).kept) == 2


def test_a_folder_that_was_moved_finds_the_store_in_it(tmp_path):
    write_program(tmp_path / "program")
    assert run(tmp_path, str(tmp_path / "out" / "all.zarr")).ok
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert json.loads((tmp_path / "moved" / PLACE).read_text())["stores"] == ["all.zarr"]
    (tmp_path / "moved" / LEDGER).unlink()
    assert bkgflow.rebuild(tmp_path / "moved").units == 3


def test_two_folders_without_ledgers_are_compared_by_their_stores(made, tmp_path):
    folder, _ = made
    other = tmp_path / "other"
    shutil.copytree(folder / "program", other / "program", copy_function=shutil.copy2)
    assert run(other, None).ok
    (folder / "out" / LEDGER).unlink()
    found = bkgflow.diff(folder / "out", other / "out")
    assert len(found.changes) == 3 and found.same
