"""Header cards parsed on demand: the same values as astropy's, and errors that name the card."""

from __future__ import annotations

import io
import warnings

import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from bkgflow.errors import FileError
from bkgflow.io.fits.cards import Cards, cut_card
from tests.helpers.pace import examples

printable = st.characters(min_codepoint=32, max_codepoint=126)
values = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(printable, max_size=200),
)
comments = st.text(st.characters(min_codepoint=40, max_codepoint=126), max_size=20)


@pytest.mark.slow
@given(st.lists(st.tuples(values, comments), max_size=40))
@settings(max_examples=examples(200), deadline=None)
def test_values_are_astropys(pairs):
    header = fits.Header()
    for i, (value, comment) in enumerate(pairs):
        header[f"KEY{i}"] = (
            (value, comment) if not isinstance(value, str) or len(value) < 40 else value
        )
    expected = fits.Header.fromstring(header.tostring())
    cards = Cards.read("x.fits", io.BytesIO(header.tostring(padding=True).encode()))
    for keyword in expected:
        if keyword and keyword != "CONTINUE":
            assert cards.get(keyword) == expected[keyword]
            assert type(cards.get(keyword)) is type(expected[keyword])
    assert cards.get("NOTTHERE", 7) == 7


def header_of(*cards):
    return b"".join(card.ljust(80) for card in (*cards, b"END")).ljust(2880)


@pytest.mark.parametrize(
    ("card", "value"),
    [
        (b"A       =                   12 / a / b", 12),
        (b"A       = 'it''s'", "it's"),
        (b"A       = '  x  ' / c", "  x"),
        (b"A       = 1.5D3", 1500.0),
        (b"A       = .5", 0.5),
        (b"A       = T", True),
        (b"A       = ''", ""),
    ],
)
def test_cards_by_hand(card, value):
    assert Cards("x.fits", header_of(card)).get("A") == value


def test_the_first_card_of_a_keyword_counts():
    assert Cards("x.fits", header_of(b"A       = 1", b"A       = 2")).get("A") == 1


def test_a_card_without_a_value():
    with pytest.raises(FileError, match=r"x\.fits.*card A must have a value"):
        Cards("x.fits", header_of(b"A       = 'never closed")).get("A")


@pytest.mark.parametrize("card", [b"NAXIS   = 'two'", b"NAXIS   = T", b"OTHER   = 1"])
def test_a_whole_number_that_is_none(card):
    with pytest.raises(FileError, match="must say NAXIS, a whole number"):
        Cards("x.fits", header_of(card)).whole("NAXIS")


@pytest.mark.parametrize(
    "raw", [b"", b"A       = 1", header_of(b"A       = 1").replace(b"END", b"EMD")]
)
def test_a_header_without_an_end(raw):
    with pytest.raises(FileError, match="must end with END"):
        Cards.read("x.fits", io.BytesIO(raw))


def test_headers_that_are_alike_answer_alike_and_errors_name_their_own_file():
    raw = header_of(b"A       = 1", b"B       = 'never closed")
    for name in ("x.fits", "y.fits"):
        cards = Cards(name, raw)
        assert (cards.get("A"), cards.get("C"), cards.get("C", 3)) == (1, None, 3)
        with pytest.raises(FileError, match=name):
            cards.get("B")


def test_a_question_about_a_short_header_is_asked_once_and_about_others_each_time():
    asked = []

    def question(cards):
        asked.append(cards)
        return cards.get("A")

    short, long = header_of(b"A       = 7"), header_of(*[b"COMMENT a"] * 40, b"A       = 8")
    assert [Cards(name, short).once(question) for name in "xy"] == [7, 7]
    assert len(asked) == 1
    assert [Cards(name, long.ljust(2 * 2880)).once(question) for name in "xy"] == [8, 8]
    assert len(asked) == 3


@pytest.mark.parametrize("last", [b"END" + bytes(77), b"END" + b" " * 76 + b"x"])
def test_what_follows_an_end_must_be_blank(last):
    raw = header_of(b"COMMENT THE END of a card", b"A       = 1")
    assert Cards.read("x.fits", io.BytesIO(raw)).get("A") == 1
    with pytest.raises(FileError, match="must end with END and blanks"):
        Cards.read("x.fits", io.BytesIO(raw.replace(b"END".ljust(80), last)))


@pytest.mark.slow
@given(
    st.from_regex(r"[A-Z][A-Z0-9_]{0,7}", fullmatch=True), values, st.text(printable, max_size=90)
)
@settings(max_examples=examples(300), deadline=None)
def test_a_comment_is_cut_as_astropy_cuts_it_without_its_warning(keyword, value, comment):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        expected = fits.Header([fits.Card(keyword, value, comment)]).tostring()
    warned = any("comment will be truncated" in str(each.message) for each in said)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        card = cut_card(keyword, value, comment)
        assert (card is not None) == warned
        if card is not None:
            header = fits.Header([("BEFORE", 1)])
            header.insert("BEFORE", card)
            header.insert("BEFORE", ("OTHER", 2), after=True)
            assert header.tostring()[:80] == expected[:80]


@pytest.mark.parametrize("room", range(8))
def test_what_is_left_of_a_comment_is_astropys_however_little_room_there_is(room):
    value = "x" * (80 - 12 - room)
    with pytest.warns(fits.verify.VerifyWarning, match="truncated"):
        expected = fits.Card("R_WAVRAN", value, "a comment").image
    assert cut_card("R_WAVRAN", value, "a comment").image == expected
