"""Two output folders, unit by unit."""

import json

import numpy as np
import pytest
from astropy.io import fits

import bkgflow
from bkgflow.errors import UsageError
from bkgflow.io.products.compare import compare_pixels
from bkgflow.io.storage.location import Location
from tests.helpers.answers import copy_campaign, ledger_of
from tests.helpers.exposures import make_model, write_fits


@pytest.fixture
def other(made, tmp_path_factory):
    """A second copy of the campaign."""
    return copy_campaign(made, tmp_path_factory.mktemp("other"))


def change(path, change_sci=None, change_dq=None):
    with fits.open(path, mode="update") as hdus:
        if change_sci is not None:
            change_sci(hdus["SCI"].data)
        if change_dq is not None:
            change_dq(hdus["DQ"].data)
        hdus.flush()


def test_a_campaign_and_its_copy_are_the_same(campaign, other, bkgflow_):
    code, said, err = bkgflow_("diff", campaign / "out", other, "--exit-code")
    assert (code, err) == (0, "")
    assert "3 units: 3 the same, 0 different" in said


@pytest.mark.slow
def test_what_is_different_comes_first_and_is_counted(campaign, other, bkgflow_):
    def some(sci):
        sci[2, 3] += 4.0
        sci[5, 5] = np.nan

    def flags(dq):
        dq[0, :7] |= 4

    def few(sci):
        sci[1, 1] -= 0.5

    change(other / "t2_bsub.fits", some, flags)
    change(other / "t0_bsub.fits", few)
    found = bkgflow.diff(campaign / "out", other)
    assert not found.same
    first, second, third = found.changes
    assert (first.unit, second.unit, third.unit) == ("t2_bsub.fits", "t0_bsub.fits", "t1_bsub.fits")
    assert (first.pixels.differ, first.pixels.dq, first.pixels.largest) == (2, 7, 4.0)
    assert first.pixels.rms == pytest.approx(4.0 / np.sqrt(24 * 24 - 1))
    assert (second.pixels.differ, second.pixels.largest, second.pixels.dq) == (1, 0.5, 0)
    assert third.same
    for arguments, code in (((), 0), (("--exit-code",), 1)):
        ended, said, _ = bkgflow_("diff", campaign / "out", other, *arguments)
        assert ended == code
        assert "2 of 576 pixels differ" in said
    parts = json.loads(bkgflow_("diff", campaign / "out", other, "--json")[1])
    assert parts["same"] is False
    assert parts["units"][0]["pixels"]["differ"] == 2
    assert list(found.to_frame()["differ"]) == [2, 1, 0]


