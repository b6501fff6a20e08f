"""The same rules, and what lets go of them, on the command line."""

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from tests.helpers.exposures import write_association
from tests.helpers.taken import sky, take


@pytest.fixture
def pair(tmp_path):
    """A target, and a background of another filter and unit."""
    other = {"instrument__filter": "F356W", "bunit_data": "MJy/sr"}
    return (
        take(tmp_path / "t_rate.fits", sky(1, 15), "NIRCAM", 1),
        take(tmp_path / "b_rate.fits", sky(2), "NIRCAM", 2, **other),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        ["--allow-mismatch", "filter,bunit"],
        ["--allow-mismatch", "filter", "--allow-mismatch=BUNIT"],
        ["--allow_mismatch=bunit,", "--allow_mismatch", "filter"],
    ],
)
def test_allowed_names_stand_with_commas_or_several_times(bkgflow_, pair, tmp_path, given):
    target, other = pair
    code, out, err = bkgflow_(
        "subtract", target, "--bkg-list", other, "--output-dir", tmp_path / "out", *given
    )
    assert code == 0
    assert "b_rate.fits differs from its target: BUNIT MJy/sr, target DN/s; FILTER F356W" in err
    with datamodels.open(out.strip()) as model:
        np.testing.assert_allclose(model.data, sky(1, 15) - sky(2), rtol=1e-6, atol=1e-5)


def test_what_does_not_belong_is_an_error_in_words(bkgflow_, pair, tmp_path):
    target, other = pair
    options = ("--bkg-list", other, "--output-dir", tmp_path / "out")
    code, out, err = bkgflow_("subtract", target, *options)
    assert (code, out) == (1, "")
    assert "must agree with its target in BUNIT, FILTER" in " ".join(err.split())
    assert not list((tmp_path / "out").glob("*.fits"))
    code, _, err = bkgflow_("subtract", target, *options, "--allow-mismatch", "colour")
    assert code == 2
    assert "allow_mismatch must name keywords" in " ".join(err.split())


@pytest.mark.slow
def test_a_run_ends_with_1_and_lets_go_with_the_option(bkgflow_, pair, tmp_path):
    write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    run = ("run", tmp_path, "--cluster", "threads", "--output", tmp_path / "out")
    assert bkgflow_(*run)[0] == 1
    assert bkgflow_(*run, "--allow-mismatch", "filter", "--allow-mismatch", "bunit")[0] == 0
    assert (tmp_path / "out" / "t_bsub.fits").exists()
