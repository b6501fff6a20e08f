"""bkgflow subtract: what it prints, what it writes, and how it ends."""

import logging
from pathlib import Path

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

from tests.helpers.commands import names
from tests.helpers.slitless import MODES, make_scene


@pytest.mark.parametrize("option", ["--bkg-list", "--bkg_list", "--bkg_list="])
def test_subtract(option, folder, bkgflow_):
    value = "b1_rate.fits,b2_rate.fits"
    given = [option + value] if option.endswith("=") else [option, value]
    code, out, err = bkgflow_("subtract", "t1_rate.fits", *given)
    assert (code, out) == (0, "t1_bsub.fits\n")
    note = "clip=sigma can drop nothing from 1 combined background, made of 2 exposures or fewer"
    assert err.startswith(f"INFO: {note}: clip=noise can")
    assert err.count("\n") == 1
    with datamodels.open(folder / "t1_bsub.fits") as model:
        np.testing.assert_array_equal(model.data, 90)
        np.testing.assert_array_equal(model.dq, 2)
        assert model.meta.cal_step.bkg_subtract == "COMPLETE"
        assert model.meta.filename == "t1_bsub.fits"


@pytest.mark.slow
@pytest.mark.parametrize("dash", ["-", "_"])
def test_every_argument_of_the_step_reaches_it(dash, folder, bkgflow_):
    code, out, _ = bkgflow_(
        "subtract",
        "t1_rate.fits",
        f"--bkg{dash}list=b1_rate.fits",
        "--sigma=2.5",
        "--maxiters=4",
        f"--save{dash}combined{dash}background",
        f"--propagate{dash}errors",
        f"--output{dash}dir=new/below",
    )
    assert (code, out) == (0, f"{Path('new/below/t1_bsub.fits')}\n")
    assert names("new/below") == ["t1_bsub.fits", "t1_combinedbackground.fits"]
    with datamodels.open("new/below/t1_bsub.fits") as model:
        assert model.meta.bkgflow.settings.instance == {
            "sigma": 2.5,
            "maxiters": 4,
            "save_combined_background": True,
            "propagate_errors": True,
        }
        np.testing.assert_allclose(model.err, np.hypot(0.5, 0.5), rtol=1e-6)
    with datamodels.open("new/below/t1_combinedbackground.fits") as model:
        np.testing.assert_array_equal(model.data, 8)


def test_subtract_an_association(folder, bkgflow_):
    code, out, _ = bkgflow_("subtract", "program/2_asn.json", "--output-dir", "out")
    assert (code, out) == (0, f"{Path('out/t2_bsub.fits')}\n")
    with datamodels.open("out/t2_bsub.fits") as model:
        np.testing.assert_array_equal(model.data, 190)


def test_subtract_a_cube(folder, bkgflow_):
    code, out, _ = bkgflow_("subtract", "c_rateints.fits", "--bkg-list", "b1_rate.fits")
    assert (code, out) == (0, "c_bsubints.fits\n")


def test_subtract_says_what_is_odd_unless_it_is_quiet(folder, bkgflow_):
    code, out, err = bkgflow_("subtract", "t1_rate.fits")
    assert (code, out) == (0, "t1_bsub.fits\n")
    assert "WARNING" in err
    assert "SKIPPED no background exposure was given" in err
    logging.getLogger("bkgflow").handlers.clear()
    code, out, err = bkgflow_("subtract", "t2_rate.fits", "-q")
    assert (code, out, err) == (0, "t2_bsub.fits\n", "")


@pytest.mark.slow
def test_a_fit_that_fails_is_said_when_quiet_too(tmp_path, bkgflow_):
    program, references = make_scene(tmp_path, MODES["NIS-R"])
    with datamodels.open(program / "e1_rate.fits") as model:
        model.data[:] = np.nan
        model.save(str(program / "e1_rate.fits"))
    given = [
        f"--override-bkg={references / 'sky.fits'}",
        f"--override-wavelengthrange={references / 'ranges.asdf'}",
        f"--output-dir={tmp_path}",
    ]
    code, out, err = bkgflow_("subtract", program / "e1_asn.json", "-q", *given)
    assert (code, out) == (1, f"{tmp_path / 'e1_bsub.fits'}\n")
    assert err.startswith("ERROR: ") and err.count("\n") == 1
    assert "FAILED No finite factor" in err


@pytest.mark.parametrize("empty", ["", ",", " , "])
def test_an_empty_list_is_no_list(empty, folder, bkgflow_):
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--bkg-list", empty)
    assert code == 0
    assert "SKIPPED no background" in err


def test_a_target_among_its_backgrounds(folder, bkgflow_):
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--bkg-list=b1_rate.fits,./t1_rate.fits")
    assert code == 1
    assert "not be its own background" in err


FILE = """
name = "bkg_subtract"
class = "jwst.background.BackgroundStep"
maxiters = 1
save_combined_background = True
override_bkg = "a#b.fits"  # no comment within quotes
"""


@pytest.mark.parametrize("form", ["--{}={}", "--{} {}"])
def test_none_and_no_go_before_what_a_parameter_file_says(form, folder, bkgflow_):
    Path("step.cfg").write_text(FILE, encoding="utf-8-sig")
    given = {"maxiters": "None", "save_combined_background": "false", "override-bkg": "None"}
    words = [word for each in given.items() for word in form.format(*each).split()]
    code, _, err = bkgflow_(
        "subtract", "t1_rate.fits", "--bkg-list=b1_rate.fits", "--settings=step.cfg", *words
    )
    assert code == 0, err
    assert "t1_combinedbackground.fits" not in names(".")
    with datamodels.open("t1_bsub.fits") as model:
        said = model.meta.bkgflow.settings.instance
    assert "maxiters" not in said or said["maxiters"] is None
    assert said["save_combined_background"] is False
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--settings=step.cfg")
    assert code == 1
    assert "a#b.fits: A bkg reference must be a file" in err


def test_none_beside_a_number_is_said_twice(folder, bkgflow_):
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--maxiters=None", "--maxiters=3")
    assert code == 2
    assert "--maxiters must be given once (found: None and 3)" in err


def test_what_is_typed_last_counts_and_an_empty_list_is_one(folder, bkgflow_):
    given = ("--save-combined-background=false", "--save-combined-background")
    code, _, err = bkgflow_("subtract", "t1_rate.fits", "--bkg-list=b1_rate.fits", *given)
    assert code == 0, err
    assert "t1_combinedbackground.fits" in names(".")
    Path("step.cfg").write_text('name = "bkg_subtract"\nbkg_list = b1_rate.fits, b2_rate.fits\n')
    settings = ("--settings=step.cfg", "--output-dir=other")
    assert bkgflow_("subtract", "t1_rate.fits", *settings, "--bkg-list", "None")[0] == 0
    with datamodels.open("other/t1_bsub.fits") as model:
        assert model.meta.cal_step.bkg_subtract == "SKIPPED"
