"""Products whose pixels stream: what a data model would have written, without holding it."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import yaml
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdatamodels.fits_support import fits_hash, from_fits_asdf
from stdatamodels.jwst import datamodels

from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.headers_from_file import as_written
from bkgflow.io.products.nodes import Tree
from bkgflow.io.products.schemas import keywords_of
from bkgflow.io.products.sending import PART_BYTES
from bkgflow.io.products.writer import Changes
from bkgflow.io.storage.location import Location
from bkgflow.record import Record, SossFound
from bkgflow.simulate import (
    simulate_imaging,
    simulate_nods,
    simulate_soss,
    simulate_tso,
)
from bkgflow.verdict import State, Verdict
from tests.helpers.exposures import make_model
from tests.helpers.pace import examples
from tests.helpers.products import (
    LOWERED,
    add_extra,
    asdf_of,
    assert_opens_the_same,
    assert_same,
    rehash,
    saved,
    tree_text,
    write,
    write_both,
)


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


@pytest.mark.slow
@pytest.mark.parametrize("before", [None, "SKIPPED"])
@pytest.mark.parametrize("state", [State.COMPLETE, State.SKIPPED])
def test_what_became_of_an_imprint_is_a_card_and_a_node(state, before, tmp_path):
    """A new card goes where stdatamodels has it, an old one is changed."""
    simulated = simulate_nods(tmp_path / "nods", points=2, size=48).exposures[0]
    path = saved(simulated, tmp_path / "t_rate.fits",
                 lambda model: setattr(model.meta.cal_step, "imprint", before))  # fmt: skip
    changes = replace(LOWERED, imprint=state)
    streamed, whole = write_both(path, tmp_path, amended=True, changes=changes)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)
    assert fits.getheader(streamed)["S_IMPRNT"] == state.value


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_simulated_products_are_the_models(exposure, tmp_path, threads):
    streamed, whole = write_both(exposure, tmp_path, amended=True, threads=threads)
    assert_same(streamed, whole)
    assert tree_text(streamed) == tree_text(whole)


@pytest.mark.slow
def test_files_that_were_touched_open_as_their_model(exposure, tmp_path):
    """A card that stdatamodels did not write: the tree is made to say what the headers say."""
    touched = tmp_path / exposure.name
    shutil.copyfile(exposure, touched)
    fits.setval(touched, "TARGNAME", value="elsewhere")
    assert_opens_the_same(*write_both(touched, tmp_path, amended=True))
    with datamodels.open(tmp_path / "streamed.fits") as model:
        assert model.meta.target.catalog_name == "elsewhere"


TOUCHES = {
    "another value": lambda h: h[0].header.set("TARGNAME", "M 31"),
    "a number": lambda h: h[0].header.set("TARG_RA", 1 / 3),
    "a whole number for a real one": lambda h: h[0].header.set("TARG_RA", 12),
    "text for a number": lambda h: h[0].header.set("TARG_RA", "unknown"),
    "a number for text": lambda h: h[0].header.set("PROGRAM", 1234),
    "truth": lambda h: h[0].header.set("TSOVISIT", True),
    "truth for a number": lambda h: h[0].header.set("NGROUPS", True),
    "what no list has": lambda h: h[0].header.set("FILTER", "F000X"),
    "what one of several lists has": lambda h: h[0].header.set("SUBARRAY", "SUB64"),
    "what none of several lists has": lambda h: h[0].header.set("SUBARRAY", "MINE"),
    "a card that is gone": lambda h: h[0].header.remove("TARGNAME", ignore_missing=True),
    "an archive's own cards": lambda h: h[0].header.update({"MINE": (3, "of mine"), "M2": "x"}),
    "cards in SCI": lambda h: h["SCI"].header.update({"CRVAL1": 5.5, "MINE": (True, "yes")}),
    "cards in DQ": lambda h: h["DQ"].header.update({"MINE": 1e-7}),
    "an archive's comments": lambda h: h[0].header.add_comment("of an archive " * 12),
    "history": lambda h: h[0].header.add_history("touched by an archive " * 9),
    "long text": lambda h: h[0].header.set("TARGPROP", "a & b / 'c' " * 20),
    "hierarch": lambda h: h[0].header.set("HIERARCH ESO DET NAME", "archive"),
    "a card twice": lambda h: h[0].header.append(("TARGNAME", "again"), end=True),
    "own cards twice": lambda h: h[0].header.extend([("MINE", 1), ("MINE", 2)]),
    "no step": lambda h: h[0].header.remove("S_BKDSUB", ignore_missing=True),
    "a step": lambda h: h[0].header.set("S_DQINIT", "SKIPPED"),
    "a comment": lambda h: h[0].header.comments.__setitem__("TARGNAME", "the target"),
    "another order": lambda h: h[0].header.insert(9, h[0].header.cards["INSTRUME"]),
    "a name": lambda h: h[0].header.set("FILENAME", "mine.fits"),
    "no value": lambda h: h[0].header.set("MINE", None),
}


@pytest.mark.slow
@pytest.mark.parametrize("touch", TOUCHES)
def test_touched_headers_are_kept_and_open_as_their_model(tmp_path, touch):
    path = tmp_path / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.target.catalog_name = "NGC 1"
        model.meta.target.ra = 1.25
        model.meta.exposure.ngroups = 5
        model.meta.instrument.filter = "F770W"
        model.meta.cal_step.dq_init = "COMPLETE"
        model.extra_fits = {"PRIMARY": {"header": [["KEPT", 1, "by stdatamodels"]]}}
        model.add_history_entry("made for a test")
        model.save(str(path))
    with fits.open(path, mode="update") as hdus:
        TOUCHES[touch](hdus)
    streamed, whole = write_both(path, tmp_path, amended=None if touch == "no value" else True)
    if touch != "no value":  # which a tree has no place for
        assert_opens_the_same(streamed, whole)
    kept = {"S_BKDSUB", "DATE", "FILENAME", "HISTORY"}
    with fits.open(path) as hdus, fits.open(streamed) as made:
        for hdu, other in zip(hdus[:-1], made[:-1], strict=True):
            for one, two in ((hdu, other), (other, hdu)):
                cards = set(map(str, two.header.cards))
                assert [
                    c for c in one.header.cards if str(c) not in cards and c.keyword not in kept
                ] == []


KEYWORDS = sorted({each.keyword for each in keywords_of("ImageModel") if each.hdu == "PRIMARY"})

touches = st.lists(
    st.tuples(
        st.sampled_from(["PRIMARY", "SCI", "ERR", "DQ"]),
        st.sampled_from([*KEYWORDS, "MINE", "YOURS", "BUNIT", "CRVAL1", "CD1_1"]),
        st.one_of(
            st.integers(-(2**40), 2**40),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90),
            st.sampled_from(["N/A", "COMPLETE", "1", "FULL", "2022-01-01T00:00:00.000", ""]),
        ),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.meta.program.pi_name = "Nobody"
        model.save(str(path))
    return path


@pytest.mark.slow
@given(touches, st.sets(st.sampled_from(KEYWORDS), max_size=3))
@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
def test_headers_touched_at_random_open_as_their_model(plain, tmp_path_factory, touches, gone):
    folder = tmp_path_factory.mktemp("touched")
    path = folder / "t_rate.fits"
    with warnings.catch_warnings(), fits.open(plain) as hdus:
        warnings.simplefilter("ignore")
        for name, keyword, value in touches:
            if keyword not in ("DATAMODL", "EXTNAME"):
                hdus[name].header[keyword] = value
        for keyword in gone - {"DATAMODL"}:
            hdus[0].header.remove(keyword, ignore_missing=True)
        hdus.writeto(path)
    assert_opens_the_same(*write_both(path, folder, amended=True))


@pytest.mark.slow
def test_a_tree_that_was_made_to_agree_is_the_products(tmp_path):
    """A product of a touched file is as stdatamodels wrote it: its hash holds."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.save(str(path))
    fits.setval(path, "TARGNAME", value="elsewhere")
    write_both(path, tmp_path, amended=True)
    with fits.open(tmp_path / "streamed.fits") as units:
        assert from_fits_asdf(units)["_fits_hash"] == fits_hash(units)


