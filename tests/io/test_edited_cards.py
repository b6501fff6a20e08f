"""Headers of which a few cards change are those that astropy would make."""

from __future__ import annotations

import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from bkgflow.io.fits.cards import cut_card
from bkgflow.io.fits.edited import EditedCards

KEYWORDS = ["DATE", "FILENAME", "S_BKDSUB", "BKGD_SCL", "R_AREA"]

texts = st.text(st.sampled_from("ab '/x"), max_size=90)
values = st.one_of(texts, st.floats(-1e6, 1e6), st.integers(-99, 99), st.booleans())
comments = st.text(st.sampled_from("comment /"), max_size=60).map(str.strip)


@st.composite
def headers(draw):
    """A primary header with titles, comments, a history, long strings and blanks."""
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True)])
    for keyword in draw(st.lists(st.sampled_from([*KEYWORDS, "", "HISTORY"]), unique_by=str)):
        value = draw(texts if keyword in ("", "HISTORY") else values)
        if keyword == "HISTORY" and not value.strip():
            value = "done"
        commentary = keyword in ("", "HISTORY")
        header.append((keyword, value, "" if commentary else draw(comments)), end=True)
    for _ in range(draw(st.integers(0, 5))):
        header.append(("", "", ""), end=True)
    return fits.Header.fromstring(header.tostring())


def set_by_astropy(header, keyword, value):
    """Change a value as the products' headers always were."""
    cut = cut_card(keyword, value, header.comments[keyword])
    if cut is None or header[keyword] == value:
        header[keyword] = value
    else:
        at = header.index(keyword)
        del header[at]
        header.insert(at, cut, useblanks=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@given(headers(), st.data())
@settings(max_examples=300, deadline=None)
def test_what_changes_is_what_astropy_would_write(header, data):
    edited = EditedCards("here.fits", header.tostring().encode("ascii"))
    assert edited.to_bytes() == header.tostring().encode("ascii")
    for keyword in data.draw(st.lists(st.sampled_from(KEYWORDS), unique=True)):
        value = data.draw(values)
        comment = data.draw(comments)
        assert (keyword in edited) == (keyword in header)
        if keyword in header:
            set_by_astropy(header, keyword, value)
            edited.set(keyword, value)
        else:
            before = data.draw(st.sampled_from(["EXTEND", "NAXIS"]))
            after = before == "EXTEND" or data.draw(st.booleans())
            card = cut_card(keyword, value, comment) or fits.Card(keyword, value, comment)
            alone = not after or data.draw(st.booleans())
            new = [card] if alone else [("", ""), ("", "A title"), card]
            for each in reversed(new):
                header.insert(before, each, after=after)
            words = [("", "", ""), ("", "A title", "")][: len(new) - 1]
            edited.insert(before, *words, (keyword, value, comment), after=after)
    for line in data.draw(st.lists(st.text(st.sampled_from("ab c"), max_size=200), max_size=3)):
        header["HISTORY"] = line
        edited.add_history(line)
    assert edited.to_bytes() == header.tostring().encode("ascii")
