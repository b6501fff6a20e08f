"""Products whose pixels stream: what a data model would have written, without holding it."""

from __future__ import annotations

import errno
import gzip
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import yaml
from astropy.io import fits
from stdatamodels.fits_support import fits_hash, from_fits_asdf
from stdatamodels.jwst import datamodels

from bkgflow.errors import FileError
from bkgflow.io.models import open_model, write_model
from bkgflow.io.products import headers_from_file as amend
from bkgflow.io.products.describe import Description, describe
from bkgflow.io.products.fits import open_outline, write_outline
from bkgflow.io.products.pixels import PART_BYTES
from bkgflow.verdict import State
from bkgflow.simulate import simulate_imaging, simulate_nods, simulate_soss, simulate_tso
from tests.helpers.exposures import make_model

WHEN = ["DATE", "FILENAME"]

DONE = Description(
    State.COMPLETE,
    "",
    {
        "version": "1",
        "backgrounds": ["a_rate.fits", "b_rate.fits"],
        "settings": {"sigma": 3.0, "maxiters": None, "save": False},
        "scales": [0.1, 1e-7, float("inf"), 1 / 3],
        "notes": [],
        "words": "yes: 'no' – × # ~ " + "long " * 40,
    },
)


def lower(pixels, integration, rows):
    pixels -= 1 + integration


def flag(pixels, integration, rows):
    pixels |= np.uint32(1 << 31 | 4)


def stream(path, product, description=DONE, threads=1):
    """Write a product past its model; say whether it needed none."""
    with open_outline(path) as outline:
        write_outline(outline, product, {"SCI": lower, "DQ": flag}, description, threads)
        return outline.written is not None


def write_both(path, folder, *, amended=None, threads=1):
    """Do the same to a file through its outline and through its model."""
    streamed = folder / "streamed.fits"
    assert stream(path, streamed, threads=threads) is amended or amended is None
    with warnings.catch_warnings(), open_model(path) as model:
        warnings.simplefilter("ignore")
        describe(model, DONE)
        cube = model.data if model.data.ndim == 3 else model.data[None]
        for i, plane in enumerate(cube):
            lower(plane, i, None)
        flag(model.dq, 0, None)
        whole = write_model(model, folder / "as_model.fits")
    return streamed, whole


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


def tree_text(path):
    """The ASDF extension's YAML without what says when and by which name."""
    raw = fits.getdata(path, "ASDF")["ASDF_METADATA"].tobytes()
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
    assert stream(exposure, first)
    assert stream(first, again, Description(State.SKIPPED, "enough", {"version": "2"}))
    with fits.open(again) as units:
        header = units[0].header
        assert header["FILENAME"] == "again.fits"
        assert (header.count("S_BKDSUB"), header["S_BKDSUB"]) == (1, "SKIPPED")
        assert sum("background subtraction" in line for line in header["HISTORY"]) == 2
        assert from_fits_asdf(units)["_fits_hash"] == fits_hash(units)
    with datamodels.open(again) as model:
        assert model.meta.bkgflow.instance == {
            "outcome": "SKIPPED",
            "reason": "enough",
            "version": "2",
        }
        assert model.meta.cal_step.bkg_subtract == "SKIPPED"


