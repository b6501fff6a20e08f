"""Rules: bounds that are checked when they are made, and where the step's arguments go."""

import math

import pytest

from bkgflow.errors import MetadataError, SettingsError
from bkgflow.rules import ClipRule, ScaleRule, SossRule, StackRule
from bkgflow.settings import StepSettings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        (ClipRule, {"sigma": 0.0}),
        (ClipRule, {"sigma": math.nan}),
        (ClipRule, {"maxiters": -1}),
        (ClipRule, {"maxiters": 2**31}),
        (ClipRule, {"method": "mad"}),
        (ClipRule, {"side": "upper"}),
        (StackRule, {"combine": "mode"}),
        (StackRule, {"weights": "time"}),
        (StackRule, {"bad_bits": 2**32}),
        (StackRule, {"dq_percent": 101.0}),
        (ScaleRule, {"maxiter": -1}),
        (ScaleRule, {"rms_stop": math.nan}),
        (ScaleRule, {"rms_stop": -1.0}),
        (ScaleRule, {"outlier_percent": 50.0}),
        (SossRule, {"source_percentile": 101.0}),
        (SossRule, {"bkg_percentile": (50.0, 25.0)}),
        (SossRule, {"bkg_percentile": (0.0, math.nan)}),
        (SossRule, {"fit": "together"}),
    ],
)
def test_out_of_bounds(rule, bad):
    with pytest.raises(SettingsError) as caught:
        rule(**bad)
    assert str(next(iter(bad.values()))).split(",")[0] in caught.value.value


def test_the_steps_arguments_make_the_rules():
    assert StepSettings().stack_rule == StackRule()
    assert StepSettings().scale_rule == ScaleRule()
    assert StepSettings().soss_rule == SossRule()
    settings = StepSettings(
        sigma=2.0, maxiters=0, wfss_maxiter=1, wfss_rms_stop=0.5, wfss_outlier_percent=2.0,
        soss_source_percentile=40.0, soss_bkg_percentile=(10, 30), soss_fit="file",
    )  # fmt: skip
    assert settings.stack_rule == StackRule(clip=ClipRule(sigma=2.0, maxiters=None))
    assert settings.scale_rule == ScaleRule(maxiter=1, rms_stop=0.5, outlier_percent=2.0)
    wanted = SossRule(source_percentile=40.0, bkg_percentile=(10.0, 30.0), fit="file")
    assert settings.soss_rule == wanted


def test_the_axis_is_asked_for_only_where_it_is_needed():
    ScaleRule().check_axis(None)
    ScaleRule(rms_stop=1.0).check_axis(2)
    with pytest.raises(MetadataError, match=r"a\.fits: wfss_rms_stop needs the dispersion axis"):
        ScaleRule(rms_stop=1.0).check_axis(None, "a.fits")
