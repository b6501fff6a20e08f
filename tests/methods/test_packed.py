"""Combined backgrounds in less room: every row comes back as it was."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bkgflow.methods.clip import Combined, Packed
from bkgflow.methods.clip.packed import Mostly


@st.composite
def counted(draw):
    """An array, its usual value, how it is cut into strips, and some rows of it."""
    ny, nx = draw(st.integers(1, 20)), draw(st.integers(1, 12))
    share, seed = draw(st.floats(0, 1)), draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    array = np.where(rng.random((ny, nx)) < share, rng.integers(0, 5, (ny, nx)), 3)
    # A run of rows may be unlike the others.
    array[rng.integers(0, ny + 1) :] = rng.integers(0, 2)
    cuts = sorted(draw(st.sets(st.integers(1, ny), max_size=4)) | {ny})
    start = draw(st.integers(0, ny - 1))
    return array, 3, cuts, slice(start, draw(st.integers(start + 1, ny)))


@pytest.mark.slow
@given(counted(), st.sampled_from([np.uint16, np.uint32]), st.booleans())
@settings(max_examples=200)
def test_rows_and_counts_are_those_of_the_array(case, dtype, nothing_is_usual):
    array, usual, cuts, part = case
    if nothing_is_usual:
        array, usual = (array + 2) % 5, 0
    array = array.astype(dtype)
    made, scratch = Mostly(array.shape, array.dtype, usual), np.empty_like(array)
    start = 0
    for stop in cuts:
        held = scratch[: stop - start]  # one buffer for all strips, as the task has it
        held[...] = array[start:stop]
        made.add(held)
        start = stop
    scratch[...] = 77
    for each in (made, Mostly.of(array, usual), pickle.loads(pickle.dumps(made))):
        rows = each.rows(part)
        assert rows.dtype == array.dtype
        np.testing.assert_array_equal(rows, array[part])
        flags = np.full_like(rows, 4)
        each.join_to(flags, part)
        np.testing.assert_array_equal(flags, array[part] | 4)
        for value in range(6):
            assert each.count(value) == np.count_nonzero(array == value)
            np.testing.assert_array_equal(
                each.places(value, part), np.flatnonzero(array[part] == value)
            )


def test_what_says_the_same_everywhere_takes_no_room():
    shape = (200, 300)
    dq = np.zeros(shape, np.uint32)
    dq[::10, ::10] = 5
    pixels = Combined(
        np.ones(shape, np.float32), np.empty((0, 300), np.float32), dq, np.full(shape, 8, np.uint16)
    )
    packed = Packed.of(pixels)
    assert len(pickle.dumps(packed)) < 1.05 * pixels.sci.nbytes
    whole = packed.whole()
    for name in ("sci", "err", "dq", "n_used"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pixels, name))


def test_values_without_a_rule_take_no_more_room_than_before():
    noise = np.random.default_rng(1).integers(0, 9, (50, 60)).astype(np.uint32)
    assert len(pickle.dumps(Mostly.of(noise, 0))) < 1.05 * noise.nbytes
