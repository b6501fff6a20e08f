"""Listeners beside the loop: slow ones, failing ones, hanging ones, and what they cost the run."""

import logging
import threading
import time

import pytest

import bkgflow
from bkgflow.campaign.audience import Audience
from bkgflow.campaign.events import Notice, RunEnded, RunStarted, UnitEnded, UnitStarted
from bkgflow.verdict import State, Verdict
from tests.helpers.programs import write_program

GOOD = Verdict(State.COMPLETE)


@pytest.fixture
def words(caplog):
    caplog.set_level(logging.INFO, "bkgflow.run")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def plan(tmp_path):
    return bkgflow.plan(write_program(tmp_path / "program", targets=3), tmp_path / "out")


@pytest.mark.slow
def test_each_listener_hears_everything_in_order_in_one_thread():
    heard = {"slow": [], "quick": []}
    threads = {"slow": set(), "quick": set()}

    def listener(name, seconds):
        def listen(event):
            time.sleep(seconds)
            heard[name].append(event)
            threads[name].add(threading.get_ident())

        return listen

    audience = Audience([listener("slow", 0.002), listener("quick", 0)])
    events = [UnitEnded("r", str(number), GOOD) for number in range(200)]
    for event in events:
        audience(event)
    audience.close()
    assert heard["slow"] == heard["quick"] == events
    assert [len(each) for each in threads.values()] == [1, 1]
    assert threads["slow"] != threads["quick"]
    audience(events[0])
    audience.close()
    assert len(heard["quick"]) == 200  # afterwards nobody is told anything


def test_an_event_costs_the_run_microseconds_whatever_its_listeners_do():
    free = threading.Event()

    def busy(event):
        sum(range(1000))

    def hangs(event):
        free.wait()

    audience = Audience([busy, hangs, [].append], patience=0)
    events = [kind for n in range(5000) for kind in (UnitStarted("r", str(n)),
                                                     UnitEnded("r", str(n), GOOD))]  # fmt: skip
    began = time.thread_time()
    for event in events:
        audience(event)
    each = (time.thread_time() - began) / len(events)
    free.set()
    audience.close()
    assert each < 20e-6


def test_who_cannot_keep_up_is_told_of_all_ends_and_not_of_every_start(words):
    free, heard = threading.Event(), []

    def slow(event):
        free.wait()
        heard.append(event)

    audience = Audience([slow], most=100)
    for number in range(1000):
        audience(UnitStarted("r", str(number)))
        audience(UnitEnded("r", str(number), GOOD))
        audience(Notice("r", "a word", minor=True))
    audience(Notice("r", "a worker is lost"))
    audience(RunEnded("r", 1.0))
    free.set()
    audience.close()
    ends = [event.unit for event in heard if isinstance(event, UnitEnded)]
    assert ends == [str(number) for number in range(1000)]
    assert sum(isinstance(event, UnitStarted) for event in heard) < 110
    assert [event.text for event in heard if isinstance(event, Notice)][-1] == "a worker is lost"
    assert isinstance(heard[-1], RunEnded)
    assert sum("cannot keep up and is not told of every start" in each for each in words()) == 1


@pytest.mark.parametrize("problem", [ValueError("no page"), SystemExit(3), KeyboardInterrupt()])
def test_who_fails_is_told_no_more_and_the_others_are(problem, words):
    told, good = [], []

    def fails(event):
        told.append(event)
        raise problem

    audience = Audience([fails, good.append])
    for number in range(50):
        audience(UnitEnded("r", str(number), GOOD))
    audience.close()
    assert len(told) == 1 and len(good) == 50
    assert sum("a listener of the run failed" in each for each in words()) == 1


@pytest.mark.slow
def test_who_hangs_is_given_up_after_a_while_and_hears_nothing_afterwards(words):
    free, heard, own = threading.Event(), [], threading.Event()

    def hangs(event):
        free.wait()
        heard.append(event)

    class Patient:
        """Has asked for more time than others."""

        patience = 2.0

        def __call__(self, event):
            time.sleep(0.5)
            own.set()

    audience = Audience([hangs, Patient()], patience=0.2)
    audience(RunStarted("r", 1, "here"))
    audience(UnitEnded("r", "1", GOOD))
    began = time.monotonic()
    audience.close()
    assert 0.9 < time.monotonic() - began < 2
    assert own.is_set()
    [word] = [each for each in words() if "is given up" in each]
    assert "hangs" in word
    free.set()
    time.sleep(0.1)
    assert len(heard) == 1


@pytest.mark.slow
def test_a_run_is_not_slowed_by_a_listener_and_keeps_its_result_before_it_waits(plan, tmp_path):
    result = tmp_path / "out" / "bkgflow-run.json"
    there, free = [], threading.Event()

    class Hangs:
        patience = 3.0

        def __call__(self, event):
            free.wait(2)
            if isinstance(event, RunStarted):
                there.append(result.exists())

    began = time.monotonic()
    assert bkgflow.run(plan, "threads", listeners=[Hangs()]).ok
    assert there == [True]  # all was over when it had heard of the beginning
    assert time.monotonic() - began < 20
    free.set()
    log = (tmp_path / "out" / "bkgflow.log").read_text()
    assert "is given up" in log and "Hangs" in log
    assert log.count(": begins") == 3 and "the run ended after" in log


@pytest.mark.slow
def test_the_log_says_when_things_happened_and_not_when_it_heard_of_them(plan, tmp_path):
    from bkgflow.campaign.log import log_events, log_file
    from bkgflow.io.storage.location import Location

    with log_file(Location.of(tmp_path / "x.log")):
        log_events(plan)(RunEnded("r", 1.0, at=86400.25))
    assert (
        (tmp_path / "x.log")
        .read_text()
        .startswith(time.strftime("%Y-%m-%d %H:%M:%S,250", time.localtime(86400)))
    )
