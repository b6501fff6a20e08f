"""News that is heard together, and how long it is waited for."""

import threading
import time
from queue import SimpleQueue

import pytest

from bkgflow.clusters.news import TOGETHER, all_news


def test_all_that_is_there_is_heard_in_order():
    queue = SimpleQueue()
    for each in range(1500):
        queue.put(each)
    assert all_news(queue, 1, together=False) == list(range(1000))
    assert all_news(queue, 1, together=False) == list(range(1000, 1500))


def test_nothing_is_waited_for_no_longer_than_told():
    began = time.monotonic()
    assert all_news(SimpleQueue(), 0.05, together=True) == []
    assert all_news(SimpleQueue(), -1, together=True) == []
    assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize(("together", "heard"), [(True, ["first", "later"]), (False, ["first"])])
def test_what_comes_a_little_later_comes_together(together, heard):
    queue = SimpleQueue()
    queue.put("first")
    threading.Timer(TOGETHER / 4, queue.put, ["later"]).start()
    assert all_news(queue, 5, together=together) == heard
