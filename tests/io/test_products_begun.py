"""Products whose unchanged arrays are copied before it is known what the product says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from bkgflow.api import subtract_to_file
from bkgflow.errors import FileError
from bkgflow.io.products import fits as fits_products
from bkgflow.io.products import pixels
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import unedited
from bkgflow.io.storage.location import Location
from bkgflow.simulate import simulate_soss, simulate_wfss
from tests.helpers.products import DONE, LOWERED, SKY, assert_same, save_whole, target_of

NOISE = np.random.default_rng(1).normal(10, 1, (60, 70)).astype("f4")

FORESEEN = unedited(["SCI", "DQ"])


def begun_and_made(path, to, changes=LOWERED, verdict=DONE, foreseen=(FORESEEN, DONE)):
    with FitsWriter().open(target_of(path)) as opened:
        opened.begin(*foreseen, Location.of(to))
        there = len(opened._there)
        opened.product(changes, verdict, Location.of(to), 2).publish()
    return there


@pytest.mark.slow
@pytest.mark.parametrize("lines", [0, 1, 30, 70, 200])
def test_a_guess_that_is_wrong_costs_nothing_but_time(write_exposure, tmp_path, lines):
    """The header grows by more or less than was foreseen, and with it the place of every array."""
    path = write_exposure("a_rate.fits", NOISE)
    said = replace(
        DONE, record=replace(DONE.record, notes=tuple(f"note {n}" for n in range(lines)))
    )
    [hdu] = [hdu for hdu in fits.open(path) if hdu.name == "ERR"]
    assert begun_and_made(path, tmp_path / "a.fits", verdict=said) > 0
    assert_same(tmp_path / "a.fits", save_whole(path, tmp_path / "b.fits", verdict=said))
    np.testing.assert_array_equal(fits.getdata(tmp_path / "a.fits", "ERR"), hdu.data)


@pytest.mark.slow
def test_an_array_that_changes_after_all_is_changed(write_exposure, tmp_path):
    path = write_exposure("a_rate.fits", NOISE)
    begun_and_made(path, tmp_path / "a.fits", foreseen=(unedited(["SCI"]), DONE))
    assert_same(tmp_path / "a.fits", save_whole(path, tmp_path / "b.fits"))


@pytest.mark.slow
def test_a_mask_moves_what_is_behind_it(tmp_path):
    path = simulate_wfss(tmp_path, exposures=1, size=128).exposures[0]
    foreseen = replace(FORESEEN, mask=np.broadcast_to(np.bool_(0), (128, 128)), scaling_factor=1.0)
    assert begun_and_made(path, tmp_path / "a.fits", SKY, foreseen=(foreseen, DONE)) > 0
    assert_same(tmp_path / "a.fits", save_whole(path, tmp_path / "b.fits", SKY))


SETTLED = {
    "all of it": (SKY, SKY),
    "without the mask": (replace(SKY, mask=None), SKY),
    "an edit that was another": (replace(SKY, edits=dict(LOWERED.edits)), SKY),
    "a mask that was another": (replace(SKY, mask=~SKY.mask.astype(bool)), SKY),
}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 300])
@pytest.mark.parametrize("which", SETTLED)
def test_what_was_settled_is_kept_only_if_it_is_what_is_done(tmp_path, which, threads):
    early, at_last = SETTLED[which]
    path = simulate_wfss(tmp_path, exposures=1, size=128).exposures[0]
    foreseen = replace(FORESEEN, mask=np.broadcast_to(np.bool_(0), (128, 128)), scaling_factor=1.0)
    to = Location.of(tmp_path / "a.fits")
    with FitsWriter().open(target_of(path)) as opened:
        opened.begin(foreseen, DONE, to)
        few = len(opened._there)
        opened.settle(early, threads)
        opened.settle(early)  # what is there is not written again
        assert len(opened._there) > few > 0
        opened.product(at_last, DONE, to, 2).publish()
    assert_same(tmp_path / "a.fits", save_whole(path, tmp_path / "b.fits", at_last))


@pytest.mark.slow
def test_edits_that_are_not_made_after_all_leave_nothing(tmp_path):
    path = simulate_wfss(tmp_path, exposures=1, size=128).exposures[0]
    to = Location.of(tmp_path / "a.fits")
    with FitsWriter().open(target_of(path)) as opened:
        opened.begin(FORESEEN, DONE, to)
        opened.settle(LOWERED)
        opened.product(replace(LOWERED, edits={}), DONE, to, 2).publish()
    for name in ("SCI", "ERR", "DQ"):
        np.testing.assert_array_equal(fits.getdata(to.path, name), fits.getdata(path, name))


def test_what_cannot_be_settled_is_said_where_the_product_is_made(write_exposure, tmp_path):
    path = write_exposure("a_rate.fits", NOISE)
    target = target_of(path)
    with FitsWriter().open(target) as opened:
        opened.settle(LOWERED)  # nothing was begun
        opened.begin(FORESEEN, DONE, Location.of(tmp_path / "a.fits"))
        path.write_bytes(path.read_bytes()[: 3 * 2880])
        opened.settle(LOWERED)
        with pytest.raises(FileError):
            opened.product(LOWERED, DONE, Location.of(tmp_path / "a.fits"))
    assert not (tmp_path / "a.fits").exists()


def test_what_nobody_asks_for_leaves_nothing(write_exposure, tmp_path):
    path = write_exposure("a_rate.fits", NOISE)
    out = tmp_path / "out"
    out.mkdir()
    with FitsWriter().open(target_of(path)) as opened:
        opened.begin(FORESEEN, DONE, Location.of(out / "a.fits"))
        assert list(out.rglob("*"))
    assert not list(out.rglob("*"))


def test_no_folder_is_made_for_it(write_exposure, tmp_path):
    path = write_exposure("a_rate.fits", NOISE)
    with FitsWriter().open(target_of(path)) as opened:
        opened.begin(FORESEEN, DONE, Location.of(tmp_path / "none" / "a.fits"))
    assert not (tmp_path / "none").exists()


def test_a_source_that_ends_early_is_said_where_the_product_is_made(write_exposure, tmp_path):
    path = write_exposure("a_rate.fits", NOISE)
    target = target_of(path)
    with FitsWriter().open(target) as opened:
        path.write_bytes(path.read_bytes()[: 3 * 2880])
        opened.begin(FORESEEN, DONE, Location.of(tmp_path / "a.fits"))
        with pytest.raises(FileError):
            opened.product(LOWERED, DONE, Location.of(tmp_path / "a.fits"))
    assert not (tmp_path / "a.fits").exists()


@pytest.fixture
def guesses(monkeypatch):
    """How many arrays were copied before each product, and whether all are where they were."""
    found = []

    def write(parts, *others):
        there = others[-1]
        places = {pixels._place(*each) for each in zip(parts, pixels._offsets(parts), strict=False)}
        found.append((len(there), places.issuperset(there)))
        pixels.write_parts(parts, *others)

    monkeypatch.setattr(fits_products, "write_parts", write)
    return found


@pytest.mark.slow
def test_what_is_foreseen_of_images_comes_true(write_exposure, tmp_path, guesses):
    paths = [write_exposure(f"{name}_rate.fits", NOISE + ord(name)) for name in "abcd"]
    out = tmp_path / "out"
    out.mkdir()
    for errors in (False, True):
        subtract_to_file(paths[0], paths[1:], out, propagate_errors=errors)
    (few, right), (fewer, right_too) = guesses
    assert right and right_too and few > fewer > 0


@pytest.mark.slow
def test_what_is_foreseen_of_fits_comes_true(tmp_path, guesses):
    slitless = simulate_wfss(tmp_path / "wfss", exposures=1, size=256)
    soss = simulate_soss(tmp_path / "soss", integrations=4, segments=1, subarray="SUBSTRIP96")
    for number, made in enumerate((slitless, soss)):
        out = tmp_path / f"out {number}"
        out.mkdir()
        [association] = made.associations
        subtract_to_file(association, output_dir=out, references=made.references[0].parent)
    assert [right for _, right in guesses] == [True, True]
    assert all(copied for copied, _ in guesses)
