"""What clusters of bkgflow's own are told, and why: dask's own defaults are made for notebooks.

Whoever configures dask otherwise (a file of dask's configuration, DASK_… in the environment) is
heeded; the threads of libraries alone are fixed, whatever the environment says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

__all__ = ["AT_LOAD", "DEFAULTS", "LIBRARIES", "Default", "libraries", "settled"]


class Default(NamedTuple):
    """A value of dask's configuration, and why it is another one than dask's."""

    name: str
    value: object
    why: str


DEFAULTS = (
    Default(
        "distributed.scheduler.worker-ttl",
        "30 s",
        "A worker that gives no sign of life is given up after half a minute, not after five; a "
        "run that watches its workers notices after 20 s, before the scheduler does.",
    ),
    Default(
        "distributed.scheduler.allowed-failures",
        20,
        "A scheduler blames every task that a dead worker had, the innocent too; a run finds out "
        "by itself which one it was, by trying what is suspect alone.",
    ),
    Default(
        "distributed.worker.memory.target",
        False,
        "Nothing is spilled: what a worker holds can be read or computed again, which is cheaper "
        "than to write it to a disk that products need, and a plan promises how much it is.",
    ),
    Default(
        "distributed.worker.memory.spill",
        False,
        "Likewise, for the memory of the whole process.",
    ),
    Default(
        "distributed.deploy.lost-worker-timeout",
        "1 day",
        "A worker that dies twice within this time would not be started a third time; how many "
        "deaths are too many, a run decides.",
    ),
)
"""Set while a cluster of one's own is open, for its scheduler and its worker processes."""

AT_LOAD = (
    "BLIS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""By which libraries are told how many threads they may have; numpy loads them, so that they must
be there when a process begins."""

LIBRARIES = (*AT_LOAD, "NUMBA_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""These, and others that come later. Numba looks at its own whenever it compiles: it must not
change in a process where others use numba too, such as the one that starts the workers."""


def libraries(threads: int, names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Return the environment of a worker of so many threads.

    Workers are as many as there are cores: a library with a thread for each core would have them
    wait for each other.
    """
    return dict.fromkeys(names, str(threads))


@contextmanager
def settled() -> Iterator[None]:
    """Have dask's configuration say so meanwhile, where nobody has configured it otherwise."""
    import dask
    import distributed  # noqa: F401 - its defaults are there when it is imported

    of_dask = dask.config.merge(*dask.config.defaults)
    unsaid = [
        each
        for each in DEFAULTS
        if dask.config.get(each.name, None) == dask.config.get(each.name, None, config=of_dask)
    ]
    with dask.config.set({each.name: each.value for each in unsaid}):
        yield
