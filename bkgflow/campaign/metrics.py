"""Metrics of a run for Prometheus: served over HTTP while it lasts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from bkgflow.campaign.events import Event, Listener, RunStarted, UnitEnded, UnitStarted
from bkgflow.campaign.standing import Standing, written
from bkgflow.errors import UsageError
from bkgflow.planning.plan import Plan
from bkgflow.texts import how_to_install
from bkgflow.verdict import State

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["address_of", "served"]

LOOPBACK = "127.0.0.1"

SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600)
"""Bounds of the histogram: an image takes a second, a long time series minutes."""


def address_of(given: object) -> tuple[str, int]:
    """Return host and port of ``PORT`` or ``HOST:PORT``; without a host, this machine alone.

    Raises
    ------
    UsageError
        If it is no port, or the client library for Prometheus is not installed.
    """
    host, _, port = str(given).strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 0 < int(port) < 1 << 16:
        raise UsageError(
            "Metrics must be given a port from 1 to 65535, with or without a host",
            value=str(given),
            cure="Give --metrics PORT for this machine alone, or --metrics HOST:PORT",
        )
    try:
        import_module("prometheus_client")
    except ImportError:
        raise UsageError(
            "prometheus_client must be installed for metrics",
            value="it is not installed",
            cure=f"Install it ({how_to_install('prometheus_client')}), or do without --metrics",
        ) from None
    return host, int(port)


@contextmanager
def served(plan: Plan, address: tuple[str, int]) -> Iterator[Listener]:
    """Serve the metrics of a run until this ends; give the listener that keeps them.

    Raises
    ------
    UsageError
        If nothing can be served there.
    """
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry()
    listener = _kept_in(registry, plan)
    host, port = address
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as problem:  # socket.gaierror is one
        raise UsageError(
            "Metrics must have a port that nobody else has, at an address of this machine",
            value=f"{host}:{port}: {problem.strerror or problem}",
            cure="Give another port, or end what answers there",
        ) from None
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _kept_in(registry: CollectorRegistry, plan: Plan) -> Listener:
    """Return a listener that keeps the metrics of a run in a registry."""
    from prometheus_client import Counter, Gauge, Histogram, Info

    info = Info("bkgflow_run", "The run, its version, and where it computes.", registry=registry)
    units = Gauge("bkgflow_units", "Units by state.", ["state"], registry=registry)
    running = Gauge("bkgflow_units_running", "Units that are computed now.", registry=registry)
    attempts = Counter("bkgflow_attempts", "Units that were begun.", registry=registry)
    retries = Counter("bkgflow_retries", "Units that were begun once more.", registry=registry)
    size = Counter("bkgflow_bytes_written", "Bytes of products.", registry=registry)
    began = Gauge("bkgflow_run_start_time_seconds", "When the run began.", registry=registry)
    seconds = Histogram(
        "bkgflow_unit_seconds",
        "Seconds from the start of a unit's last task until its product was there.",
        buckets=SECONDS,
        registry=registry,
    )
    standing, starts, retried = Standing(plan), dict[str, float](), 0

    def show() -> None:
        units.labels(State.PLANNED.value).set(standing.total - standing.done)
        for state in State:
            if state != State.PLANNED:
                units.labels(state.value).set(standing.counts[state.value])
        running.set(len(standing.running))

    def listen(event: Event) -> None:
        nonlocal retried
        standing.take(event)
        match event:
            case RunStarted():
                where = {"run": event.run, "version": plan.version, "where": event.where}
                info.info(where | {"output": str(plan.output)})
                began.set(event.at)
            case UnitStarted():
                starts[event.unit] = event.at
                attempts.inc()
                retries.inc(standing.tried - retried)
                retried = standing.tried
            case UnitEnded():
                size.inc(written(event.verdict))
                if event.unit in starts:
                    seconds.observe(max(event.at - starts.pop(event.unit), 0.0))
        show()

    show()
    return listen
