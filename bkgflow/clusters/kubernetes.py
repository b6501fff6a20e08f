"""Kubernetes: a scheduler and workers as pods, through the operator of dask-kubernetes."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, cast
from uuid import uuid4

from bkgflow.clusters.base import Option, options_of
from bkgflow.clusters.engine import ENVIRONMENT, LEAST_MEMORY, Engine, Started
from bkgflow.clusters.options import (
    arguments_of,
    engine_of,
    given_options,
    refuse_secrets,
    refuse_unknown,
)
from bkgflow.clusters.ours import OF_PODS, refuse_ours
from bkgflow.errors import SettingsError

__all__ = ["Kubernetes"]

OURS = frozenset({"asynchronous", "image", "jupyter", "loop", "name", "namespace", *OF_PODS})
"""What the library is told by us."""

WAIT = 600.0

Tree = dict[str, object]
"""A part of a manifest."""


@dataclass(frozen=True, kw_only=True)
class Kubernetes(Started):
    """A scheduler and workers that dask's operator starts as pods.

    Attributes
    ----------
    image : str
        With bkgflow in it: the one of the project's Dockerfile.
    namespace : str or None
        Of the pods; None for that of the pod that bkgflow runs in, or ``default``.
    name : str or None
        Of the cluster; None for one that nobody else has.
    cores : int
        Threads of a worker, each of which has a processor.
    claim, mount : str or None
        A persistent volume claim, and where all pods see it: a disk that they share with the
        driver. None where all data are in buckets.
    environment : mapping
        Variables of all pods; secrets come from ``secret``.
    secret : str or None
        A secret of Kubernetes whose keys become variables of all pods.
    """

    WORD = "kubernetes"
    PREFIX = "kubernetes"
    SUMMARY: ClassVar[str] = "kubernetes (pods, by dask's operator)"

    wait: Annotated[
        float,
        Option("Seconds to wait for workers, or for a scheduler that went away.", default="60"),
    ] = WAIT
    image: Annotated[str, Option("Image of all pods.", default="bkgflow", typed=str | None)] = (
        "bkgflow"
    )
    namespace: Annotated[
        str | None, Option("Namespace of the pods.", default="this pod's", metavar="NAME")
    ] = None
    name: Annotated[
        str | None, Option("Name of the cluster.", default="a new one", metavar="NAME")
    ] = None
    cores: Annotated[
        int, Option("Threads of a worker.", default="1", least=1, typed=int | None)
    ] = 1
    claim: Annotated[
        str | None, Option("A volume claim that pods share.", default="none", metavar="NAME")
    ] = None
    mount: Annotated[str, Option("Where they see it.", default="/data", typed=str | None)] = "/data"
    environment: Annotated[
        Mapping[str, object],
        Option(
            "A variable of all pods; may be given several times.",
            default="none",
            metavar="KEY=VALUE",
            typed=list[str],
        ),
    ] = field(default_factory=dict)
    secret: Annotated[
        str | None,
        Option("A secret whose keys are variables of all pods.", default="none", metavar="NAME"),
    ] = None

    def __post_init__(self) -> None:
        """Refuse settings that cannot be meant."""
        super().__post_init__()
        object.__setattr__(self, "environment", given_options(self.environment))
        refuse_secrets(self.environment)
        if self.cores < 1:
            raise SettingsError(
                "A worker must have at least one thread",
                value=f"cores={self.cores}",
                cure="Give 1 or more",
            )

    def check_options(self) -> None:
        """Refuse options that the engine does not have, or that would replace a setting."""
        if self.options:
            settings = options_of(type(self))
            refuse_ours(self.options, {each: each for each in settings} | OF_PODS)
            operator = engine_of("dask_kubernetes.operator", "kubernetes")
            known = arguments_of(operator.KubeCluster.__init__) - OURS  # type: ignore[attr-defined]
            where = "docs/clusters.md lists them"
            refuse_unknown(self.WORD, self.options, known, where, settings)

    def spec(self) -> Tree:
        """Return the manifest of the cluster: a ``DaskCluster`` of the operator."""
        operator = engine_of("dask_kubernetes.operator", "kubernetes")
        made: Tree = operator.make_cluster_spec(  # type: ignore[attr-defined]
            name=self.name or f"bkgflow-{getpass.getuser()}-{uuid4().hex[:8]}",
            image=self.image,
            n_workers=self.bounds.minimum,
            resources=self._resources(),
            env=[
                {"name": name, "value": str(each)}
                for name, each in {**ENVIRONMENT, **self.environment}.items()
            ],
            worker_command=self._worker(),
        )
        scheduler = _pod(made, "scheduler")
        # The library knows a command that dask has no more.
        _container(scheduler)["args"] = ["dask", "scheduler", "--host", "0.0.0.0"]
        for pod in (scheduler, _pod(made, "worker")):
            self._share(pod)
        return made

    def rendered(self) -> dict[str, str]:
        """Return the manifest of the cluster."""
        import yaml

        return {"The cluster": yaml.safe_dump(self.spec(), sort_keys=False)}

    def _resources(self) -> Tree:
        memory = self.worker_memory or LEAST_MEMORY
        asked = {"cpu": str(self.cores), "memory": f"{memory >> 20}Mi"}
        return {"requests": dict(asked), "limits": dict(asked)}

    def _worker(self) -> list[str]:
        from bkgflow.clusters.own import PRELOAD

        words = ["dask", "worker", "--nthreads", str(self.cores), "--death-timeout", "120"]
        words += ["--memory-limit", f"{(self.worker_memory or LEAST_MEMORY) >> 20}MiB"]
        for module in (*PRELOAD, "bkgflow.clusters.on_job"):
            words += ["--preload", module]
        return words

    def _share(self, pod: Tree) -> None:
        """Give a pod the disk and the secret that all have."""
        container = _container(pod)
        if self.secret:
            container["envFrom"] = [{"secretRef": {"name": self.secret}}]
        if self.claim:
            pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": self.claim}}]
            container["volumeMounts"] = [{"name": "data", "mountPath": self.mount}]

    def start(self) -> Engine:
        """Have the operator start a scheduler; workers come when they are asked for."""
        operator = engine_of("dask_kubernetes.operator", "kubernetes")
        made: Engine = operator.KubeCluster(  # type: ignore[attr-defined]
            custom_cluster_spec=self.spec(),
            namespace=self.namespace,
            quiet=True,
            shutdown_on_close=True,
            **dict(self.options),
        )
        return made


def _pod(spec: Tree, part: str) -> Tree:
    """Return the pod of a part of a cluster, as its manifest has it."""
    parts = cast("dict[str, dict[str, Tree]]", spec["spec"])
    return parts[part]["spec"]


def _container(pod: Tree) -> Tree:
    return cast("list[Tree]", pod["containers"])[0]
