"""Keys: same parts, same key; and words for where two keys differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.detector import Window
from bkgflow.io.storage.identity import Identity
from bkgflow.planning.keys import Key

FILE = Identity("a.fits", 100, 5)

PLAIN = st.one_of(st.text(), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
PARTS = st.lists(st.tuples(st.text(min_size=1), st.one_of(PLAIN, st.lists(PLAIN, max_size=3))))


@pytest.mark.slow
@given(PARTS)
def test_a_key_is_its_parts(parts):
    assert Key.of(parts) == Key.of(parts)
    assert Key.of(parts).digest == Key.of(parts).digest
    assert len(Key.of(parts).digest) == 32
    assert Key.of(parts).differs(Key.of(parts)) == []


@pytest.mark.parametrize("value", [object(), np.float64, {"a": 1}, [object()], b"bytes", 1j])
def test_an_unknown_type_is_an_error(value):
    with pytest.raises(TypeError, match="a key cannot hold thing"):
        Key.of([("thing", value)])


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (3.0, 2.5, ["sigma 3 → 2.5"]),
        (None, 5, ["sigma None → 5"]),
        ((25.0, 50.0), (5.0, 40.0), ["sigma 25, 50 → 5, 40"]),
        (FILE, replace(FILE, name="b.fits"), ["sigma: other file (a.fits → b.fits)"]),
        (FILE, replace(FILE, size=7), ["sigma: other size of a.fits (100 → 7 bytes)"]),
        (FILE, replace(FILE, mtime_ns=6), ["sigma: a.fits was written again"]),
        (
            replace(FILE, checksum="x"),
            replace(FILE, checksum="y", mtime_ns=6),
            ["sigma: other bytes in a.fits"],
        ),
    ],
)
def test_a_key_says_in_words_where_it_differs(before, now, words):
    assert Key.of([("sigma", now)]).differs(Key.of([("sigma", before)])) == words


def test_members_are_compared_in_any_order():
    a, b, c = (Identity(f"{name}.fits", 1, 1) for name in "abc")
    before = Key.of([("background", a), ("background", b)])
    assert Key.of([("background", b), ("background", a)]).differs(before) == []
    assert Key.of([("background", b), ("background", c)]).differs(before) == [
        "background: other file (a.fits → c.fits)"
    ]
    assert Key.of([("background", a), ("background", b), ("background", c)]).differs(before) == [
        "background: with c.fits"
    ]
    assert Key.of([]).differs(before) == [
        "background: without a.fits",
        "background: without b.fits",
    ]


def test_what_stands_in_keys_only_where_it_is_unusual_is_compared_with_the_usual():
    usual = {"clip": "sigma", "bits": None, "grow": 3.0}
    before, now = Key.of([("bits", "4"), ("grow", 3.0)]), Key.of([("clip", "noise")])
    found = [each.words for each in now.differences(before, usual)]
    assert found == ["bits 4 → None", "clip sigma → noise"]


def test_nothing_is_said_with_a_word():
    before, now = Key.of([("skipped because", "")]), Key.of([("skipped because", "it is alone")])
    assert now.differs(before) == ["skipped because none → it is alone"]


def test_windows_are_told_apart():
    one, other = (Key.of([("window", Window(x, 0, 4, 4))]) for x in (0, 1))
    assert one.digest != other.digest
    assert other.differs(one) == ["window x 1–4, y 1–4 → x 2–5, y 1–4"]


def test_numbers_that_look_alike_are_told_apart():
    digests = {Key.of([("a", value)]).digest for value in (1, 1.0, True, "1")}
    assert len(digests) == 4
