"""Whatever writes a product, it is the same; preparing and publishing are two things."""

from __future__ import annotations

import gc
import logging
import pickle
import weakref
from dataclasses import replace
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from bkgflow.errors import FileError, ShapeError
from bkgflow.io.models import open_model
from bkgflow.io.products.export import export_product
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.model import ModelWriter
from bkgflow.io.products.writer import Changes
from bkgflow.io.products.zarr import ZarrWriter
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import MemoryPublish
from bkgflow.record import Record
from bkgflow.simulate import simulate_wfss
from bkgflow.verdict import State, Verdict
from tests.helpers.products import (
    DONE,
    LOWERED,
    SKY,
    assert_same,
    flag,
    lower,
    save_whole,
    target_of,
    write,
)


@pytest.fixture(scope="module")
def slitless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slitless")
    return simulate_wfss(folder, exposures=1, size=128).exposures[0]


@pytest.fixture(params=["file", "file through its model", "model", "model of a file", "zarr"])
def make(request):
    """Return what makes a product of a path and opens it as a model."""

    def product(path, changes, verdict, to):
        if request.param.startswith("file"):
            write(path, to, changes, verdict, writer=FitsWriter(amend=request.param == "file"))
            return open_model(to)
        if request.param == "zarr":
            group = write(path, to.with_suffix(".zarr"), changes, verdict, writer=ZarrWriter())
            export_product(Location.of(group), Location.of(to))
            return open_model(to)
        with open_model(path) as model:
            writer = ModelWriter(model if request.param == "model" else None)
            write(path, to, changes, verdict, writer=writer)
        return writer.result

    return product


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)])
@pytest.mark.parametrize("errors", [True, False])
def test_every_writer_gives_the_same(make, write_exposure, tmp_path, shape, errors):
    rng = np.random.default_rng(3)
    sci = rng.normal(size=shape).astype("f4")
    path = write_exposure("t_rate.fits", sci, dq=rng.integers(0, 9, shape))
    before = path.read_bytes()
    offsets = rng.normal(size=shape[-2:]).astype("f4")

    def subtract(pixels, integration, rows):
        pixels -= offsets[rows] * (1 + integration)

    edits = {"SCI": subtract, "DQ": flag} | ({"ERR": lower} if errors else {})
    with make(path, Changes(edits), DONE, tmp_path / "t_bsub.fits") as product:
        steps = np.arange(1, 1 + (shape[0] if len(shape) == 3 else 1), dtype="f4")
        expected = sci.reshape(-1, 6, 8) - offsets * steps[:, None, None]
        np.testing.assert_array_equal(product.data, expected.reshape(shape))
        with open_model(path) as model:
            np.testing.assert_array_equal(product.dq, model.dq | np.uint32(1 << 31 | 4))
            wanted = model.err.reshape(-1, 6, 8) - steps[:, None, None] * errors
            np.testing.assert_array_equal(product.err, wanted.reshape(shape))
            assert type(product) is type(model)
        for name, dtype in {"data": "f4", "err": "f4", "dq": "u4"}.items():
            assert getattr(product, name).dtype.newbyteorder("=") == np.dtype(dtype)
        assert product.meta.cal_step.bkg_subtract == "COMPLETE"
        found = Verdict.from_tree(product.meta.bkgflow.instance)
        assert found == Verdict.from_tree(DONE.to_tree())
        # A line that is longer than a card becomes several in a file.
        words = "".join(each["description"] for each in product.history)
        assert words.replace(" ", "") == "".join(DONE.history).replace(" ", "")
    assert path.read_bytes() == before


@pytest.mark.slow
def test_every_writer_takes_masks(make, slitless, tmp_path):
    with make(slitless, SKY, DONE, tmp_path / "t_bsub.fits") as product:
        np.testing.assert_array_equal(product.mask, SKY.mask)
        assert product.mask.dtype.newbyteorder("=") == np.uint32
        assert product.meta.background.scaling_factor == 1 / 3


@pytest.mark.slow
def test_every_writer_leaves_alone_what_is_not_changed(make, slitless, tmp_path):
    skipped = Verdict(State.SKIPPED, "nothing to do", record=Record("1"))
    with (
        make(slitless, Changes(), skipped, tmp_path / "o.fits") as product,
        open_model(slitless) as model,
    ):
        for name in ("data", "err", "dq", "var_poisson"):
            np.testing.assert_array_equal(getattr(product, name), getattr(model, name))
        assert product.meta.cal_step.bkg_subtract == "SKIPPED"
        assert product.meta.bkgflow.reason == "nothing to do"
        assert not product.hasattr("mask") or product.mask is None


@pytest.mark.parametrize("name", ["SKY", "VAR"])
def test_nothing_that_was_to_be_changed_is_passed_by(make, write_exposure, tmp_path, name):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    with pytest.raises(FileError, match=f"no {name}"):
        make(path, Changes({"SCI": lower, name: lower}), DONE, tmp_path / "out.fits")
    assert [each.name for each in tmp_path.iterdir()] == ["t_rate.fits"]


