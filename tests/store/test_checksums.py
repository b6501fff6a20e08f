"""Stores that are not S3: what a worker knows of its products reaches the ledger all the same."""

from uuid import uuid4

import fsspec
import pytest

import bkgflow
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow


@pytest.fixture
def out(tmp_path, monkeypatch):
    """An output folder in such a store."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    write_program(tmp_path / "program", 2)
    return f"memory://plain-{uuid4().hex[:8]}"


def run(tmp_path, out, form, **options):
    plan = bkgflow.plan(tmp_path / "program", out, format=form)
    return bkgflow.run(plan, "threads", workers=1, progress=False, **options)


@pytest.fixture(params=["fits", "zarr"])
def product(request, tmp_path, out):
    """The file system, the file with pixels of a product that was made twice, and its format."""
    assert run(tmp_path, out, request.param).ok
    assert run(tmp_path, out, request.param, fresh=True).ok  # over an older one
    system, path = fsspec.core.url_to_fs(out)
    inside = "t0_bsub.zarr/sci/c/0/0" if request.param == "zarr" else "t0_bsub.fits"
    return system, f"{path}/{inside}", request.param


def test_the_checksums_of_products_are_known(out, product):
    found = bkgflow.verify(out)
    assert found.ok and not found.unknown
    table = bkgflow.export(out).to_frame()
    assert all(each.startswith("xxh3:") for each in table["checksum"])
    assert list(table["checksum"]) == [each.checksum for each in found.files]


def test_a_byte_that_changed_is_seen(out, product):
    system, path, _ = product
    raw = bytearray(system.cat_file(path))
    raw[-100] ^= 1
    system.pipe_file(path, bytes(raw))
    [wrong] = bkgflow.verify(out).wrong
    assert wrong.unit.startswith("t0") and "its bytes are not those" in wrong.why


def test_a_product_that_was_only_written_again_stays(tmp_path, out, product):
    system, path, form = product
    top = path.replace("sci/c/0/0", "zarr.json")
    system.pipe_file(top, system.cat_file(top))
    assert len(run(tmp_path, out, form).kept) == 2
