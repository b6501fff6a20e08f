"""The step's arguments: bounds and words."""

import math

import pytest

from bkgflow.errors import SettingsError
from bkgflow.settings import StepSettings


def test_defaults_are_the_reference_steps():
    settings = StepSettings.of()
    assert (settings.sigma, settings.maxiters) == (3.0, None)
    assert settings.save_combined_background is False


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"sigma": 0}, "greater than 0"),
        ({"sigma": -1.5}, "greater than 0"),
        ({"sigma": math.nan}, "finite"),
        ({"sigma": "wide"}, "number"),
        ({"maxiters": -1}, "greater than or equal to 0"),
        ({"maxiters": 1.5}, "integer"),
        ({"maxiters": 10**30}, "less than or equal to"),
        ({"wfss_maxiter": 10**30}, "less than or equal to"),
        ({"sigmas": 3}, "not an argument"),
    ],
)
def test_out_of_bounds(arguments, word):
    (name,) = arguments
    with pytest.raises(SettingsError) as caught:
        StepSettings.of(**arguments)
    assert word in caught.value.rule
    assert name in caught.value.value
    assert caught.value.cure


def test_none_and_zero_iterations_mean_the_same():
    assert StepSettings.of(maxiters=0).stack_rule == StepSettings.of().stack_rule


def test_words_that_no_text_can_hold_are_refused_in_words():
    for name in ("bkg_bad_bits", "bkg_good_bits"):
        with pytest.raises(SettingsError, match="neither"):
            StepSettings.of(**{name: "\udc80"})


@pytest.mark.parametrize("given", [5, True, {"filter": 1}])
def test_keywords_that_may_differ_are_names(given):
    with pytest.raises(SettingsError, match="must be names of keywords"):
        StepSettings.of(allow_mismatch=given)
