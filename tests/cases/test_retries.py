"""Units that fail for no fault of their own: retried, given up, and told of, on real workers."""

import os
import threading
from collections import Counter
from functools import partial

import pytest

from bkgflow.clusters.attempts import LOST, TIMEOUT
from bkgflow.clusters.local import Local
from tests.helpers.clusters import wait_until
from tests.helpers.tasks import (
    band_that_takes,
    end_after,
    ends_with,
    kills,
    logs,
    takes,
)
from tests.helpers.workloads import Heard, Listed, account_of

pytestmark = pytest.mark.slow

LIMIT = "400MiB"
"""Of the workers: what they import takes a good third of it."""


def good(number, seconds=0.01):
    return {f"good{each}": partial(end_after, seconds) for each in range(number)}


def bands(divisor, mib=900, seconds=2.0):
    return band_that_takes(mib, seconds, divisor)


# Memory.


def test_a_worker_out_of_memory_is_told_and_its_unit_done_with_smaller_bands():
    work = Listed({"unit": ends_with} | good(6), {"unit": "deep"}, partial(bands, mib=640))
    with Local(workers=1, memory=LIMIT).open() as executor:
        heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 7}
    assert heard.ends["unit"].reason == "with (4,)"
    first, last = heard.attempts["unit"]
    assert first.state == LOST
    assert "what it shares with others" in first.reason
    assert "was ended for its memory: it held" in first.reason
    assert any("memory budget" in line for line in first.log)
    assert first.worker.startswith("tcp://") and first.process.startswith("process ")
    assert (last.state, last.number) == ("COMPLETE", 2)
    assert work.built == {("deep", 1): 1, ("deep", 4): 1}


def test_what_fits_into_no_worker_gets_one_of_twice_the_memory():
    work = Listed({"large": partial(takes, 450, 1.5)} | good(4))
    with Local(workers=1, memory=LIMIT).open() as executor:
        heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 5}
    attempts = heard.attempts["large"]
    # A worker that dies before anything is heard of it is no attempt, and counts all the same.
    assert heard.story("large") in ([LOST] * number + ["COMPLETE"] for number in (2, 3))
    assert [attempt.number for attempt in attempts] == [*range(1, len(attempts) + 1)]
    assert attempts[-1].worker not in {attempt.worker for attempt in attempts[:-1]}
    assert attempts[-1].peak > 450 << 20


def test_a_unit_that_fits_into_no_memory_is_quarantined_after_a_few_attempts():
    """Its neighbors wait on the same workers, complete, and are not blamed."""
    work = Listed({"endless": partial(takes, 1500, 5.0)} | good(40, 0.05))
    with Local(workers=2, memory=LIMIT).open() as executor:
        heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 40, "QUARANTINED": 1}
    assert 2 <= len(heard.attempts["endless"]) <= 5
    assert set(heard.story("endless")) == {LOST}
    error = heard.ends["endless"].error
    assert "Workers must live" in error.rule and "--memory" in error.cure
    assert "attempt 1: worker tcp://" in error.value and "alone" in error.value
    # Two attempts are not alone yet, and each may take the worker as well that it is given next:
    # four die, each with what is on its way out of it. That is not taken for the cause.
    stories = [heard.story(unit) for unit in good(40)]
    assert all(set(story[:-1]) <= {LOST} and story[-1] == "COMPLETE" for story in stories)
    assert sum(len(story) - 1 for story in stories) <= 8


def test_a_shared_result_that_kills_workers_takes_its_own_units_and_no_others():
    tasks = {f"unit{number}": ends_with for number in range(5)} | good(10)
    groups = {f"unit{number}": "fatal" for number in range(5)}
    work = Listed(tasks, groups, lambda divisor: kills())
    with Local(workers=2).open() as executor:
        heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 10, "QUARANTINED": 5}, account_of(heard)
    assert "what it shares with others" in heard.ends["unit0"].error.value


def test_without_retries_a_worker_that_dies_blocks_its_unit():
    with Local(workers=1).open() as executor:
        heard = Heard().execute(executor, Listed({"killer": kills} | good(3)), max_retries=0)
    assert heard.states == {"COMPLETE": 3, "BLOCKED": 1}
    assert "killed by signal 9" in heard.ends["killer"].error.value


# Time.


