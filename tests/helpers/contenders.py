"""Contenders for the tests of the benchmarks: a process of its own imports them by name."""

from contextlib import contextmanager

from benchmarks.contender import Work


@contextmanager
def failing():
    raise RuntimeError("no good")
    yield


@contextmanager
def writing(log, letter):
    def run():
        with log.open("a") as stream:
            stream.write(letter)

    yield Work(run, after=lambda: {"length": len(log.read_text())})