@pytest.mark.slow
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


@pytest.mark.slow
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
        ("meta:\n", "meta: null\nwas:\n"),
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
            return replace(written, tree=Tree(asdf)).is_plain()
        except ValueError:
            return False

    assert intact(text)
    assert not intact(changed)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXTRA)
def test_other_images_stay_what_they_are(tmp_path, kind):
    path = tmp_path / "t_rate.fits"
    with make_model(np.arange(36.0).reshape(6, 6)) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        model.save(str(path))
    add_extra(path, *EXTRA[kind])
    # A header without data, which a model forgets, needs none.
    streamed, whole = write_both(path, tmp_path, amended=kind == "nothing")
    if "scaled" not in kind and kind != "nothing":
        assert_same(streamed, whole)
    assert_opens_the_same(streamed, whole)
    with fits.open(streamed) as units, fits.open(path) as others:
        np.testing.assert_array_equal(units["XTRA"].data, others["XTRA"].data)
    assert bytes_of(streamed, "XTRA") == bytes_of(path, "XTRA")
    with datamodels.open(streamed) as one, datamodels.open(whole) as other:
        assert one.to_flat_dict().keys() == other.to_flat_dict().keys()


def bytes_of(path, name):
    """A whole extension, header and data."""
    with fits.open(path) as units:
        info = units[name].fileinfo()
    return path.read_bytes()[info["hdrLoc"] : info["datLoc"] + info["datSpan"]]


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


@pytest.mark.slow
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
        assert_opens_the_same(*write_both(path, tmp_path))


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_without_a_model_type(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    with fits.open(path, mode="update") as units:
        del units[0].header["DATAMODL"]
        del units["ASDF"]
    streamed, whole = write_both(path, tmp_path)
    assert_same(streamed, whole)


MEMORY = """
import sys, pathlib
from types import SimpleNamespace
from bkgflow.io.products.writer import Changes
from bkgflow.io.products.fits import FitsWriter
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


@pytest.mark.slow
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


@pytest.mark.parametrize(("word", "amend"), [("0", False), ("1", True), (None, True)])
def test_the_environment_can_turn_changes_in_place_off(monkeypatch, word, amend):
    if word is None:
        monkeypatch.delenv("BKGFLOW_AMEND", raising=False)
    else:
        monkeypatch.setenv("BKGFLOW_AMEND", word)
    assert FitsWriter().amend is amend
