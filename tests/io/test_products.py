"""Products whose pixels stream: what a data model would have written, without holding it."""

from __future__ import annotations

import errno
import gc
import gzip
import logging
import pickle
import re
import shutil
import subprocess
import sys
import warnings
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
import yaml
from astropy.io import fits
from stdatamodels.fits_support import fits_hash, from_fits_asdf
from stdatamodels.jwst import datamodels

from bkgflow.errors import FileError, ShapeError
from bkgflow.io.models import open_model, save_model
from bkgflow.io.products.changes import Changes
from bkgflow.io.products.describe import describe
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.headers_from_file import as_written
from bkgflow.io.products.model import ModelWriter
from bkgflow.io.products.pixels import PART_BYTES
from bkgflow.io.products.tree import Tree
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import MemoryPublish
from bkgflow.record import Record, SossFound
from bkgflow.simulate import (
    simulate_imaging,
    simulate_nods,
    simulate_soss,
    simulate_tso,
    simulate_wfss,
)
from bkgflow.verdict import State, Verdict
from tests.helpers.exposures import make_model

WHEN = ["DATE", "FILENAME"]

DONE = Verdict(
    State.COMPLETE,
    record=Record(
        "1",
        backgrounds=("a_rate.fits", "b_rate.fits"),
        settings={"sigma": 3.0, "maxiters": None, "save": False, "small": 1e-7, "third": 1 / 3},
        association="yes: 'no' – × # ~ " + "long " * 40,
        found=SossFound(left_scale=(0.1, 1e-7, float("inf"), 1 / 3)),
    ),
)


def lower(pixels, integration, rows):
    pixels -= 1 + integration


def flag(pixels, integration, rows):
    pixels |= np.uint32(1 << 31 | 4)


LOWERED = Changes({"SCI": lower, "DQ": flag})


def target_of(path, shape=None):
    """What a writer has to know of a file."""
    shape = fits.getdata(path, "SCI").shape if shape is None else shape
    return SimpleNamespace(location=Location.of(path), window=SimpleNamespace(shape=shape[-2:]))


def write(path, product, changes=LOWERED, verdict=DONE, threads=1, writer=None, shape=None):
    """Write a product; return its path."""
    with (writer or FitsWriter()).open(target_of(path, shape)) as opened:
        draft = opened.product(changes, verdict, Location.of(product), threads)
    draft.publish()
    return product


def save_whole(path, product, changes=LOWERED, verdict=DONE):
    """Do the same by hand, to the whole model."""
    with warnings.catch_warnings(), open_model(path) as model:
        warnings.simplefilter("ignore")
        describe(model, verdict)
        if changes.mask is not None:
            model.mask = changes.mask
        if changes.scaling_factor is not None:
            model.meta.background.scaling_factor = changes.scaling_factor
        cube = model.data if model.data.ndim == 3 else model.data[None]
        for i, plane in enumerate(cube):
            lower(plane, i, None)
        flag(model.dq, 0, None)
        save_model(model, product)
    return product


def write_both(path, folder, *, amended=None, threads=1, changes=LOWERED, writer=None):
    """Make a product of a file by the writer and by its whole model."""
    written = as_written(Location.of(path))
    takes = written is not None and written.takes(changes)
    assert takes is amended or amended is None
    streamed = write(path, folder / "streamed.fits", changes, threads=threads, writer=writer)
    return streamed, save_whole(path, folder / "as_model.fits", changes)


def lasting(flat):
    """A model's tree without what says when it was written and by which name."""
    volatile = ("meta.date", "meta.filename", "_fits_hash")
    return {
        key: str(value) if key == "meta.wcs" else value
        for key, value in flat.items()
        if key not in volatile and not key.endswith(".time")
    }


def assert_same(streamed, whole):
    difference = fits.FITSDiff(
        str(streamed), str(whole), ignore_keywords=WHEN, ignore_hdus=["ASDF"]
    )
    assert difference.identical, difference.report()
    assert streamed.stat().st_size == whole.stat().st_size
    with (
        warnings.catch_warnings(),
        datamodels.open(str(streamed)) as one,
        datamodels.open(str(whole)) as other,
    ):
        warnings.simplefilter("ignore")
        assert type(one) is type(other)
        flat, expected = (model.to_flat_dict(include_arrays=False) for model in (one, other))
        assert lasting(flat) == lasting(expected)
        np.testing.assert_array_equal(one.data, other.data)
    # Headers card by card, blank ones and their places too.
    with fits.open(streamed) as one, fits.open(whole) as other:
        for hdu, wanted in zip(one[:-1], other[:-1], strict=True):
            cards = [list(map(str, each.header.cards)) for each in (hdu, wanted)]
            ours, theirs = ([c for c in each if c[:8].strip() not in WHEN] for each in cards)
            assert ours == theirs


