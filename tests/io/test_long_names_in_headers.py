"""Names that leave no room for the comment of their card: cut as ever, and nothing is said."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
from astropy.io import fits

from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import NAMED, Changes
from tests.helpers.exposures import make_model
from tests.helpers.products import write

CUT = "Card is too long, comment will be truncated"


@pytest.fixture
def path(tmp_path):
    """A file that has cards of some names, with comments, and lacks those of others."""
    with make_model(np.ones((6, 6), np.float32)) as model:
        model.meta.ref_file.wavelengthrange.name = "old.asdf"
        model.meta.direct_image = "an older image_i2d.fits"
        model.save(str(tmp_path / "t_rate.fits"))
    return tmp_path / "t_rate.fits"


@pytest.mark.slow
@pytest.mark.parametrize("length", [1, 30, 55, 64, 65, 66, 67, 68, 69, 120])
def test_both_ways_cut_alike_and_warn_of_nothing(path, tmp_path, length):
    name = "x" * length
    changes = Changes(keywords=tuple((keyword, name) for keyword in NAMED))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=CUT)
        ways = [
            write(path, tmp_path / f"{way}_bsub.fits", changes, writer=FitsWriter(amend=way))
            for way in (True, False)
        ]
    amended, whole = (_cards(each) for each in ways)
    assert amended == whole
    assert fits.getheader(ways[0])["R_BKG"] == name


def _cards(path):
    """The cards of the primary header as they are written, but for the date and the file's name."""
    raw = fits.getheader(path).tostring(sep="\n").splitlines()
    return [card for card in raw if not card.startswith(("DATE ", "FILENAME", "HISTORY"))]


def test_threads_within_hide_each_others_warnings_and_leave_the_filters_as_they_were():
    before = warnings.filters[:]
    inside, leave = threading.Event(), threading.Event()

    def other():
        with unwarned():
            inside.set()
            leave.wait(10)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(10)
        with unwarned():
            warnings.warn("first within", stacklevel=1)
        warnings.warn("one is still within", stacklevel=1)
        leave.set()
        thread.join()
        warnings.warn("nobody is within", stacklevel=1)
    assert [str(each.message) for each in said] == ["nobody is within"]
    assert warnings.filters[:] == before


def test_an_error_within_is_raised_and_warnings_are_shown_again():
    with pytest.raises(ValueError, match="as it is"), unwarned():
        raise ValueError("as it is")
    with pytest.warns(UserWarning, match="shown"):
        warnings.warn("shown", stacklevel=1)
