"""Which cluster is meant: the only place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, ParamSpec, TypedDict, TypeVar

from bkgflow.arguments import shows
from bkgflow.clusters.address import SCHEMES, Address, Connected
from bkgflow.clusters.base import Cluster, Option, options_of
from bkgflow.clusters.local import Here, Local, Threads
from bkgflow.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

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
        found = options_of(each) | found
    return found


class ClusterArguments(TypedDict, total=False):
    """Settings of clusters as editors and type checkers see them; see `all_options`."""

    workers: int | None
    memory: str | None


def shows_cluster_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function that takes ``**ClusterArguments`` show each of them, for prompts."""
    shown = {name: (kind, None) for name, (kind, _) in all_options().items()}
    return shows(function, shown)


def choose(cluster: str | Client | Cluster, **options: object) -> Cluster:
    """Return the cluster that is meant.

    Parameters
    ----------
    cluster : str, Client or Cluster
        A word of `CLUSTERS`, an address, a client that is connected, or a cluster with its
        settings already.
    **options
        Settings of a cluster that is given as a word or an address; those that are None are as
        good as not given.

    Raises
    ------
    UsageError
        If there is no such cluster, or it has no such setting.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if not isinstance(cluster, str):
        _check_options(given, type(cluster).__name__, ())
        return cluster if isinstance(cluster, Cluster) else _connected(cluster)
    if cluster in CLUSTERS:
        kind: type[Cluster] = CLUSTERS[cluster]
    elif cluster.startswith(SCHEMES):
        kind = Address
    else:
        raise _unknown(cluster)
    _check_options(given, cluster, options_of(kind))
    make: Callable[..., Cluster] = kind
    return make(cluster, **given) if kind is Address else make(**given)


def _connected(client: Client) -> Connected:
    from distributed import Client

    if not isinstance(client, Client):
        raise _unknown(client)
    return Connected(client)


def _unknown(cluster: object) -> UsageError:
    return UsageError(
        f"A cluster must be one of: {', '.join(CLUSTERS)}, the address of a scheduler, or a Client",
        value=cluster,
        cure=f"Give one of these; an address begins with {', '.join(SCHEMES)}",
    )


def _check_options(given: dict[str, object], cluster: str, known: Collection[str]) -> None:
    if unknown := sorted(given.keys() - set(known)):
        raise UsageError(
            "A setting must be one that the cluster has: "
            f"{cluster} has {', '.join(known) or 'none'}",
            value=", ".join(f"{name}={given[name]}" for name in unknown),
            cure="Leave it out; a cluster that is there already has its own workers and memory",
        )