def asdf_of(path):
    """What is in a file's ASDF extension."""
    return fits.getdata(path, "ASDF")["ASDF_METADATA"].tobytes()


def tree_text(path):
    """The ASDF extension's YAML without what says when and by which name."""
    raw = asdf_of(path)
    text = raw[: raw.index(b"\n...")].decode()
    return re.sub(r"(time|date|filename|_fits_hash): [^,}\n]*", "", text)


@pytest.fixture(scope="module", params=["imaging", "nods", "tso", "soss"])
def exposure(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    make = {
        "imaging": lambda: simulate_imaging(folder, targets=1, backgrounds=1, size=64),
        "nods": lambda: simulate_nods(folder, points=2, size=48),
        "tso": lambda: simulate_tso(folder, integrations=3, backgrounds=1, size=40),
        "soss": lambda: simulate_soss(folder, integrations=3, segments=1, subarray="SUBSTRIP96"),
    }
    return make[request.param]().exposures[0]


@pytest.mark.parametrize("threads", [1, 3])
def test_simulated_products_are_the_models(exposure, tmp_path, threads):
    streamed, whole = write_both(exposure, tmp_path, amended=True, threads=threads)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)


def test_files_that_were_touched_go_through_their_model(exposure, tmp_path):
    """A card that stdatamodels did not write: the tree may not say what the headers say."""
    touched = tmp_path / exposure.name
    shutil.copyfile(exposure, touched)
    fits.setval(touched, "TARGNAME", value="elsewhere")
    streamed, whole = write_both(touched, tmp_path, amended=False)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)
    with datamodels.open(streamed) as model:
        assert model.meta.target.catalog_name == "elsewhere"


def test_products_are_as_stdatamodels_wrote_them(exposure, tmp_path):
    """A product can be done again: its hash holds, and its cards are set, not repeated."""
    first, again = tmp_path / "first.fits", tmp_path / "again.fits"
    write(exposure, first)
    assert as_written(Location.of(first)) is not None
    write(first, again, verdict=Verdict(State.SKIPPED, "enough", record=Record("2")))
    with fits.open(again) as units:
        header = units[0].header
        assert header["FILENAME"] == "again.fits"
        assert (header.count("S_BKDSUB"), header["S_BKDSUB"]) == (1, "SKIPPED")
        assert sum("background subtraction" in line for line in header["HISTORY"]) == 2
        assert from_fits_asdf(units)["_fits_hash"] == fits_hash(units)
    with datamodels.open(again) as model:
        assert model.meta.bkgflow.instance == {
            "state": "SKIPPED",
            "reason": "enough",
            **Record("2").to_tree(),
        }
        assert model.meta.cal_step.bkg_subtract == "SKIPPED"


