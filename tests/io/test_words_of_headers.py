"""Headers that say nothing, or the same in other words."""

import numpy as np
import pytest
from astropy.io import fits

from bkgflow.io.exposures.segments import read_segment
from bkgflow.io.exposures.setup import exposure_id
from bkgflow.io.references.templates import template_words
from bkgflow.io.storage.location import Location

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


@pytest.mark.parametrize(
    ("listed", "accepted"),
    [
        (None, {"F115W"}),
        ("N/A", {"F115W"}),
        ("F150W|F200W|", {"F150W", "F200W"}),
        ("F150W|ANY", None),
        ("ANY", None),
    ],
)
def test_a_template_is_for_the_filters_of_its_list_if_that_says_any(tmp_path, listed, accepted):
    header = fits.Header({"FILTER": "F115W"} | ({"P_FILTER": listed} if listed else {}))
    hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(np.ones((4, 4), "f4"), name="SCI")]
    fits.HDUList(hdus).writeto(tmp_path / "t.fits")
    location = Location.of(tmp_path / "t.fits")
    words = dict(template_words(location, location.identity("A template")))
    assert words.get("FILTER") == accepted
