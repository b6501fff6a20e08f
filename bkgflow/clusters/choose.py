"""Which cluster is meant: the only place that knows them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, ParamSpec, TypedDict, TypeVar

from bkgflow.arguments import shows
from bkgflow.clusters.address import SCHEMES, Address, Attached, Connected
from bkgflow.clusters.base import COMMON, Cluster, Configured, Option, option_names, options_of
from bkgflow.clusters.gateway import GATEWAY, Gateway
from bkgflow.clusters.kubernetes import Kubernetes
from bkgflow.clusters.local import Here, Local, Threads
from bkgflow.clusters.pbs import Pbs
from bkgflow.clusters.profiles import Profile, find_profile, made_of, read_profile
from bkgflow.clusters.slurm import Slurm
from bkgflow.clusters.typed import typed
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location
from bkgflow.texts import nearest

__all__ = [
    "CLUSTERS",
    "KINDS",
    "SUMMARY",
    "ClusterArguments",
    "all_options",
    "choose",
    "options_by_kind",
    "shows_cluster_arguments",
]

P = ParamSpec("P")
R = TypeVar("R")

CLUSTERS: dict[str, type[Here]] = {each.WORD: each for each in (Local, Threads)}
"""Clusters of this machine by their words; the first is the default of the command line."""

ELSEWHERE: tuple[type[Slurm | Pbs | Gateway | Kubernetes], ...] = (Slurm, Pbs, Gateway, Kubernetes)

WORDS: dict[str, type[Configured]] = {**CLUSTERS, **{each.WORD: each for each in ELSEWHERE}}
"""Everything that a word alone may mean."""

KINDS: dict[str, type[Configured]] = {**WORDS, "address": Address}
"""Everything that a profile may be of."""

SUMMARY = (
    f"{', '.join(each.SUMMARY for each in (*CLUSTERS.values(), *ELSEWHERE))}, "
    f"{Address.SUMMARY}, or a profile: a YAML file, or its name"
)
"""What a cluster may be, in words."""


def all_options() -> dict[str, tuple[object, Option]]:
    """Return the options of all clusters by name; of a name that several have, the first."""
    found: dict[str, tuple[object, Option]] = {}
    for options in options_by_kind().values():
        found |= {name: of for name, of in options.items() if name not in found}
    return found


def options_by_kind() -> dict[str, dict[str, tuple[object, Option]]]:
    """Return the options that each kind has of its own; under "" those that several have."""
    found: dict[str, dict[str, tuple[object, Option]]] = {"": {}}
    for kind in (*CLUSTERS.values(), Address, *ELSEWHERE):
        known = options_of(kind)
        for name, field in option_names(kind).items():
            to = found[""] if field in COMMON else found.setdefault(kind.PREFIX, {})
            to.setdefault(name, known[field])
    return found


class ClusterArguments(TypedDict, total=False):
    """Settings of clusters as editors and type checkers see them; see `all_options`."""

    workers: int | None
    memory: str | None
    adaptive: str | Mapping[str, int] | None
    tls: bool | None
    dashboard: str | None
    wait: float | None
    allow_skew: bool | None
    tls_ca_file: str | None
    tls_cert: str | None
    tls_key: str | None
    slurm_options: Mapping[str, object] | None
    slurm_queue: str | None
    slurm_account: str | None
    slurm_walltime: str | int | None
    slurm_cores: int | None
    slurm_processes: int | None
    slurm_interface: str | None
    slurm_tls: bool | str | None
    slurm_prologue: Sequence[str] | None
    slurm_directives: Sequence[str] | None
    slurm_logs: str | None
    slurm_scratch: str | None
    slurm_python: str | None
    slurm_driver: str | None
    slurm_driver_walltime: str | int | None
    slurm_driver_memory: str | None
    pbs_options: Mapping[str, object] | None
    pbs_queue: str | None
    pbs_account: str | None
    pbs_walltime: str | int | None
    pbs_cores: int | None
    pbs_processes: int | None
    pbs_interface: str | None
    pbs_tls: bool | str | None
    pbs_prologue: Sequence[str] | None
    pbs_directives: Sequence[str] | None
    pbs_logs: str | None
    pbs_scratch: str | None
    pbs_python: str | None
    pbs_driver: str | None
    pbs_driver_walltime: str | int | None
    pbs_driver_memory: str | None
    pbs_resources: str | None
    gateway_options: Mapping[str, object] | None
    gateway_address: str | None
    gateway_proxy: str | None
    gateway_cluster: str | None
    gateway_auth: str | None
    gateway_user: str | None
    kubernetes_options: Mapping[str, object] | None
    kubernetes_image: str | None
    kubernetes_namespace: str | None
    kubernetes_name: str | None
    kubernetes_cores: int | None
    kubernetes_claim: str | None
    kubernetes_mount: str | None
    kubernetes_environment: Mapping[str, object] | None
    kubernetes_secret: str | None


def shows_cluster_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Have a function that takes ``**ClusterArguments`` show each of them, for prompts."""
    shown = {name: (kind, None) for name, (kind, _) in all_options().items()}
    return shows(function, shown)


