"""Memory that is used again: nobody has it twice at a time, and no more is kept than is said."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.scratch import KEPT_BYTES, OWN, Scratch, Store


def test_what_was_given_back_is_what_comes_next():
    store = Store()
    with Scratch(store) as first:
        one = first.array((100, 20), np.dtype(np.float32))
        other = first.array((100, 20), np.dtype(np.float32))
        assert not np.shares_memory(one, other)
    with Scratch(store) as second:
        again = second.array((40, 50), np.dtype(">u4"))
        assert again.dtype == ">u4"
        assert np.shares_memory(again, one) != np.shares_memory(again, other)


def test_an_array_is_not_taken_from_a_piece_that_is_far_too_large():
    store = Store()
    with Scratch(store) as first:
        large = first.array((1000,), np.dtype(np.float64))
    with Scratch(store) as second:
        assert not np.shares_memory(second.array((10,), np.dtype(np.float64)), large)


def test_after_an_error_all_is_given_back():
    store = Store()
    with pytest.raises(ValueError, match="here"), Scratch(store) as held:
        taken = held.array((7,), np.dtype(np.int64))
        raise ValueError("here")
    with Scratch(store) as held:
        assert np.shares_memory(held.array((7,), np.dtype(np.int64)), taken)


@pytest.mark.slow
@given(st.lists(st.integers(0, 300), max_size=20))
def test_no_more_is_kept_than_is_said(sizes):
    store = Store(1000)
    for _ in range(2):
        with Scratch(store) as held:
            arrays = [held.array((size,), np.dtype(np.uint8)) for size in sizes]
            assert [each.size for each in arrays] == sizes
        assert store.kept <= 1000


def test_the_process_keeps_what_is_said():
    with Scratch() as held:
        held.array((KEPT_BYTES + 1,), np.dtype(np.uint8))
        held.array((1,), np.dtype(np.uint8))
    assert 0 < OWN.kept <= KEPT_BYTES


def test_threads_never_have_the_same_piece():
    store, all_there = Store(), Barrier(8)

    def fill(number):
        for _ in range(50):
            with Scratch(store) as held:
                array = held.array((500,), np.dtype(np.int64))
                array[:] = number
                all_there.wait()
                if (array != number).any():
                    return False
            all_there.wait()
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fill, range(8)))
    assert store.kept == 8 * 4000
