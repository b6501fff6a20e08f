"""How a unit stands, what its product says of itself, and errors that come back."""

from __future__ import annotations

import json
import math

import pytest

from bkgflow import errors
from bkgflow.errors import BkgflowError, InputError, ShapeError
from bkgflow.record import ImageFound, Record, SlitlessFound, SossFound, plain
from bkgflow.verdict import State, Verdict

ERROR = ShapeError("A rule", value="3", cure="A cure", file="x.fits")

FOUND = [
    None,
    ImageFound(4, ("a.fits",)),
    SlitlessFound("boxes", 0.25, (1.5, 2.0), (0.1, 0.2), 90, 0.5, 3, 1.2, ((1.0, 0.0), (0.0, 1.0))),
    SossFound(
        template=2,
        left_scale=(1.0,),
        right_scale=(0.9, 0.8),
        left_scale_error=(0.1,),
        right_scale_error=(0.1, 0.2),
        left_scale_random_error=(0.01,),
        right_scale_random_error=(0.01, 0.02),
        source_threshold=3.5,
        template_rms=((1.0, float("inf")),),
        fit_pixels=(10, 20),
        fit_segments=1,
        segments_left_out=("b.fits",),
        fit_notes=("a note",),
    ),
    SossFound(fit_notes=("no template fits",)),
]

LAYOUT_1 = {
    "outcome": "COMPLETE",
    "reason": "",
    "version": "0.1.0",
    "key": "0123",
    "background_key": "4567",
    "association": "a_asn.json",
    "backgrounds": ["b.fits", "c.fits"],
    "settings": {"sigma": 3.0, "maxiters": None},
    "notes": ["a note"],
    "unsubtracted_pixels": 7,
    "unused_backgrounds": ["c.fits"],
}
"""What products of bkgflow 0.1 hold."""


def _record(found):
    return Record(
        version="0.2.0",
        key="k",
        background_key="b",
        association="a_asn.json",
        backgrounds=("b.fits",),
        settings={"sigma": 3.0, "maxiters": None, "soss_bkg_percentile": (25.0, 50.0)},
        notes=("one", "two"),
        found=found,
    )


@pytest.mark.parametrize("kind", [getattr(errors, name) for name in errors.__all__])
def test_every_error_comes_back_from_its_parts(kind):
    error = kind("A rule", value=3, cure="A cure", file="x.fits")
    back = BkgflowError.from_dict(json.loads(json.dumps(error.to_dict())))
    assert type(back) is kind
    assert back == error
    assert hash(back) == hash(error)
    assert back.message == error.message


def test_an_error_of_an_unknown_class_comes_back_as_the_general_one():
    back = BkgflowError.from_dict({"error": "FutureError", "rule": "A rule", "cure": "A cure"})
    assert type(back) is BkgflowError
    assert back.message == "A rule. A cure."


def test_errors_that_say_different_things_are_different():
    assert InputError("A rule", cure="A cure") != InputError("Another", cure="A cure")
    assert InputError("A rule", cure="A cure") != ShapeError("A rule", cure="A cure")


@pytest.mark.parametrize("found", FOUND)
def test_a_verdict_survives_the_tree_of_a_product(found):
    verdict = Verdict(State.COMPLETE, "a reason", record=_record(found))
    tree = json.loads(json.dumps(verdict.to_tree()))
    back = Verdict.from_tree(tree)
    assert back.to_tree() == verdict.to_tree()
    assert back.state == State.COMPLETE
    assert back.record is not None
    assert back.record.found == found


@pytest.mark.parametrize("found", FOUND)
@pytest.mark.parametrize("error", [None, ERROR])
def test_a_verdict_survives_json(found, error):
    verdict = Verdict(State.FAILED, "why", error, _record(found), ("p.fits",))
    back = Verdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
    assert back.error == error
    assert back.record is not None
    assert back.record.found == found
    assert back.products == ("p.fits",)


def test_a_fit_that_found_nothing_stays_nan():
    record = _record(SlitlessFound(scaling_factors=(float("nan"),)))
    parts = json.loads(json.dumps(Verdict(State.FAILED, "why", record=record).to_dict()))
    back = Verdict.from_dict(parts).record
    assert back is not None
    assert isinstance(back.found, SlitlessFound)
    assert math.isnan(back.found.scaling_factors[0])


def test_products_of_the_first_layout_stay_readable():
    verdict = Verdict.from_tree(LAYOUT_1)
    assert verdict.state == State.COMPLETE
    assert verdict.record is not None
    assert verdict.record.backgrounds == ("b.fits", "c.fits")
    assert verdict.record.found == ImageFound(7, ("c.fits",))
    assert verdict.record.version == "0.1.0"


def test_a_tree_without_a_state_is_refused():
    with pytest.raises(ValueError, match="None"):
        Verdict.from_tree({"version": "0.1.0"})


def test_names_of_a_later_layout_are_passed_over():
    tree = {**LAYOUT_1, "layout": 9, "state": "SKIPPED", "colour": "green"}
    assert Verdict.from_tree(tree).state == State.SKIPPED


def test_what_is_none_is_left_out_of_a_tree():
    assert plain({"a": None, "b": (1, None, 2), "c": {"d": None}}) == {"b": [1, 2], "c": {}}


def test_history_names_everything_once_in_printable_ascii():
    record = Record(
        version="0.2.0",
        key="k",
        notes=("x 1–4 × 2, grün",),
        settings={"sigma": 3.0, "maxiters": None},
    )
    lines = Verdict(State.COMPLETE, record=record).history
    assert lines == [
        "bkgflow 0.2.0: background subtraction COMPLETE",
        "bkgflow key: k",
        "bkgflow settings: sigma=3.0, maxiters=None",
        "bkgflow notes: x 1-4 x 2, gr?n",
    ]


def test_long_lists_are_short_in_history():
    scales = tuple(float(i) for i in range(500))
    record = Record(version="0.2.0", found=SossFound(template=0, left_scale=scales))
    [line] = [
        each for each in Verdict(State.COMPLETE, record=record).history if "left_scale" in each
    ]
    assert "(500 in all)" in line
    assert line.endswith("499.0")
    assert len(line) < 300


@pytest.mark.slow
def test_every_state_is_explained_and_only_two_are_good():
    assert [state for state in State if state.good] == [State.COMPLETE, State.SKIPPED]
    assert Verdict.planned().to_do
    assert not Verdict.skipped("why").to_do
    assert Verdict.blocked("why").state == State.BLOCKED
    assert Verdict.quarantined(ERROR).reason == ERROR.message