@pytest.mark.parametrize(
    "steps",
    [{"assign_wcs": "COMPLETE"}, {"wfss_contam": "SKIPPED"}, {"bkg_subtract": "SKIPPED"}, {}],
)
def test_the_state_stands_among_the_other_steps(tmp_path, steps):
    """First of them, last of them, instead of one, or below the title of an empty section."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.instance.clear()
        for name, outcome in steps.items():
            setattr(model.meta.cal_step, name, outcome)
        model.save(str(path))
    streamed, whole = write_both(path, tmp_path, amended=True)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)


@pytest.mark.parametrize(
    ("node", "other"),
    [
        ("cal_step: {dq_init: COMPLETE}", "cal_step: null"),
        ("history:\n", "history:\n  entries: null\n"),
        ("meta:\n", "meta: {}\nwas:\n"),
        ("_fits_hash:", "_fits_hash: [1]\nhash_was:"),
        ("--- !core/asdf-1.1.0\n", "--- [nothing]\n--- \n"),
    ],
)
def test_trees_without_the_places_of_a_product_are_left_to_the_model(tmp_path, node, other):
    path = tmp_path / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.save(str(path))
    written = as_written(Location.of(path))
    assert written is not None
    text = asdf_of(path)
    changed = text.replace(node.encode(), other.encode(), 1)
    assert changed != text

    def intact(asdf):
        try:
            return replace(written, tree=Tree(asdf)).is_intact()
        except ValueError:
            return False

    assert intact(text)
    assert not intact(changed)


@pytest.mark.parametrize("blocks", [1, 3])
def test_arrays_in_the_tree_stay_readable(tmp_path, blocks):
    """The blocks behind the tree move when it grows, and their index with them."""
    path = tmp_path / "t_rate.fits"
    arrays = [np.random.default_rng(i).normal(size=500 + i) for i in range(blocks)]
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.meta.tables = arrays
        model.save(str(path))
    streamed, whole = write_both(path, tmp_path, amended=True)
    assert streamed.stat().st_size == whole.stat().st_size
    with datamodels.open(streamed) as model:
        for found, array in zip(model.meta.tables, arrays, strict=True):
            np.testing.assert_array_equal(found, array)
    assert index_of(streamed) == index_of(whole) != index_of(path)


EXTRA = {
    "scaled 32": (np.arange(600, dtype="i4").reshape(20, 30), {"BSCALE": 0.5}),
    "scaled 16": (np.arange(600, dtype="i2").reshape(20, 30), {"BSCALE": 0.5, "BZERO": 3.0}),
    "unsigned 64": (np.arange(7, dtype="u8"), {}),
    "signed 8": (np.arange(-3, 4, dtype="i1"), {}),
    "nothing": (None, {}),
}


def add_extra(path, array, cards):
    """Put an extension of the user's own before the tree."""
    with fits.open(path) as units:
        unit = fits.ImageHDU(array, name="XTRA")
        unit.header.update(cards)
        units.insert(len(units) - 1, unit)
        units.writeto(path, overwrite=True)


@pytest.mark.parametrize("kind", EXTRA)
def test_other_images_stay_what_they_are(tmp_path, kind):
    path = tmp_path / "t_rate.fits"
    with make_model(np.arange(36.0).reshape(6, 6)) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.save(str(path))
    add_extra(path, *EXTRA[kind])
    streamed, whole = write_both(path, tmp_path, amended=False)
    assert_same(streamed, whole)