def choose(cluster: object, **options: object) -> Cluster:
    """Return the cluster that is meant.

    Parameters
    ----------
    cluster : str, path, mapping, Client, Cluster, or a cluster object of dask
        A word of `WORDS`, an address; a profile: its name, its path, or what it says as a
        mapping; a client that is connected, a cluster with its settings already; or anything
        with a ``scheduler_address``.
    **options
        Settings of a cluster that has not got them yet, or that go before those of a profile, by
        the names of their options; those that are None are as good as not given.

    Raises
    ------
    UsageError
        If there is no such cluster, or it has no such setting.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if isinstance(cluster, Cluster) and not isinstance(cluster, type):
        _settings(given, type(cluster).__name__, {})
        return cluster
    if isinstance(cluster, Mapping):
        kind = KINDS.get(str(cluster.get("kind")))
        over = _settings(given, str(cluster.get("kind")), option_names(kind) if kind else {})
        return made_of(cluster, KINDS, over)
    if isinstance(profile := _profile(cluster), Profile):
        kind = KINDS.get(profile.kind)
        over = _settings(given, str(cluster), option_names(kind) if kind else {})
        return profile.cluster(KINDS, over)
    meant = _meant(cluster)
    own = _settings(given, meant.name, option_names(meant.kind))
    make: Callable[..., Cluster] = meant.kind
    return make(**{**meant.subject, **typed(meant.kind, own)})


def _profile(cluster: object) -> Profile | None:
    """Return the profile that a name or a path means, if it is one."""
    if isinstance(cluster, os.PathLike):
        return read_profile(Location.of(cluster))
    if not isinstance(cluster, str) or cluster in CLUSTERS or cluster.startswith(SCHEMES):
        return None
    found = find_profile(cluster)
    if found is not None and cluster in WORDS:
        raise UsageError(
            "A profile must not be called by the word of a kind",
            file=found.file,
            value=cluster,
            cure=f"Call it otherwise, such as my-{cluster}.yaml, or give its path",
        )
    return found


class _Meant(NamedTuple):
    """What a cluster is called, its class, and what the class is given."""

    name: str
    kind: type[Configured]
    subject: Mapping[str, object] = {}


def _meant(cluster: object) -> _Meant:
    if isinstance(cluster, str):
        if cluster in WORDS:
            return _Meant(cluster, WORDS[cluster])
        if cluster.startswith((GATEWAY, *SCHEMES)):
            kind = Gateway if cluster.startswith(GATEWAY) else Address
            return _Meant(cluster, kind, {"address": cluster})
        raise _unknown(cluster)
    # A property of a class that was given by mistake is no address.
    if isinstance(getattr(cluster, "scheduler_address", None), str):
        return _Meant(type(cluster).__name__, Attached, {"cluster": cluster})
    from distributed import Client

    if isinstance(cluster, Client):
        return _Meant(type(cluster).__name__, Connected, {"client": cluster})
    raise _unknown(cluster)


def _unknown(cluster: object) -> UsageError:
    close = nearest(cluster, WORDS) if isinstance(cluster, str) else ""
    return UsageError(
        f"A cluster must be one of: {', '.join(WORDS)}, the address of a scheduler, a profile, "
        "a Client, or a cluster object of dask",
        value=cluster,
        cure=(f"Use {close}, or" if close else "Give")
        + f" one of these; an address begins with {', '.join((*SCHEMES, GATEWAY))}, and "
        "bkgflow clusters list shows the profiles that there are",
    )


def _settings(
    given: Mapping[str, object], cluster: str, known: Mapping[str, str]
) -> dict[str, object]:
    """Return the settings that are meant by the names of options."""
    if unknown := sorted(given.keys() - set(known)):
        shown, close = ", ".join(known) or "none", nearest(unknown[0], known)
        raise UsageError(
            f"A setting must be one that the cluster has: {cluster} has {shown}",
            value=", ".join(f"{name}={_in_a_line(given[name])}" for name in unknown),
            cure=f"Use {close}, or leave it out"
            if close
            else "Leave it out; a cluster that is there already has its own workers and memory",
        )
    return {known[name]: value for name, value in given.items()}


def _in_a_line(value: object) -> str:
    """Say a value; of a text of several lines, which may be a key, only that it is one."""
    text = str(value)
    return f"a text of {len(text)} characters" if "\n" in text else text
