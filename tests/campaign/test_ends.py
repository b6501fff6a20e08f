"""The pieces of a run's end: signals that wait, files that are late, a log that is quiet."""

import errno
import logging
import signal
import time
import weakref

import pytest

from bkgflow.campaign.folder import Products
from bkgflow.campaign.log import log, log_file
from bkgflow.campaign.signals import Stopped, deferred, received, stoppable
from bkgflow.errors import RunError
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State, Verdict


def test_a_signal_waits_until_what_is_half_done_is_done():
    done = []
    with pytest.raises(Stopped, match="stopped by SIGTERM") as caught, stoppable(at_once=True):
        with deferred():
            with deferred():
                signal.raise_signal(signal.SIGTERM)
                done.append("first")
            done.append("second")
        done.append("never")
    assert done == ["first", "second"]
    assert caught.value.number == received() == signal.SIGTERM
    assert isinstance(caught.value, KeyboardInterrupt)


class Finalized:
    """Something that is signalled while it goes, where Python lets nothing be raised."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", ["finalizer", "callback"])
def test_a_signal_that_comes_while_an_object_goes_is_not_lost(number, way, capsys):
    done = []
    with pytest.raises(Stopped) as caught, stoppable(at_once=True):
        held = Finalized(number) if way == "finalizer" else Plain()
        if way == "callback":
            weakref.finalize(held, signal.raise_signal, number)
        del held
        done.append("went on")
        time.sleep(5)
        done.append("never")
    assert done == ["went on"]
    assert caught.value.number == number
    assert capsys.readouterr().err == ""


class Plain:
    """Something that can be referred to weakly."""


@pytest.mark.slow
def test_a_signal_in_the_last_moment_is_known_and_interrupts_nothing():
    with stoppable(at_once=True):
        held = Finalized(signal.SIGTERM)
        del held
    time.sleep(0.1)
    assert received() == signal.SIGTERM


def test_handlers_of_others_stay_theirs():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        with stoppable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM] and not received()


def test_a_second_ctrl_c_in_a_notebook_comes_at_once():
    with pytest.raises(KeyboardInterrupt) as caught, stoppable(), deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")
    assert not isinstance(caught.value, Stopped)


def published(path, size):
    return Verdict(State.COMPLETE).published((str(path),), (size,), "process 7 on node-1")


def test_a_file_that_is_late_is_waited_for(tmp_path):
    path = tmp_path / "a.fits"
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            path.write_bytes(bytes(5))

    products = Products(Location.of(tmp_path), sleep=sleep)
    assert products.looked_at(published(path, 5)).state == State.COMPLETE
    assert slept == [0.5] * 3
    missing = products.looked_at(published(tmp_path / "b.fits", 5))
    assert isinstance(missing.error, RunError) and "node-1 has written 5" in missing.error.value
    spent = len(slept)
    products.looked_at(published(tmp_path / "c.fits", 5))
    assert len(slept) == spent == 10  # one missing file is waited for, not each


def test_a_file_that_went_away_before_its_worker_could_say_its_size_is_missing(tmp_path):
    products = Products(Location.of(tmp_path), sleep=lambda seconds: None)
    assert products.looked_at(published(tmp_path / "a.fits", -1)).state == State.BLOCKED
    (tmp_path / "b.fits").write_bytes(b"")
    assert products.looked_at(published(tmp_path / "b.fits", -1)).state == State.COMPLETE
    unsaid = Verdict(State.COMPLETE).published((str(tmp_path / "c.fits"),))
    assert products.looked_at(unsaid).state == State.BLOCKED


def test_nobody_waits_for_files_of_a_folder_that_is_gone(tmp_path):
    products = Products(Location.of(tmp_path / "out"), sleep=None)
    error = products.looked_at(published(tmp_path / "out" / "a.fits", 5)).error
    assert "no such folder any more" in error.value


def test_a_log_that_cannot_be_written_says_one_word(tmp_path, capsys):
    with log_file(Location.of(tmp_path / "bkgflow.log")) as file:
        log.info("first")
        full = FullDisk()
        file.stream, stream = full, file.stream
        for _ in range(5):
            log.info("lost")
        file.stream = stream
    assert file.trouble == "the log ends early: No space left on device"
    assert full.tried == 1
    assert capsys.readouterr().err == ""
    assert "first" in (tmp_path / "bkgflow.log").read_text()
    assert file not in logging.getLogger("bkgflow").handlers


class FullDisk:
    tried = 0

    def write(self, text):
        self.tried += 1
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self):
        """As a stream has it."""