def test_only_the_first_image_of_a_name_is_edited(tmp_path):
    """stdatamodels would write the second one's pixels into the first; the pipeline makes none."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.arange(36.0).reshape(6, 6)) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.save(str(path))
    add_extra(path, np.full((9, 9), 7, "f4"), {"EXTNAME": "SCI", "EXTVER": 2})
    rehash(path)
    assert as_written(Location.of(path)) is not None
    write(path, tmp_path / "out.fits", shape=(6, 6))
    with fits.open(tmp_path / "out.fits") as units:
        np.testing.assert_array_equal(units["SCI", 1].data, np.arange(36.0).reshape(6, 6) - 1)
        np.testing.assert_array_equal(units["SCI", 2].data, 7)


def rehash(path):
    """Have a file say that nobody touched its headers."""
    with fits.open(path) as units:
        old, new = from_fits_asdf(units)["_fits_hash"], fits_hash(units)
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()))


@dataclass(frozen=True)
class Faulty(Location):
    """A file whose pixels cannot be read."""

    @contextmanager
    def open(self):
        with super().open() as stream:
            yield _Faulty(stream)


class _Faulty:
    def __init__(self, stream):
        self._stream, self.name = stream, stream.name

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def readinto(self, buffer):
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_of_the_source_is_not_the_output_folders(write_exposure, tmp_path, threads):
    path = write_exposure("t_rate.fits", np.ones((64, 64)))
    target = target_of(path)
    target.location = Faulty(str(path))
    out = tmp_path / "out"
    with (
        FitsWriter().open(target) as opened,
        pytest.raises(FileError, match="Input/output error") as caught,
    ):
        opened.product(LOWERED, DONE, Location.of(out / "out.fits"), threads)
    assert caught.value.file == str(path)
    assert isinstance(caught.value.__cause__, OSError)  # so that it is tried again
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "bits"])
@pytest.mark.parametrize("when", ["before", "between"])
def test_damaged_gzip_files(write_exposure, tmp_path, damage, when):
    noise = np.random.default_rng(0).normal(size=(64, 64))
    path = write_exposure("t_rate.fits", noise)
    packed = tmp_path / "t_rate.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    raw = bytearray(packed.read_bytes())
    if damage == "cut":
        del raw[-900:]
    else:
        raw[len(raw) // 2] ^= 0xFF
    if when == "before":
        packed.write_bytes(raw)
    with (
        pytest.raises(FileError) as caught,
        FitsWriter().open(target_of(packed, noise.shape)) as opened,
    ):
        packed.write_bytes(raw)
        opened.product(LOWERED, DONE, Location.of(tmp_path / "out.fits"))
    assert "t_rate.fits.gz" in str(caught.value)


def test_unprintable_characters(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    record = Record("1", backgrounds=("tab\t.fits",))
    odd = Verdict(State.SKIPPED, "bell\a and\nline", record=record)
    product = write(path, tmp_path / "tab\tname.fits", verdict=odd)
    with datamodels.open(product) as model:
        assert model.meta.bkgflow.reason == "bell\a and\nline"
    assert fits.getheader(product)["FILENAME"] == "tab_name.fits"
    assert "bkgflow backgrounds: tab?.fits" in list(fits.getheader(product)["HISTORY"])


def index_of(path):
    """The block index at the end of an ASDF extension."""
    raw = asdf_of(path)
    offsets = yaml.safe_load(raw[raw.rindex(b"#ASDF BLOCK INDEX") :])
    assert all(raw[offset : offset + 4] == b"\xd3BLK" for offset in offsets)
    return offsets


@pytest.mark.real
def test_pipeline_products_are_the_models(real_data, tmp_path):
    layouts = sorted((real_data / "layouts").glob("*.fits*"))
    assert layouts
    for path in layouts:
        assert_same(*write_both(path, tmp_path))


def test_compressed_files_are_read_through(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.arange(64.0).reshape(8, 8))
    packed = tmp_path / "t_rate.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert_same(*write_both(packed, tmp_path, threads=2))


def test_rows_beyond_one_part(write_exposure, tmp_path):
    rows = 3 * PART_BYTES // (4 * 1024) + 5
    sci = np.random.default_rng(1).normal(size=(2, rows, 1024)).astype(np.float32)
    exposure = write_exposure("t_rateints.fits", sci)
    assert_same(*write_both(exposure, tmp_path))
    assert_same(*write_both(exposure, tmp_path, threads=4))


@pytest.mark.parametrize("bitpix", ["float64", "int16", "scaled"])
def test_other_types_become_the_models(tmp_path, bitpix):
    """SCI that is not float32 in the file is so in the product, as a data model has it."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.arange(36.0).reshape(6, 6)) as model:
        model.save(str(path))
    with fits.open(path, mode="update") as units:
        if bitpix == "scaled":
            units["SCI"].scale("int16", bscale=0.5, bzero=3)
        else:
            units["SCI"].data = units["SCI"].data.astype(bitpix)
    streamed, whole = write_both(path, tmp_path)
    assert_same(streamed, whole)
    assert fits.getheader(streamed, "SCI")["BITPIX"] == -32


