"""What is tried again, how often, and how a failure travels through a graph."""

import errno
import gzip
import pickle

import numpy as np
import pytest
from dask.threaded import get as threaded_get

from bkgflow.errors import FileError, InputError, OutputError, RunError
from bkgflow.graph.guard import Patience, guarded
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.fits import planes as fits
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State, Verdict
from tests.helpers.exposures import make_model

PASSING = ["EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EINTR", "ENETRESET"]
LASTING = ["ENOENT", "EACCES", "EISDIR", "ENOSPC", "EROFS"]


class Script:
    """A function that does what it is told, one order a call: raise this, or return that."""

    def __init__(self, *orders):
        self.orders = orders
        self.calls = []

    def __call__(self, *arguments, **options):
        self.calls.append((arguments, options))
        order = self.orders[min(len(self.calls), len(self.orders)) - 1]
        if isinstance(order, BaseException):
            raise order
        return order


def problem(name):
    return OSError(getattr(errno, name), name, "/data/b_rate.fits")


class Pauses(list):
    """The seconds that would have been waited."""

    def guarded(self, function, *arguments, **options):
        patience = Patience(sleep=self.append)
        return guarded(function, *arguments, patience=patience, **options)


@pytest.fixture
def pauses():
    return Pauses()


def test_a_result_is_passed_on_with_its_arguments(pauses):
    script = Script("done")
    assert pauses.guarded(script, 1, 2, rows=3) == "done"
    assert script.calls == [((1, 2), {"rows": 3})]
    assert pauses == []


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("failures", [1, 2])
def test_what_may_pass_is_tried_again_until_it_has_passed(name, failures, pauses):
    script = Script(*[problem(name)] * failures, "done")
    assert pauses.guarded(script) == "done"
    assert len(script.calls) == failures + 1
    assert pauses == [0.5, 1.0][:failures]


@pytest.mark.parametrize("name", PASSING)
def test_three_attempts_and_no_more(name, pauses):
    script = Script(problem(name))
    result = pauses.guarded(script)
    assert len(script.calls) == 3
    assert pauses == [0.5, 1.0]
    assert result == Verdict.quarantined(result.error)
    assert isinstance(result.error, RunError)
    assert result.error.retryable
    assert result.error.file == "/data/b_rate.fits"
    assert "attempt 3" in result.error.value
    assert name in result.error.value


@pytest.mark.parametrize("name", LASTING)
def test_what_lasts_is_tried_once(name, pauses):
    script = Script(problem(name), "done")
    assert isinstance(pauses.guarded(script).error, RunError)
    assert len(script.calls) == 1
    assert pauses == []


@pytest.mark.parametrize("raised", [ValueError("no"), KeyError("x"), OSError("no number")])
def test_other_errors_are_tried_once_and_named(raised, pauses):
    script = Script(raised, "done")
    result = pauses.guarded(script)
    assert len(script.calls) == 1
    assert type(raised).__name__ in result.error.value
    assert "attempt 1" in result.error.value
    assert pauses == []


def test_a_lack_of_memory_is_tried_once_and_is_no_fault_of_an_input(pauses):
    script = Script(MemoryError(), "done")
    result = pauses.guarded(script)
    assert len(script.calls) == 1
    assert result.state == State.BLOCKED
    assert "memory" in result.error.rule


def test_a_bad_input_is_tried_once_and_stays_what_it_is(pauses):
    error = InputError("A rule", file="b.fits", value=1, cure="Mend it")
    script = Script(error, "done")
    assert pauses.guarded(script).error is error
    assert len(script.calls) == 1


@pytest.mark.parametrize("kind", [FileError, OutputError])
def test_an_error_that_was_raised_for_a_passing_one_is_tried_again(kind, pauses):
    """Rooms below turn what the system says into errors of their own."""

    def wrapped():
        calls.append(1)
        try:
            raise problem("ESTALE")
        except OSError:
            raise kind("A rule", cure="Mend it") from None

    calls = []
    result = pauses.guarded(wrapped)
    assert len(calls) == 3
    assert isinstance(result.error, kind)


def test_a_stop_is_no_failure(pauses):
    with pytest.raises(KeyboardInterrupt):
        pauses.guarded(Script(KeyboardInterrupt()))


def test_a_read_that_fails_once_in_the_middle(tmp_path, pauses):
    """The whole task is done again: file opened, sought, read."""
    path = tmp_path / "b_rate.fits"
    with make_model(np.full((6, 6), 3.0)) as model:
        model.save(str(path))
    facts, script = inspect(path), Script(problem("EIO"), None)

    class Failing:
        """A file that fails at its first read."""

        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def readinto(self, raw):
            script()
            return self.stream.readinto(raw)

    def read():
        out = np.zeros((6, 6), np.float32)
        with Location.of(path).open() as stream:
            fits.read_rows(Failing(stream), facts.source.sci, facts.window, out)
        return out

    np.testing.assert_array_equal(pauses.guarded(read), 3)
    assert len(script.calls) == 2
    assert pauses == [0.5]


def test_a_gzip_file_that_is_cut_is_tried_once(tmp_path, pauses):
    path = tmp_path / "b_rate.fits.gz"
    path.write_bytes(gzip.compress(b"SIMPLE  = " + bytes(range(256)) * 400)[:300])
    assert isinstance(pauses.guarded(inspect, path).error, FileError)
    assert pauses == []


def test_failures_pass_through_everything_that_depends_on_them():
    error = InputError("A rule", file="b.fits", value=1, cure="Mend it")
    bad, good, never = Script(error), Script(2), Script("never")
    graph = {
        "bad": (guarded, bad),
        "good": (guarded, good),
        "between": (guarded, never, "good", "bad"),
        "last": (guarded, never, "between", "good"),
        "neighbour": (guarded, lambda value: value + 1, "good"),
    }
    last, neighbour = threaded_get(graph, ["last", "neighbour"])
    assert last == Verdict.quarantined(error)
    assert last.error is error
    assert never.calls == []
    assert len(bad.calls) == len(good.calls) == 1
    assert neighbour == 3


def test_the_first_failure_is_the_one_that_is_told():
    first, second = (
        Verdict.quarantined(InputError(word, cure="Mend it")) for word in ("first", "second")
    )
    assert guarded(Script("never"), 1, first, second) is first


def test_failures_cross_processes_whole():
    failure = guarded(Script(InputError("A rule", file="b.fits", value=1, cure="Mend it")))
    copy = pickle.loads(pickle.dumps(failure))
    assert type(copy.error) is InputError
    assert copy.error.to_dict() == failure.error.to_dict()
