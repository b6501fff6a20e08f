"""Which cluster is meant: the only place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, ParamSpec, TypedDict, TypeVar

from bkgflow.arguments import shows
from bkgflow.clusters.address import SCHEMES, Address, Attached, Connected
from bkgflow.clusters.base import Cluster, Option, options_of
from bkgflow.clusters.local import Here, Local, Threads
from bkgflow.errors import UsageError

__all__ = [
    "CLUSTERS",
    "SUMMARY",
    "ClusterArguments",
    "all_options",
    "choose",
    "shows_cluster_arguments",
]

P = ParamSpec("P")
R = TypeVar("R")

CLUSTERS: dict[str, type[Here]] = {each.WORD: each for each in (Local, Threads)}
"""Clusters that have a word of their own; the first is the default of the command line."""

SUMMARY = f"{', '.join(each.SUMMARY for each in CLUSTERS.values())}, or {Address.SUMMARY}"
"""What a cluster may be, in words."""


def all_options() -> dict[str, tuple[object, Option]]:
    """Return the options of all clusters by name; of a name that several have, the first."""
    found: dict[str, tuple[object, Option]] = {}
    kinds: tuple[type[Cluster], ...] = (*CLUSTERS.values(), Address)
    for each in kinds:
        found |= {name: of for name, of in options_of(each).items() if name not in found}
    return found


class ClusterArguments(TypedDict, total=False):
    """Settings of clusters as editors and type checkers see them; see `all_options`."""

    workers: int | None
    memory: str | None
    tls: bool | None
    dashboard: str | None
    wait: float | None
    allow_skew: bool | None
    tls_ca_file: str | None
    tls_cert: str | None
    tls_key: str | None


def shows_cluster_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function that takes ``**ClusterArguments`` show each of them, for prompts."""
    shown = {name: (kind, None) for name, (kind, _) in all_options().items()}
    return shows(function, shown)


def choose(cluster: object, **options: object) -> Cluster:
    """Return the cluster that is meant.

    Parameters
    ----------
    cluster : str, Client, Cluster, or a cluster object of dask
        A word of `CLUSTERS`, an address, a client that is connected, a cluster with its settings
        already; or anything with a ``scheduler_address``.
    **options
        Settings of a cluster that has not got them yet; those that are None are as good as not
        given.

    Raises
    ------
    UsageError
        If there is no such cluster, or it has no such setting.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(cluster, Cluster) and not isinstance(cluster, type):
        _check_options(given, type(cluster).__name__, ())
        return cluster
    name, kind, *subject = _kind_of(cluster)
    _check_options(given, name, options_of(kind))
    make: Callable[..., Cluster] = kind
    return make(*subject, **given)


def _kind_of(cluster: object) -> tuple[Any, ...]:
    """Return what a cluster is called, its class, and what the class is given."""
    if isinstance(cluster, str):
        if cluster in CLUSTERS:
            return cluster, CLUSTERS[cluster]
        if cluster.startswith(SCHEMES):
            return cluster, Address, cluster
        raise _unknown(cluster)
    # A property of a class that was given by mistake is no address.
    if isinstance(getattr(cluster, "scheduler_address", None), str):
        return type(cluster).__name__, Attached, cluster
    from distributed import Client

    if isinstance(cluster, Client):
        return type(cluster).__name__, Connected, cluster
    raise _unknown(cluster)


def _unknown(cluster: object) -> UsageError:
    return UsageError(
        f"A cluster must be one of: {', '.join(CLUSTERS)}, the address of a scheduler, a Client, "
        "or a cluster object of dask",
        value=cluster,
        cure=f"Give one of these; an address begins with {', '.join(SCHEMES)}",
    )


def _check_options(given: dict[str, object], cluster: str, known: Collection[str]) -> None:
    if unknown := sorted(given.keys() - set(known)):
        raise UsageError(
            "A setting must be one that the cluster has: "
            f"{cluster} has {', '.join(known) or 'none'}",
            value=", ".join(f"{name}={_in_a_line(given[name])}" for name in unknown),
            cure="Leave it out; a cluster that is there already has its own workers and memory",
        )


def _in_a_line(value: object) -> str:
    """Say a value; of a text of several lines, which may be a key, only that it is one."""
    text = str(value)
    return f"a text of {len(text)} characters" if "\n" in text else text
