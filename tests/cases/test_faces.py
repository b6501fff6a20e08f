"""What a newcomer meets at the command line: spellings, repeated options, words, widths."""

from __future__ import annotations

import asdf
import numpy as np
import pytest
import typer.main
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.cli import app
from bkgflow.cli.spelling import Command, spelled
from bkgflow.errors import SettingsError
from bkgflow.settings import StepSettings
from tests.helpers.exposures import make_model


def combined(name):
    with datamodels.open(name) as model:
        return float(model.data[0, 0])


# Options given several times.


@pytest.mark.slow
def test_both_of_two_background_lists_are_used(folder, bkgflow_):
    given = ("--bkg-list", "b1_rate.fits", "--bkg_list=b2_rate.fits")
    code, out, _ = bkgflow_("subtract", "t1_rate.fits", *given)
    assert (code, out) == (0, "t1_bsub.fits\n")
    assert combined("t1_bsub.fits") == 90  # 100 less the mean of 8 and 12
    with datamodels.open("t1_bsub.fits") as model:
        assert list(model.meta.bkgflow.backgrounds) == ["b1_rate.fits", "b2_rate.fits"]


def test_all_reference_skies_that_are_given_one_by_one_are_used(bkgflow_, folder):
    given = ("--override-bkg=a.fits", "--override_bkg", "b.fits", "--save=p.json")
    assert bkgflow_("plan", "program", *given)[0] == 1  # images take them too; there are none
    assert bkgflow.Plan.load("p.json").settings.override_bkg == "a.fits,b.fits"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("subtract", "t1_rate.fits", "--sigma=3", "--sigma", "4"), ["--sigma", "3 and 4"]),
        (("subtract", "t1_rate.fits", "--output-dir=a", "--output_dir=b"), ["a and b"]),
        (("subtract", "t1_rate.fits", "--output=a", "--output_dir=b"), ["a and b"]),
        (("plan", "program", "--wfss-mask=a", "--wfss_mask=b"), ["--wfss-mask", "a and b"]),
        (("run", "program", "--output=a", "--output=b"), ["--output", "a and b"]),
        (("run", "program", "--output=a", "--soss-fit=file", "--soss_fit=file"), ["--soss-fit"]),
        (("simulate", "nods", "out", "--seed=1", "--seed=2"), ["--seed", "1 and 2"]),
        (("demo", "out", "--size=64", "--size=32"), ["--size", "64 and 32"]),
    ],
)
def test_an_option_that_takes_one_value_is_refused_twice(command, words, folder, bkgflow_):
    code, out, err = bkgflow_(*command)
    assert (code, out) == (2, "")
    assert "must be given once" in err
    for word in words:
        assert word in err
    assert not list(folder.glob("**/*_bsub.fits"))


# strun's spellings.

TAKEN = {
    "--save_combined_background=true": {"save_combined_background": True},
    "--save_combined_background True": {"save_combined_background": True},
    "--save-combined-background=no": {},
    "--save_combined_background false": {},
    "--propagate_errors": {"propagate_errors": True},
    "--maxiters=None": {},
    "--maxiters None": {},
    "--maxiters=4": {"maxiters": 4},
    "--soss_bkg_percentile=None": {},
    "--soss_bkg_percentile=20.0,40.0": {"soss_bkg_percentile": (20.0, 40.0)},
    "--wfss_mask=None --wfss_mmag_extract None": {},
    "--override_bkg=N/A": {"override_bkg": "N/A"},
    "--override_bkg=None": {},
    "--steps.bkg_subtract.sigma=2.5": {"sigma": 2.5},
    "--steps.bkg_subtract.save_combined_background=true": {"save_combined_background": True},
    "--save_results=true --skip=false --output_ext=.fits": {},
    "--save_results false": {},
    "--suffix=None --output_file None --input_dir=": {},
    "--suffix=bsub --output_use_index=true --search_output_file=false": {},
    "--output_use_model=false --pre_hooks=None --post_hooks=": {},
    "--disable-crds-steppars --verbose --log-level=INFO": {},
    "--logcfg=None": {},
}
"""What may be typed, and the settings that it makes; all others are the defaults."""


