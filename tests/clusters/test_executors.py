"""What every executor keeps: order, window, retries, attempts; and what decides about them."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from bkgflow.clusters.address import Address
from bkgflow.clusters.executor import LOST
from bkgflow.clusters.failure import Cause, Failure
from bkgflow.clusters.feed import Feed
from bkgflow.clusters.local import Local, Threads
from bkgflow.clusters.policy import RetryPolicy, window_for
from bkgflow.clusters.tries import Tries, Way
from bkgflow.errors import SettingsError, UsageError
from bkgflow.graph.guard import NO_MEMORY
from bkgflow.verdict import Verdict
from tests.helpers.tasks import end_after, ends_with, fails_at_first, too_large
from tests.helpers.workloads import Heard, Listed


@contextmanager
def threads(_):
    with Threads(workers=2).open() as executor:
        yield executor


@contextmanager
def local(_):
    with Local(workers=2, memory="1GiB").open() as executor:
        yield executor


@contextmanager
def address(request):
    with Address(request.getfixturevalue("cluster")).open() as executor:
        yield executor


@pytest.fixture(scope="module", params=[threads, local, address])
def executor(request):
    with request.param(request) as opened:
        yield opened


def no_memory_unless_small(divisor):
    return NO_MEMORY if divisor == 1 else divisor


@pytest.mark.slow
def test_shared_results_are_computed_once_and_units_told_in_order(executor):
    tasks = {f"unit{number}": ends_with for number in range(60)} | {"free": ends_with}
    groups = {unit: f"shared{number // 20}" for number, unit in enumerate(tasks) if unit != "free"}
    work = Listed(tasks, groups, lambda divisor: divisor, parts=2)
    heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 61}
    assert heard.ends["unit7"].reason == "with (1, 1)"
    assert heard.ends["free"].reason == "with ()"
    assert work.built == {(f"shared{number}", 1): 1 for number in range(3)}
    for unit in tasks:
        told = [what for what, who in heard.told if who == unit]
        assert told == ["start", "attempt", "end"]
    assert len(heard.threads) == 1


@pytest.mark.slow
def test_no_more_units_are_begun_than_a_window_has(executor):
    heard = Heard().execute(executor, Listed({str(n): partial(end_after, 0.0) for n in range(200)}))
    assert heard.states == {"COMPLETE": 200}
    assert heard.most <= window_for(4)


@pytest.mark.slow
def test_a_disk_that_fails_for_a_while_is_tried_again_later(executor, tmp_path):
    """A task tries three times by itself; the fourth time is another attempt."""
    work = Listed({"unit": partial(fails_at_first, str(tmp_path / "marks"), 3)})
    heard = Heard().execute(executor, work)
    assert heard.story("unit") == ["QUARANTINED", "COMPLETE"]
    assert [attempt.number for attempt in heard.attempts["unit"]] == [1, 2]
    assert "Input/output error" in heard.attempts["unit"][0].reason
    assert heard.states == {"COMPLETE": 1}


@pytest.mark.slow
def test_a_disk_that_keeps_failing_ends_its_unit_alone(executor, tmp_path):
    marks = str(tmp_path / "marks")
    work = Listed({"unit": partial(fails_at_first, marks, 99), "good": ends_with})
    heard = Heard().execute(executor, work, max_retries=1)
    assert heard.states == {"COMPLETE": 1, "QUARANTINED": 1}
    assert len(heard.attempts["unit"]) == 2
    assert len(list(Path(marks).iterdir())) == 6


@pytest.mark.slow
def test_memory_that_is_not_found_is_asked_for_again_and_then_blocks(executor):
    heard = Heard().execute(executor, Listed({"large": too_large}), max_retries=2)
    assert heard.states == {"BLOCKED": 1}
    assert heard.story("large") == ["BLOCKED"] * 3
    assert heard.ends["large"].passing is None


@pytest.mark.slow
def test_a_shared_result_without_memory_is_computed_in_smaller_bands(executor):
    groups = {f"unit{number}": "deep" for number in range(5)}
    tasks = dict.fromkeys(groups, ends_with) | {"other": ends_with}
    work = Listed(tasks, groups, no_memory_unless_small)
    heard = Heard().execute(executor, work)
    assert heard.states == {"COMPLETE": 6}
    assert {heard.ends[unit].reason for unit in groups} == {"with (4,)"}
    assert work.built == {("deep", 1): 1, ("deep", 4): 1}


@pytest.mark.slow
def test_an_attempt_says_where_when_and_what_it_took(executor):
    before = datetime.now(UTC) - timedelta(seconds=1)
    heard = Heard().execute(executor, Listed({"unit": partial(end_after, 0.2)}))
    [attempt] = heard.attempts["unit"]
    assert attempt.number == 1 and attempt.state == "COMPLETE" and attempt.reason == ""
    assert before < attempt.started < datetime.now(UTC)
    assert 0.15 < attempt.seconds < 60
    assert attempt.process.startswith("process ") and attempt.host in attempt.process
    assert attempt.peak > 10 << 20
    assert attempt.read >= 0 and attempt.written >= 0
    assert attempt.log == ()


def test_threads_keep_no_time_limit():
    with Threads(1).open() as executor, pytest.raises(UsageError, match="worker processes"):
        Heard().execute(executor, Listed({"unit": ends_with}), timeout=1.0)


# What is next.


def test_a_feed_gives_up_a_shared_result_with_the_last_unit_that_waits_for_it():
    tasks = {"a": None, "b": None, "c": None}
    feed = Feed(Listed(tasks, {"a": "s", "b": "s"}))
    assert feed.ahead() == "s"
    assert list(feed.take(2)) == ["a", "b"]
    assert feed.shared_in("s") == ("s",)
    assert feed.end("a") == ""
    feed.again("b")
    assert feed.units_of("s") == ["b"]
    assert list(feed.take(5)) == ["b", "c"]
    assert feed.end("b") == "s"
    assert feed.end("b") == ""
    assert feed.shared_in("s") == ()
    assert feed.left == {"c"}


def killed(tries, times):
    found = []
    for _ in range(times):
        answer = tries.fail("unit", Failure(Cause.KILLED, "worker w died"))
        found.append(tries.way("unit") if isinstance(answer, float) else answer)
    return found


def test_what_kills_workers_is_tried_smaller_then_alone_then_larger_then_quarantined():
    *ways, last = killed(Tries(RetryPolicy()), 4)
    assert ways == [Way(4), Way(4, alone=True), Way(4, alone=True, larger=True)]
    assert isinstance(last, Verdict) and last.state == "QUARANTINED"
    assert last.error.value.count("worker w died") == 4


@pytest.mark.parametrize("other", [None, RuntimeError("odd")])
@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_kills_workers_is_found_out_whatever_else_becomes_of_it(before, other):
    tries = Tries(RetryPolicy())
    killed(tries, before)
    assert isinstance(tries.fail("unit", Failure.raised(other)), float)
    *_, last = killed(tries, 4 - before)
    assert isinstance(last, Verdict) and last.state == "QUARANTINED"


def test_what_is_cancelled_again_and_again_is_lost_at_last():
    tries = Tries(RetryPolicy(max_retries=2))
    answers = [tries.fail("unit", Failure.raised(None)) for _ in range(3)]
    assert [type(each) for each in answers] == [float, float, Verdict]
    assert answers[-1] == LOST


def test_with_few_retries_nobody_knows_what_killed_the_workers():
    *_, last = killed(Tries(RetryPolicy(max_retries=1)), 2)
    assert last.state == "BLOCKED"


def test_pauses_grow_and_differ():
    policy = RetryPolicy(pause=1.0, longest_pause=10.0)
    for retry, seconds in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 10.0)):
        pauses = [policy.delay(retry) for _ in range(200)]
        assert 0.5 * seconds <= min(pauses) < max(pauses) <= 1.5 * seconds
        assert len(set(pauses)) > 100


@pytest.mark.parametrize(
    "wrong", [{"max_retries": -1}, {"timeout": 0.0}, {"timeout": float("nan")}]
)
def test_a_policy_that_cannot_be_meant(wrong):
    with pytest.raises(SettingsError, match="must be"):
        RetryPolicy(**wrong)


def test_a_window_has_enough_for_every_thread():
    assert window_for(0) == window_for(1) == 32
    assert window_for(100) >= 400