def test_without_a_model_type(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    with fits.open(path, mode="update") as units:
        del units[0].header["DATAMODL"]
        del units["ASDF"]
    streamed, whole = write_both(path, tmp_path)
    assert_same(streamed, whole)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("edited", [True, False])
def test_a_file_that_was_cut_leaves_nothing_behind(write_exposure, tmp_path, edited, threads):
    path = write_exposure("t_rate.fits", np.ones((512, 512)))
    out = tmp_path / "out"
    with FitsWriter().open(target_of(path)) as opened:
        with path.open("r+b") as stream:
            stream.truncate(600_000)
        with pytest.raises(FileError, match="as long as the header says"):
            changes = LOWERED if edited else Changes()
            opened.product(changes, DONE, Location.of(out / "t_bsub.fits"), threads)
    assert list(out.iterdir()) == []


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "t_rate.fits"
    path.write_text("not FITS at all")
    with (
        pytest.raises(FileError, match="is a FITS file"),
        FitsWriter().open(target_of(path, (6, 6))),
    ):
        pass


MEMORY = """
import sys, pathlib
from types import SimpleNamespace
from bkgflow.io.products.changes import Changes
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.storage.location import Location
from bkgflow.record import Record
from bkgflow.verdict import State, Verdict
done = Verdict(State.COMPLETE, record=Record("1"))
def high():
    words = pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()
    return int(words[0]) << 10
small, large, out = sys.argv[1:]
def once(path, side):
    def lower(pixels, integration, rows):
        pixels -= 1
    window = SimpleNamespace(shape=(side, side))
    target = SimpleNamespace(location=Location.of(path), window=window)
    with FitsWriter().open(target) as opened:
        draft = opened.product(Changes({"SCI": lower}), done, Location.of(out))
    draft.publish()
once(small, 8)
before = high()
once(large, 512)
print(high() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is Linux's")
def test_pixels_are_not_held(write_exposure, tmp_path):
    small = write_exposure("small_rateints.fits", np.zeros((1, 8, 8)))
    large = write_exposure("large_rateints.fits", np.zeros((40, 512, 512)))
    held = subprocess.run(
        [sys.executable, "-c", MEMORY, small, large, tmp_path / "out.fits"],
        check=True,
        capture_output=True,
        text=True,
    )
    sci_bytes = 40 * 512 * 512 * 4
    assert int(held.stdout) < sci_bytes / 2


def test_long_lists_are_short_in_history(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    scales = [i / 7 for i in range(500)]
    record = Record("1", found=SossFound(left_scale=tuple(scales)))
    verdict = Verdict(State.COMPLETE, record=record)
    product = write(path, tmp_path / "t_bsub.fits", Changes(), verdict)
    words = " ".join(fits.getheader(product)["HISTORY"])
    assert "(500 in all)" in words
    assert len(fits.getheader(product)["HISTORY"]) < 30
    with datamodels.open(product) as model:
        assert list(model.meta.bkgflow.left_scale) == scales


# Slitless products: a mask as one more extension, and a scaling factor.

SKY = Changes(
    LOWERED.edits,
    mask=np.arange(128 * 128, dtype="u4").reshape(128, 128) % 3 % 2,
    scaling_factor=1 / 3,
)


@pytest.fixture(scope="module")
def slitless(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slitless")
    return simulate_wfss(folder, exposures=1, size=128).exposures[0]


def saved(path, product, change):
    """A file that stdatamodels wrote, after a change of its model."""
    with warnings.catch_warnings(), open_model(path) as model:
        warnings.simplefilter("ignore")
        change(model)
        model.save(str(product))
    return product


def old_mask(model):
    model.mask = np.full(model.data.shape, 5, np.uint32)
    model.meta.background.scaling_factor = 7.5
    model.meta.cal_step.bkg_subtract = "COMPLETE"


def more_arrays(model):
    model.area = np.full(model.data.shape, 2, np.float32)
    model.pathloss_point = np.full(model.data.shape, 3, np.float32)
    model.meta.background.subtracted = True


def title_taken(model):
    model.meta.background.method = "a method"


SLITLESS = {
    "plain": lambda model: None,
    "with a mask": old_mask,
    "with more arrays": more_arrays,
    "with a method": title_taken,
    "without variances": lambda model: model.instance.pop("var_poisson", None),
    "without a unit": lambda model: model.meta.instance.pop("bunit_err", None),
}


@pytest.mark.parametrize("name", SLITLESS)
@pytest.mark.parametrize("way", ["amended", "through the model"])
@pytest.mark.parametrize("packed", [False, True])
def test_slitless_products_are_the_models(slitless, tmp_path, name, way, packed):
    path = saved(slitless, tmp_path / "t_rate.fits", SLITLESS[name])
    if packed:
        path = tmp_path / "t_rate.fits.gz"
        path.write_bytes(gzip.compress((tmp_path / "t_rate.fits").read_bytes()))
    writer = FitsWriter(amend=way == "amended")
    streamed, whole = write_both(path, tmp_path, amended=True, changes=SKY, writer=writer)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)
    assert_slitless(streamed)


def assert_slitless(product):
    with fits.open(product) as units:
        assert from_fits_asdf(units)["_fits_hash"] == fits_hash(units)
        assert units[0].header["BKGD_SCL"] == 1 / 3
        assert (units["MASK"].data.dtype, units["MASK"].ver) == (np.uint32, 1)
    with datamodels.open(product) as model:
        np.testing.assert_array_equal(model.mask, SKY.mask)
        assert model.meta.background.scaling_factor == 1 / 3


@pytest.mark.parametrize("name", ["plain", "with a mask"])
def test_slitless_files_that_were_touched(slitless, tmp_path, name):
    path = saved(slitless, tmp_path / "t_rate.fits", SLITLESS[name])
    fits.setval(path, "TARGNAME", value="elsewhere")
    add_extra(path, np.arange(7.0, dtype="f4"), {})
    with fits.open(path) as units:
        units.insert(1, fits.BinTableHDU(np.zeros(3, [("a", "f4")]), name="MINE"))
        units.writeto(path, overwrite=True)
    streamed, whole = write_both(path, tmp_path, amended=False, changes=SKY)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)
    assert_slitless(streamed)


def other_shape(model):
    model.mask = np.ones((3, 4), np.uint32)


@pytest.mark.parametrize("change", [other_shape])
def test_a_mask_of_another_shape_is_replaced_by_the_model(slitless, tmp_path, change):
    path = saved(slitless, tmp_path / "t_rate.fits", change)
    streamed, whole = write_both(path, tmp_path, amended=False, changes=SKY)
    assert_same(streamed, whole)
    assert_slitless(streamed)


def test_a_mask_of_another_type_is_replaced_by_the_model(slitless, tmp_path):
    path = saved(slitless, tmp_path / "t_rate.fits", old_mask)
    with fits.open(path, mode="update") as units:
        units["MASK"].data = units["MASK"].data.astype("u1")
    rehash(path)
    streamed, whole = write_both(path, tmp_path, amended=False, changes=SKY)
    assert_same(streamed, whole)
    assert_slitless(streamed)


def test_models_without_a_mask_of_their_own_keep_it_in_the_tree(write_exposure, tmp_path):
    path = write_exposure("t_rateints.fits", np.ones((2, 8, 8)))
    changes = replace(SKY, mask=np.eye(8, dtype="u4"))
    streamed, whole = write_both(path, tmp_path, amended=False, changes=changes)
    assert_same(streamed, whole)
    with datamodels.open(streamed) as model:
        np.testing.assert_array_equal(model.mask, np.eye(8))


# Whatever writes a product, it is the same.


@pytest.fixture(params=["file", "file through its model", "model", "model of a file"])
def make(request):
    """Return what makes a product of a path and opens it as a model."""

    def product(path, changes, verdict, to):
        if request.param.startswith("file"):
            write(path, to, changes, verdict, writer=FitsWriter(amend=request.param == "file"))
            return open_model(to)
        with open_model(path) as model:
            writer = ModelWriter(model if request.param == "model" else None)
            write(path, to, changes, verdict, writer=writer)
        return writer.result

    return product


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


def test_every_writer_takes_masks(make, slitless, tmp_path):
    with make(slitless, SKY, DONE, tmp_path / "t_bsub.fits") as product:
        np.testing.assert_array_equal(product.mask, SKY.mask)
        assert product.mask.dtype.newbyteorder("=") == np.uint32
        assert product.meta.background.scaling_factor == 1 / 3


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


def test_targets_that_grew_since_they_were_planned(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    for writer in (FitsWriter(), FitsWriter(amend=False), ModelWriter()):
        with pytest.raises(ShapeError, match="planned"):
            write(path, tmp_path / "out.fits", writer=writer, shape=(6, 5))
    assert [each.name for each in tmp_path.iterdir()] == ["t_rate.fits"]


@pytest.mark.parametrize("amend", [True, False])
def test_combined_backgrounds(write_exposure, tmp_path, amend):
    """They are images with the target's metadata, whoever asks for them, before or after."""
    path = write_exposure("t_rateints.fits", np.ones((2, 6, 8)))
    arrays = [np.full((6, 8), i, d) for i, d in enumerate(("f4", "f4", "u4"))]
    record, to = Record("1", backgrounds=("b_rate.fits",)), Location.of(tmp_path / "c.fits")
    with open_model(path) as model:
        for writer in (FitsWriter(amend=amend), ModelWriter(model), ModelWriter()):
            with writer.open(target_of(path)) as opened:
                first = opened.combined(*arrays, record, to)
                product = opened.product(LOWERED, DONE, Location.of(tmp_path / "p.fits"))
                second = opened.combined(*arrays, record, to)
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


@pytest.mark.parametrize("amend", [True, False])
def test_nothing_of_a_target_is_held_while_its_product_waits(slitless, tmp_path, amend):
    changes = replace(SKY, mask=SKY.mask.copy())
    with FitsWriter(amend=amend).open(target_of(slitless)) as opened:
        draft = opened.product(changes, DONE, Location.of(tmp_path / "t_bsub.fits"))
        mask = weakref.ref(changes.mask)
        del changes
        gc.collect()
        assert mask() is None
    del opened
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, datamodels.ImageModel)]
    assert len(pickle.dumps(draft)) < 1000
    draft.publish()


def test_writers_are_small():
    assert len(pickle.dumps(FitsWriter())) < 300


def test_an_unknown_stdatamodels_is_asked_itself(write_exposure, tmp_path, caplog):
    """Its files may be other than those that this code knows; the log says so once."""
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            product = write(path, tmp_path / "out.fits", writer=FitsWriter(version="99.0.1"))
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["stdatamodels 99.0.1"]
    assert_same(product, save_whole(path, tmp_path / "as_model.fits"))