@pytest.mark.slow
@pytest.mark.parametrize("typed", TAKEN)
def test_what_users_of_strun_type_is_taken(typed, folder, bkgflow_):
    code, _, err = bkgflow_("plan", *typed.split(), "program", "--save=p.json")
    assert (code, err) == (0, "")
    assert bkgflow.Plan.load("p.json").settings == StepSettings.of(**TAKEN[typed])


REFUSED = {
    "--suffix=mine": "named as the pipeline names them",
    "--output_file=mine.fits": "named as the pipeline names them",
    "--output_file mine": "named as the pipeline names them",
    "--output_use_model=true": "named as the pipeline names them",
    "--output_ext=.asdf": "FITS",
    "--skip=true": "Leave the exposure out",
    "--skip True": "Leave the exposure out",
    "--input_dir=data": "into the paths",
    "--log-level=ERROR": "--quiet",
    "--log-file=x.log": "bkgflow.log",
    "--logcfg=x.cfg": "bkgflow.log",
    "--pre_hooks=a.b": "no hooks",
    "--save-parameters=x.asdf": "meta.bkgflow",
    "--debug": "--quiet",
    "--steps.flat_field.skip=true": "the pipeline do the other steps",
    "--propagate_errors=maybe": "true or false",
}
"""What is refused, and a word that names what bkgflow has instead."""


@pytest.mark.parametrize("typed", REFUSED)
@pytest.mark.parametrize(
    "command", [("plan", "program"), ("run", "program", "--output=o"), ("subtract", "t1_rate.fits")]
)
def test_what_bkgflow_has_not_is_refused_with_the_word_for_it(command, typed, folder, bkgflow_):
    code, out, err = bkgflow_(*command, *typed.split())
    assert (code, out) == (2, "")
    assert REFUSED[typed] in err
    assert "must" in err
    assert not list(folder.glob("**/*_bsub.fits"))


@pytest.mark.slow
def test_output_dir_is_output_of_a_program(folder, bkgflow_):
    for number, spelling in enumerate(("--output_dir", "--output-dir", "--output")):
        given = (spelling, f"o{number}", "--cluster=threads", "-q")
        assert bkgflow_("run", "program", *given)[0] == 0
        assert (folder / f"o{number}" / "t1_bsub.fits").exists()
    assert bkgflow_("subtract", "t1_rate.fits", "--output", "o9", "-q")[0] == 0
    assert (folder / "o9" / "t1_bsub.fits").exists()


@pytest.mark.parametrize("first", ["bkg_subtract", "BackgroundStep", "t1_rate.fits", "step.asdf"])
def test_a_line_of_strun_is_told_its_command(first, folder, bkgflow_):
    code, _, err = bkgflow_(first, "t1_rate.fits", "--sigma=3")
    assert code == 2
    assert "bkgflow subtract TARGET" in err
    assert ("--settings" in err) == first.endswith(".asdf")


def test_what_follows_two_hyphens_stays_as_it_is():
    assert spelled(["a", "--", "--skip=true", "--x"], {}) == (["a", "--", "--skip=true", "--x"], {})


def test_every_command_takes_the_spellings():
    commands = typer.main.get_command(app).commands
    single = [each for each in commands.values() if not hasattr(each, "commands")]
    assert len(single) > 10
    assert all(type(each) is Command for each in single)


# Parameter files.


def write_step(path, **parameters):
    tree = {"class": "jwst.background.BackgroundStep", "name": "bkg_subtract"}
    asdf.AsdfFile(tree | {"parameters": parameters}).write_to(path)


@pytest.mark.slow
def test_a_parameter_file_that_the_step_exports_is_taken(folder, bkgflow_):
    from jwst.background import BackgroundStep

    step = BackgroundStep()
    step.sigma = 2.5
    step.export_config("step.asdf")
    assert bkgflow_("plan", "program", "--settings=step.asdf", "--save=p.json")[0] == 0
    assert bkgflow.Plan.load("p.json").settings == StepSettings(sigma=2.5)
    given = ("--settings=step.asdf", "--sigma=4", "--save=p.json")
    assert bkgflow_("plan", "program", *given)[0] == 0
    assert bkgflow.Plan.load("p.json").settings == StepSettings(sigma=4)


@pytest.mark.slow
def test_a_parameter_file_of_a_pipeline_is_taken(folder):
    from jwst.pipeline import Spec2Pipeline

    pipeline = Spec2Pipeline()
    pipeline.bkg_subtract.wfss_maxiter = 7
    pipeline.flat_field.skip = True
    pipeline.export_config("spec2.asdf")
    plan = bkgflow.plan("program", "o", settings="spec2.asdf")
    assert plan.settings == StepSettings(wfss_maxiter=7)


