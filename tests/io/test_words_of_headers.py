"""Headers that say nothing, or the same in other words."""

import pytest

from bkgflow.io.exposures.segments import read_segment
from bkgflow.io.exposures.setup import exposure_id

USUAL = {
    "PROGRAM": "01234", "OBSERVTN": "005", "VISIT": "001", "VISITGRP": "02", "SEQ_ID": "1",
    "ACT_ID": "01", "EXPOSURE": "1", "DETECTOR": "NIS", "EXSEGNUM": 1, "EXSEGTOT": 2,
}  # fmt: skip


def ids(**changes):
    header = USUAL | changes
    return read_segment(header.get).exposure, exposure_id(header.get)


@pytest.mark.parametrize("word", ["UNKNOWN", "N/A", "", None])
def test_numbers_that_say_nothing_name_no_exposure(word):
    nothing = dict.fromkeys(("PROGRAM", "OBSERVTN", "VISIT", "EXPOSURE"), word)
    assert ids(**nothing) == ("", "")


@pytest.mark.parametrize(
    "changes",
    [{"EXPOSURE": 1}, {"EXPOSURE": 1.0}, {"EXPOSURE": "00001"}, {"DETECTOR": "nis"},
     {"EXSEGNUM": 1.0}],
)  # fmt: skip
def test_numbers_are_the_same_however_they_are_written(changes):
    assert ids(**changes) == ids()


@pytest.mark.parametrize("changes", [{"EXPOSURE": 2}, {"DETECTOR": "NRS1"}, {"OBSERVTN": "006"}])
def test_other_numbers_are_other_exposures(changes):
    segment, known = ids(**changes)
    assert segment != ids()[0]
    assert known != ids()[1]