def test_a_unit_that_takes_too_long_is_given_up_and_the_others_complete():
    work = Listed({"hangs": partial(end_after, 600.0)} | good(20, 0.1))
    with Local(workers=1).open() as executor:
        heard = Heard().execute(executor, work, timeout=2.0, max_retries=1)
    assert heard.states == {"COMPLETE": 20, "BLOCKED": 1}
    assert heard.story("hangs") == [TIMEOUT, TIMEOUT]
    error = heard.ends["hangs"].error
    assert "--timeout" in error.rule and "after 2 s" in error.value
    assert {tuple(heard.story(unit)) for unit in good(20)} == {("COMPLETE",)}


def test_what_is_shared_may_take_no_longer_either():
    work = Listed({"unit": ends_with}, {"unit": "slow"}, partial(bands, mib=1, seconds=600.0))
    with Local(workers=1).open() as executor:
        heard = Heard().execute(executor, work, timeout=2.0, max_retries=0)
    assert heard.states == {"BLOCKED": 1}
    assert heard.story("unit") == [TIMEOUT]


# Bad units.


def test_a_bad_unit_is_never_tried_again_and_its_attempt_has_the_workers_last_lines():
    with Local(workers=1).open() as executor:
        heard = Heard().execute(executor, Listed({"bad": partial(logs, "something is odd")}))
    assert heard.states == {"QUARANTINED": 1}
    [attempt] = heard.attempts["bad"]
    assert attempt.state == "QUARANTINED" and "An input must be good" in attempt.reason
    assert "something is odd" in attempt.log[-1]


# The scheduler.


def test_a_scheduler_of_ones_own_that_dies_is_started_again():
    closed = []
    with Local(workers=2).open() as executor:
        own = executor.client.cluster

        def die():
            loop = own.loop.asyncio_loop
            loop.call_soon_threadsafe(lambda: loop.create_task(own.scheduler.close()))
            closed.append(own.scheduler.address)

        heard = Heard(lambda: threading.Thread(target=die).start())
        heard.execute(executor, Listed(good(60, 0.2)))
        assert executor.client.scheduler.address != closed[0]
    assert heard.states == {"COMPLETE": 60}
    assert any("it is started again" in text for text in heard.said)
    assert any("the run goes on" in text for text in heard.said)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_call_that_fails_once_loses_no_unit(call):
    """Of shared results or of units, of the first ones or of later ones."""
    calls = []

    def get(*args, **kwargs):
        calls.append(args)
        if len(calls) == call:
            raise OSError("the line is busy")
        return client_get(*args, **kwargs)

    tasks = good(100)
    work = Listed(tasks, {unit: unit[:5] for unit in tasks}, lambda divisor: divisor)
    with Local(workers=1).open() as executor:
        client_get, executor.client.get = executor.client.get, get
        heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 100}, account_of(heard)
    assert len(calls) > call


def test_a_scheduler_that_takes_nothing_is_named_with_what_it_says():
    def refuse(*args, **kwargs):
        raise OSError("the line is dead")

    with Local(workers=1).open() as executor:
        executor.client.get = refuse
        heard = Heard().execute(executor, Listed(good(3)))
        address = executor.client.scheduler.address
    assert heard.states == {"BLOCKED": 3}
    error = heard.ends["good0"].error
    assert "must take" in error.rule and "the line is dead" in error.value
    assert address in error.value


# A window.


def count_tasks(dask_scheduler):
    return len(dask_scheduler.tasks)


def pids():
    return os.getpid()


def test_a_scheduler_has_a_few_units_at_a_time_and_nothing_of_those_that_ended():
    number, seen = 1000, []
    tasks = {f"{each:032x}": partial(end_after, 0.0) for each in range(number)}
    groups = {unit: f"shared{each // 100}" for each, unit in enumerate(tasks)}
    work = Listed(tasks, groups, lambda divisor: divisor, parts=4)
    with Local(workers=2).open() as executor:

        def look(ended):
            if not ended % 200:
                seen.append(executor.client.run_on_scheduler(count_tasks))

        heard = Heard(at_end=look).execute(executor, work)
        # It forgets what nobody holds a moment after it was released.
        wait_until(lambda: executor.client.run_on_scheduler(count_tasks) == 0, 20)
    assert heard.states == {"COMPLETE": number}
    assert len(seen) == 5
    assert max(seen) <= 32 + 3 * 4
    assert set(Counter(work.built).values()) == {1} and len(work.built) == 10
