"""A program from a bucket to a bucket: beside a disk, and with latency before the store."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import bkgflow
from bkgflow import simulate
from bkgflow.io.storage.reached import forget_stores

__all__ = ["as_lines", "measure_bucket"]

LATENCY = 0.02
"""Seconds before each request, in the last of the measurements."""


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, int]]:
    """Run Ceph's gateway, or moto where that is not installed; give its name and its port."""
    from moto.server import ThreadedMotoServer

    ceph, stores = import_module("tests.helpers.ceph"), import_module("tests.helpers.stores")
    if not ceph.missing_programs():
        with ceph.gateway(folder, stores.KEY, stores.SECRET) as port:
            yield "Ceph's RADOS gateway", port
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "moto", server.get_host_and_port()[1]
    finally:
        server.stop()


def measure_bucket(folder: Path, *, size: int, targets: int, turns: int) -> dict[str, Any]:
    """Run one imaging program again and again; return seconds, bytes and requests of each way.

    Turns alternate, so that what else the machine does falls on all ways alike.
    """
    bucket_in = import_module("tests.helpers.stores").bucket_in
    made = simulate.simulate_imaging(folder / "program", targets=targets, backgrounds=8, size=size)
    names = [str(path.relative_to(folder / "program")) for path in made.associations]
    (folder / "server").mkdir(parents=True)
    seconds: dict[str, list[float]] = {"disk": [], "bucket": [], "bucket, 20 ms": []}
    with _server(folder / "server") as (server, port), bucket_in(port, "benchmark") as store:
        os.environ.update(store.environment, XDG_STATE_HOME=str(folder / "state"))
        forget_stores()
        url = store.upload(folder / "program", "program")
        for turn in range(turns):
            for way, found in seconds.items():
                store.proxy.latency = LATENCY if "ms" in way else 0.0
                store.proxy.requests.clear()
                top = str(folder / "program") if way == "disk" else url
                name = f"{turn}-{len(way)}"
                out = str(folder / name) if way == "disk" else f"{store.url}/{name}"
                begin = time.perf_counter()
                plan = bkgflow.plan([f"{top}/{name}" for name in names], out)
                result = bkgflow.run(plan, "local", workers=2)
                found.append(time.perf_counter() - begin)
                assert result.ok, result
        read = store.proxy.sent("GET", "/program/")
        requests = store.proxy.count("/program/", "GET")
        looked = len(plan.exposures)
    return {
        "server": server,
        "exposures": looked,
        "read": read,
        "requests": requests,
        "seconds": {way: statistics.median(found) for way, found in seconds.items()},
    }


def as_lines(found: dict[str, Any]) -> list[str]:
    """Return what was measured, for people."""
    seconds = found["seconds"]
    lines = [f"{way:15} {took:6.1f} s" for way, took in seconds.items()]
    share = seconds["bucket"] / seconds["bucket, 20 ms"]
    megabytes, each = found["read"] / 1e6, found["requests"] / found["exposures"]
    return [
        f"{found['server']}, {found['exposures']} exposures, two worker processes",
        *lines,
        f"with latency {share:.0%} of the throughput without",
        f"{megabytes:.0f} MB read, {each:.1f} requests an exposure",
    ]