@pytest.mark.parametrize(
    "steps",
    [{"assign_wcs": "COMPLETE"}, {"wfss_contam": "SKIPPED"}, {"bkg_subtract": "SKIPPED"}, {}],
)
def test_the_outcome_stands_among_the_other_steps(tmp_path, steps):
    """First of them, last of them, instead of one; with no step at all the model has to say."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.instance.clear()
        for name, outcome in steps.items():
            setattr(model.meta.cal_step, name, outcome)
        model.save(str(path))
    streamed, whole = write_both(path, tmp_path, amended=bool(steps))
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
    written = amend.as_written(path)
    assert written is not None
    assert amend._can_amend(written)
    text = written.asdf.replace(node.encode(), other.encode(), 1)
    assert text != written.asdf
    assert not amend._can_amend(replace(written, asdf=text))


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


def test_only_the_first_image_of_a_name_is_edited(tmp_path, monkeypatch):
    """stdatamodels would write the second one's pixels into the first; the pipeline makes none."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.arange(36.0).reshape(6, 6)) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.save(str(path))
    add_extra(path, np.full((9, 9), 7, "f4"), {"EXTNAME": "SCI", "EXTVER": 2})
    monkeypatch.setattr(amend, "_hash", lambda headers: [*headers] and stored(path))
    assert stream(path, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as units:
        np.testing.assert_array_equal(units["SCI", 1].data, np.arange(36.0).reshape(6, 6) - 1)
        np.testing.assert_array_equal(units["SCI", 2].data, 7)


def stored(path):
    """The hash that a file's tree keeps."""
    with fits.open(path) as units:
        return from_fits_asdf(units)["_fits_hash"]


def test_nothing_that_was_to_be_changed_is_passed_by(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    with pytest.raises(FileError, match="no SKY"), open_outline(path) as outline:
        write_outline(outline, tmp_path / "out.fits", {"SCI": lower, "SKY": lower}, DONE)
    assert not (tmp_path / "out.fits").exists()


def test_an_error_of_the_source_is_not_the_output_folders(write_exposure, tmp_path, monkeypatch):
    path = write_exposure("t_rate.fits", np.ones((64, 64)))

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    with open_outline(path) as outline:
        monkeypatch.setattr("bkgflow.io.fits.planes._read_into", broken)
        with pytest.raises(FileError, match="Input/output error") as caught:
            write_outline(outline, tmp_path / "out.fits", {"SCI": lower}, DONE)
    assert caught.value.file == str(path)
    assert isinstance(caught.value.__cause__, OSError)  # so that it is tried again


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
    with pytest.raises(FileError) as caught, open_outline(packed) as outline:
        packed.write_bytes(raw)
        write_outline(outline, tmp_path / "out.fits", {"SCI": lower}, DONE)
    assert "t_rate.fits.gz" in str(caught.value)


def test_unprintable_characters(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    odd = Description(State.SKIPPED, "bell\a and\nline", {"version": "1", "of": ["tab\t.fits"]})
    product = tmp_path / "tab\tname.fits"
    stream(path, product, odd)
    with datamodels.open(product) as model:
        assert model.meta.bkgflow.reason == "bell\a and\nline"
    assert fits.getheader(product)["FILENAME"] == "tab_name.fits"
    assert "bkgflow of: tab?.fits" in list(fits.getheader(product)["HISTORY"])


def index_of(path):
    """The block index at the end of an ASDF extension."""
    raw = fits.getdata(path, "ASDF")["ASDF_METADATA"].tobytes()
    offsets = yaml.safe_load(raw[raw.rindex(b"#ASDF BLOCK INDEX") :])
    assert all(raw[offset : offset + 4] == b"\xd3BLK" for offset in offsets)
    return offsets


@pytest.mark.slow
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


@pytest.mark.slow
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
    with open_outline(path) as outline:
        with path.open("r+b") as stream:
            stream.truncate(600_000)
        with pytest.raises(FileError, match="as long as the header says"):
            edits = {"SCI": lower} if edited else {}
            write_outline(outline, out / "t_bsub.fits", edits, DONE, threads)
    assert list(out.iterdir()) == []


def test_a_file_that_is_no_model(tmp_path):
    path = tmp_path / "t_rate.fits"
    path.write_text("not FITS at all")
    with pytest.raises(FileError, match="is a FITS file"), open_outline(path):
        pass


MEMORY = """
import sys, pathlib
from bkgflow.io.products.fits import open_outline, write_outline
from bkgflow.io.products.describe import Description
from bkgflow.verdict import State
done = Description(State.COMPLETE, "", {"version": "1"})
def high():
    words = pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()
    return int(words[0]) << 10
small, large, out = sys.argv[1:]
def once(path):
    with open_outline(path) as outline:
        def lower(pixels, integration, rows):
            pixels -= 1
        write_outline(outline, out, {"SCI": lower}, done)
once(small)
before = high()
once(large)
print(high() - before)
"""


@pytest.mark.slow
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
    described = Description(State.COMPLETE, "", {"version": "1", "left_scale": scales})
    with open_outline(path) as outline:
        product = write_outline(outline, tmp_path / "t_bsub.fits", {}, described)
    words = " ".join(fits.getheader(product)["HISTORY"])
    assert "(500 in all)" in words
    assert len(fits.getheader(product)["HISTORY"]) < 30
    with datamodels.open(product) as model:
        assert list(model.meta.bkgflow.left_scale) == scales
