"""Which cluster is meant: the only place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bkgflow.clusters.address import SCHEMES, Address, Connected
from bkgflow.clusters.base import Cluster, Option, options_of
from bkgflow.clusters.local import Local
from bkgflow.clusters.threads import Threads
from bkgflow.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["CLUSTERS", "SUMMARY", "all_options", "choose"]

CLUSTERS: dict[str, type[Local] | type[Threads]] = {each.WORD: each for each in (Local, Threads)}
"""Clusters that have a word of their own; the first is the default of the command line."""

SUMMARY = f"{', '.join(each.SUMMARY for each in CLUSTERS.values())}, or {Address.SUMMARY}"
"""What a cluster may be, in words."""


def all_options() -> dict[str, Option]:
    """Return the options of all clusters by name; of a name that several have, the first."""
    found: dict[str, Option] = {}
    for each in (*CLUSTERS.values(), Address):
        found = options_of(each) | found
    return found


def choose(cluster: str | Client | Cluster, **options: Any) -> Cluster:
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
    kind: type[Local] | type[Threads] | type[Address]
    if not isinstance(cluster, str):
        _check_options(given, type(cluster).__name__, {})
        return cluster if isinstance(cluster, Cluster) else _connected(cluster)
    if cluster in CLUSTERS:
        kind = CLUSTERS[cluster]
        _check_options(given, cluster, options_of(kind))
        return kind(**given)
    if cluster.startswith(SCHEMES):
        _check_options(given, cluster, options_of(Address))
        return Address(cluster, **given)
    raise _unknown(cluster)


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


def _check_options(given: dict[str, Any], cluster: str, known: dict[str, Option]) -> None:
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        names = ", ".join(known)
        raise UsageError(
            f"A setting must be one that the cluster has: {cluster} has {names or 'none'}",
            value=", ".join(f"{name}={given[name]}" for name in unknown),
            cure="Leave it out; a cluster that is there already has its own workers and memory",
        )
