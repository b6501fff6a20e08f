"""Tasks on a worker: what may take its process with it is not begun where nobody wants it."""

import threading
from functools import partial
from pathlib import Path

import pytest

from bkgflow.clusters.jobs import Job
from bkgflow.clusters.local import Local
from tests.helpers.clusters import wait_until

pytestmark = pytest.mark.slow


def touch(path):
    Path(path).touch()


@pytest.mark.parametrize("wanted", [True, False])
def test_what_is_tried_alone_is_not_begun_if_it_was_taken_back(tmp_path, wanted):
    began = threading.Event()
    mark = tmp_path / "mark"
    task = partial(touch, str(mark))
    job = Job.of(task, topic="jobs", key="key", trial="", alone=True, ends=False)
    with Local(workers=1).open() as executor:
        client = executor.client
        client.subscribe_topic("jobs", lambda event: began.set())
        future = client.submit(job, key="key", pure=False)
        assert began.wait(20)
        if not wanted:
            future.cancel()
        # Both wait for the same thread: the second begins when the first has ended.
        assert client.submit(int, "7", pure=False).result(20) == 7
        wait_until(lambda: mark.exists() == wanted, 20)
    assert mark.exists() == wanted