@pytest.mark.parametrize(
    "text",
    [
        'name = "bkg_subtract"\nclass = "jwst.background.BackgroundStep"\nsigma = 2.5 # less\n'
        "maxiters = None\nsoss_bkg_percentile = 20, 40\nsave_results = True\n",
        '# a pipeline\nname = "Spec2Pipeline"\n[steps]\n  [[flat_field]]\n  skip = True\n'
        "  [[bkg_subtract]]\n  sigma = 2.5\n  soss_bkg_percentile = 20, 40\n",
    ],
)
def test_an_older_parameter_file_is_taken(text, folder):
    (folder / "step.cfg").write_text(text)
    plan = bkgflow.plan("program", "o", settings="step.cfg")
    assert plan.settings == StepSettings(sigma=2.5, soss_bkg_percentile=(20, 40))


def test_a_parameter_file_may_name_the_backgrounds(folder, bkgflow_):
    write_step("step.asdf", bkg_list=["b1_rate.fits", "b2_rate.fits"], sigma=3.0)
    assert bkgflow_("subtract", "t1_rate.fits", "--settings", "step.asdf")[0] == 0
    assert combined("t1_bsub.fits") == 90
    # A program's products take them where they have none of their own.
    assert bkgflow_("plan", "program", "--settings=step.asdf")[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.asdf", None, ["readable file"]),
        ("text.asdf", b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: [\n", ["parameter file must be"]),
        ("noise.cfg", bytes(range(256)), ["text file"]),
        ("prose.cfg", b"hello world\n", ["name = value"]),
        ("other.cfg", b'name = "flat_field"\nskip = True\n', ["no parameters of this step"]),
        ("bad.cfg", b'name = "bkg_subtract"\nsigma = -1\n', ["sigma", "greater than 0"]),
        ("skip.cfg", b'name = "bkg_subtract"\nskip = True\n', ["Leave the exposure out"]),
        ("odd.cfg", b'name = "bkg_subtract"\nsigmas = 1\n', ["sigmas", "Use sigma"]),
    ],
)
def test_a_bad_parameter_file_is_named(name, content, words, folder, bkgflow_):
    if content is not None:
        (folder / name).write_bytes(content)
    code, _, err = bkgflow_("plan", "program", f"--settings={name}")
    assert code == 2
    assert err.startswith(f"bkgflow: {folder / name}: ")
    for word in words:
        assert word in err


# The same in Python.


@pytest.fixture
def model():
    with make_model(np.full((6, 6), 100.0)) as made:
        yield made


@pytest.mark.parametrize(
    "arguments",
    [
        {"save_results": False, "skip": False, "output_file": None, "suffix": None},
        {"soss_bkg_percentile": None, "maxiters": None, "override_bkg": None},
        {"pre_hooks": [], "output_use_model": False, "configure_log": False, "logcfg": None},
    ],
)
def test_arguments_that_the_step_is_called_with_are_taken(arguments, model):
    with make_model(np.full((6, 6), 8.0)) as background:
        result = bkgflow.subtract(model, [background], **arguments)
    assert float(result.data[0, 0]) == 92


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"save_results": True}, r"save\(path\)"),
        ({"output_file": "x.fits"}, "named as the pipeline"),
        ({"suffix": "x"}, "named as the pipeline"),
        ({"skip": True}, "Leave the exposure out"),
        ({"config_file": "x.asdf"}, "as settings"),
        ({"input_bkg_list": ["x"]}, "as bkg_list"),
        ({"sigmaa": 3}, "Use sigma"),
        ({"pre_hooks": [print]}, "no hooks"),
    ],
)
def test_arguments_that_bkgflow_has_not_are_refused_with_the_word_for_them(arguments, word, model):
    with pytest.raises(SettingsError, match=word):
        bkgflow.subtract(model, **arguments)


def test_references_are_paths_of_any_type_or_lists_of_them(tmp_path):
    given = StepSettings.of(override_bkg=[tmp_path / "a", "b"], wfss_mask=tmp_path / "m")
    assert given.override_bkg == f"{tmp_path / 'a'},b"
    assert given.wfss_mask == str(tmp_path / "m")
