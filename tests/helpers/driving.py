"""Clusters in whose midst something is done, in the thread that computes, as no listener can."""

from __future__ import annotations

from contextlib import contextmanager


class Driven:
    """A cluster like another one; something is done before it computes, after each end, at last.

    ``ended`` is called with a unit's digest and its verdict, when the run has taken it down.
    """

    here = True
    worker_memory = None

    def __init__(self, cluster, *, first=None, ended=None, last=None):
        self.cluster, self.acts = cluster, (first, ended, last)

    def suited(self, plan):
        return self, ""

    @contextmanager
    def open(self):
        with self.cluster.open() as executor:
            yield _Executor(executor, *self.acts)


class Opened:
    """A cluster that is open already: its executor, which is used as it is."""

    def __init__(self, executor):
        self.executor = executor

    @contextmanager
    def open(self):
        yield self.executor


class _Executor:
    def __init__(self, executor, first, ended, last):
        self.executor, self.first, self.ended, self.last = executor, first, ended, last

    def __getattr__(self, name):
        return getattr(self.executor, name)

    def execute(self, graph, on_start, on_end, *more):
        def end(unit, verdict):
            on_end(unit, verdict)
            if self.ended:
                self.ended(unit, verdict)

        if self.first:
            self.first()
        self.executor.execute(graph, on_start, end, *more)
        if self.last:
            self.last()