def test_units_of_one_folder_alone_are_told(campaign, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fewer")
    plan = bkgflow.plan(
        campaign / "program" / "t0_rate.fits",
        folder / "out",
        bkg_list=[str(campaign / "program" / "b_rate.fits")],
    )
    bkgflow.run(plan, "threads", workers=1, progress=False)
    found = bkgflow.diff(campaign / "out", folder / "out")
    assert "2 only in A" in found.summary()
    assert [each.only_in for each in found.changes] == ["A", "A", ""]
    back = bkgflow.diff(folder / "out", campaign / "out")
    assert "2 only in B" in back.summary()


def test_products_without_a_ledger_are_compared(campaign, other, bkgflow_):
    for name in (ledger_of(other), other / "bkgflow-campaign.json"):
        name.unlink()
    change(other / "t1_bsub.fits", lambda sci: sci.__setitem__((0, 0), 9.0))
    found = bkgflow.diff(campaign / "out", other)
    assert [each.unit for each in found.different] == ["t1_bsub.fits"]
    assert "no ledger" in str(found)
    ledger_of(other).write_bytes(b"damaged")
    assert "its products alone are compared" in bkgflow_("diff", other, campaign / "out")[1]


def test_states_and_products_that_cannot_be_read_are_told(campaign, other):
    data = (other / "t1_bsub.fits").read_bytes()
    (other / "t1_bsub.fits").write_bytes(data[:3000])
    found = bkgflow.diff(campaign / "out", other)
    (wrong,) = found.different
    assert wrong.unit == "t1_bsub.fits"
    assert "cannot be compared" in wrong.words


@pytest.mark.slow
def test_the_worst_are_drawn(campaign, other, tmp_path):
    rows, columns = np.mgrid[:24, :24]

    def ring(sci):
        sci[(rows - 12) ** 2 + (columns - 12) ** 2 < 40] += 2.0

    change(other / "t1_bsub.fits", ring)
    change(other / "t2_bsub.fits", lambda sci: sci.__setitem__((0, 0), 9.0))
    found = bkgflow.diff(campaign / "out", other, pictures=tmp_path / "drawn", worst=1)
    (picture,) = found.pictures
    assert picture.endswith("t1_bsub_diff.png")
    assert [each.name for each in (tmp_path / "drawn").iterdir()] == ["t1_bsub_diff.png"]
    from matplotlib.image import imread

    image = imread(picture)[..., :3]
    orange = (image[..., 0] > 0.4) & (image[..., 2] < 0.25) & (image[..., 0] > image[..., 1] + 0.2)
    assert orange.sum() > 500  # what was added shows in colour
    with pytest.raises(UsageError, match="one unit or more"):
        bkgflow.diff(campaign / "out", other, worst=0)


def test_folders_without_anything_are_refused(campaign, tmp_path, bkgflow_):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "none"):
        code, _, err = bkgflow_("diff", campaign / "out", tmp_path / folder)
        assert code == 2
        assert "must hold a campaign, or products" in err


@pytest.mark.parametrize("shape", [(30, 20), (3, 30, 20), (1200, 1100)])
def test_pixels_are_compared_as_numpy_compares_them(shape, tmp_path):
    generator = np.random.default_rng(5)
    one = generator.normal(size=shape).astype("f4")
    other = one.copy()
    chosen = generator.random(shape) < 0.1
    other[chosen] += generator.normal(size=int(chosen.sum())).astype("f4")
    one[generator.random(shape) < 0.05] = np.nan
    other[generator.random(shape) < 0.05] = np.nan
    flags = (
        generator.integers(0, 4, shape).astype("u4"),
        generator.integers(0, 4, shape).astype("u4"),
    )
    for name, sci, dq in (("a", one, flags[0]), ("b", other, flags[1])):
        write_fits(tmp_path / f"{name}.fits", sci, dq=dq)
    found = compare_pixels(*(Location.of(tmp_path / f"{name}.fits") for name in "ab"))
    added = other.astype("f8") - one.astype("f8")
    valid = np.isfinite(added)
    assert found.differ == np.sum((one != other) & ~(np.isnan(one) & np.isnan(other)))
    assert found.largest == np.abs(added[valid]).max()
    assert found.rms == pytest.approx(np.sqrt(np.mean(added[valid] ** 2)))
    assert found.dq == np.sum(flags[0] != flags[1])


def test_other_shapes_are_told(tmp_path):
    for name, shape in (("a", (6, 6)), ("b", (6, 7))):
        with make_model(np.ones(shape)) as model:
            model.save(str(tmp_path / f"{name}.fits"))
    found = compare_pixels(*(Location.of(tmp_path / f"{name}.fits") for name in "ab"))
    assert found.shapes == "6 × 6 and 6 × 7"
    assert not found.same


@pytest.mark.slow
def test_pixels_without_a_value_on_one_side_come_first(campaign, other):
    with fits.open(other / "t0_bsub.fits", mode="update") as hdus:
        hdus["SCI"].data[0, 0] += 1000
    with fits.open(other / "t1_bsub.fits", mode="update") as hdus:
        hdus["SCI"].data[:] = np.nan
    found = bkgflow.diff(campaign / "out", other)
    assert [each.unit for each in found.different] == ["t1_bsub.fits", "t0_bsub.fits"]
    lost, far = found.different
    assert lost.pixels.lost == lost.pixels.differ == lost.pixels.pixels
    assert lost.words.endswith("of them with a value in one of the two alone")
    assert (far.pixels.lost, far.pixels.largest) == (0, 1000)