@pytest.mark.slow
def test_targets_that_grew_since_they_were_planned(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    for writer in (FitsWriter(), FitsWriter(amend=False), ModelWriter(), ZarrWriter()):
        with pytest.raises(ShapeError, match="planned"):
            write(path, tmp_path / "out.fits", writer=writer, shape=(6, 5))
    assert [each.name for each in tmp_path.iterdir()] == ["t_rate.fits"]


@pytest.mark.slow
@pytest.mark.parametrize("amend", [True, False])
def test_combined_backgrounds(write_exposure, tmp_path, amend):
    """They are images with the target's metadata, whoever asks for them, before or after."""
    path = write_exposure("t_rateints.fits", np.ones((2, 6, 8)))
    arrays = [np.full((6, 8), i, d) for i, d in enumerate(("f4", "f4", "u4"))]
    record, to = Record("1", backgrounds=("b_rate.fits",)), Location.of(tmp_path / "c.fits")
    with open_model(path) as model:
        for writer in (FitsWriter(amend=amend), ModelWriter(model), ModelWriter()):
            with writer.open(target_of(path)) as opened:
                first = opened.combined(arrays, record, to)
                product = opened.product(LOWERED, DONE, Location.of(tmp_path / "p.fits"))
                second = opened.combined(arrays, record, to)
            product.discard()
            assert not to.exists()
            for draft in (first, second):
                draft.publish()
                with datamodels.open(to.path) as combined:
                    assert type(combined) is datamodels.ImageModel
                    for found, array in zip(
                        (combined.data, combined.err, combined.dq), arrays, strict=True
                    ):
                        np.testing.assert_array_equal(found, array)
                    assert combined.meta.bkgflow.instance == record.to_tree()
                    assert combined.meta.cal_step.bkg_subtract is None
                    assert combined.meta.filename == "c.fits"
                    assert combined.meta.instrument.name == "MIRI"
                to.path.unlink()


# Preparing and publishing are two things.


def test_nothing_appears_before_it_is_published(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    product = tmp_path / "out" / "t_bsub.fits"
    product.parent.mkdir()
    product.write_text("old")
    with FitsWriter().open(target_of(path)) as opened:
        draft = opened.product(LOWERED, DONE, Location.of(product))
    assert product.read_text() == "old"
    draft.discard()
    assert [each.name for each in product.parent.iterdir()] == ["t_bsub.fits"]


@pytest.mark.slow
def test_products_go_wherever_they_are_published_to(write_exposure, tmp_path):
    path, store = write_exposure("t_rate.fits", np.ones((6, 6))), MemoryPublish()
    to = Location("memory://bucket/t_bsub.fits")
    with FitsWriter(store).open(target_of(path)) as opened:
        draft = opened.product(LOWERED, DONE, to)
    assert not store.files
    draft.publish()
    written = tmp_path / "t_bsub.fits"
    written.write_bytes(store.files[to])
    assert_same(written, save_whole(path, tmp_path / "as_model.fits"))


@pytest.mark.slow
@pytest.mark.parametrize("amend", [True, False])
def test_targets_may_lie_behind_a_url(write_exposure, tmp_path, amend):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    fsspec.filesystem("memory").pipe("/bucket/t_rate.fits", path.read_bytes())
    target = SimpleNamespace(
        location=Location("memory://bucket/t_rate.fits"), window=SimpleNamespace(shape=(6, 6))
    )
    product = tmp_path / "t_bsub.fits"
    with FitsWriter(amend=amend).open(target) as opened:
        opened.product(LOWERED, DONE, Location.of(product)).publish()
    assert_same(product, save_whole(path, tmp_path / "as_model.fits"))


def models_held():
    """The images that are in memory as models, by their ids."""
    # By type: asked itself, a proxy of what is gone would raise.
    everything = gc.get_objects()
    return {id(each) for each in everything if issubclass(type(each), datamodels.ImageModel)}


@pytest.mark.slow
@pytest.mark.parametrize("amend", [True, False])
def test_nothing_of_a_target_is_held_while_its_product_waits(slitless, tmp_path, amend):
    changes = replace(SKY, mask=SKY.mask.copy())
    gc.collect()
    before = models_held()  # of other tests
    with FitsWriter(amend=amend).open(target_of(slitless)) as opened:
        draft = opened.product(changes, DONE, Location.of(tmp_path / "t_bsub.fits"))
        mask = weakref.ref(changes.mask)
        del changes
        gc.collect()
        assert mask() is None
    del opened
    gc.collect()
    assert models_held() <= before
    assert len(pickle.dumps(draft)) < 1000
    draft.publish()


def test_writers_are_small():
    assert len(pickle.dumps(FitsWriter())) < 300


@pytest.mark.slow
def test_an_unknown_stdatamodels_is_asked_itself(write_exposure, tmp_path, caplog):
    """Its files may be other than those that this code knows; the log says so once."""
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            product = write(path, tmp_path / "out.fits", writer=FitsWriter(version="99.0.1"))
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["stdatamodels 99.0.1"]
    assert_same(product, save_whole(path, tmp_path / "as_model.fits"))
