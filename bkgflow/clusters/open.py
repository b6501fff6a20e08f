"""Where a run computes: a local cluster, or one that is already there."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from distributed import Client, LocalCluster

from bkgflow.errors import UsageError

__all__ = ["SCHEMES", "connected"]

SCHEMES = ("tcp://", "tls://", "ws://", "wss://")
"""How the address of a scheduler begins."""

CONNECT_TIMEOUT = 15
"""Seconds that a scheduler may take to answer."""

DASHBOARD = ("127.0.0.1", 8787)
"""Where a local cluster shows what it does, as dask does by default, but to nobody outside."""


@contextmanager
def connected(
    cluster: str | Client, workers: int | None = None, memory: str | None = None
) -> Iterator[Client]:
    """Give a client, and clear away afterwards what was started for it.

    Parameters
    ----------
    cluster : "local", an address, or Client
        A local cluster is started and closed; an address is connected to and left running; a
        client is used as it is.
    workers : int, optional
        Worker processes of a local cluster; one per core by default.
    memory : str, optional
        Memory limit of each worker of a local cluster, as dask writes it ("4GiB").

    Raises
    ------
    UsageError
        If no scheduler answers, the workers cannot start, or the word is none of these.
    """
    if isinstance(cluster, Client):
        yield cluster
    elif cluster == "local":
        with _local(workers, memory) as own, Client(own, set_as_default=False) as client:
            yield client
    elif isinstance(cluster, str) and cluster.startswith(SCHEMES):
        with _at(cluster) as client:
            yield client
    else:
        raise UsageError(
            "A cluster is local, threads, the address of a scheduler, or a Client",
            value=cluster,
            cure=f"Give one of these; an address begins with {', '.join(SCHEMES)}",
        )


def _local(workers: int | None, memory: str | None) -> LocalCluster:
    try:
        return LocalCluster(
            n_workers=workers or os.cpu_count() or 1,
            threads_per_worker=1,
            memory_limit=memory or "auto",
            dashboard_address=_dashboard_address(),
        )
    except ValueError as problem:
        raise UsageError(
            "Workers and memory make a cluster",
            value=f"workers={workers}, memory={memory}: {problem}",
            cure="Give a number of workers and a memory such as 4GiB",
        ) from None
    except RuntimeError as problem:
        # A worker process imports the script that started it, and would start workers again.
        raise UsageError(
            "Worker processes can be started on this machine",
            value=problem,
            cure='Give cluster="threads"; or, in a script, call bkgflow.run only under '
            'if __name__ == "__main__"',
        ) from problem


def _dashboard_address() -> str:
    """The usual address, or a free port where another cluster has it already."""
    host, port = DASHBOARD
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(DASHBOARD)
        except OSError:
            port = 0
    return f"{host}:{port}"


def _at(address: str) -> Client:
    try:
        # As the default it would outlive a failed start, and catch the next computation.
        return Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except Exception as problem:  # what is no scheduler answers with anything, HTTP for one
        raise UsageError(
            "A scheduler answers at the address that was given",
            value=f"{address}: {type(problem).__name__}",
            cure="Check the address and that the scheduler runs and can be reached from here",
        ) from None
