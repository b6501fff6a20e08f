"""What a cluster is: settings, a way to open it, and an executor that computes graphs there.

A cluster is a frozen dataclass: its fields are its settings, and those made by `option` are
options of the command line as well. A new one is a file beside this one, and a line in
`bkgflow.clusters.choose`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bkgflow.errors import SettingsError
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from bkgflow.graph.build import Graph

__all__ = [
    "LOST",
    "Cluster",
    "Executor",
    "OnEnd",
    "OnStart",
    "Option",
    "check_workers",
    "option",
    "options_of",
    "task_memory",
    "workers_option",
]

OnStart = Callable[[str], None]
"""Called with the digest of a unit whose last task begins: once, or once more where the worker
that had begun it died."""

OnEnd = Callable[[str, Verdict], None]
"""Called once with the digest of a unit and how it ended."""

LOST = Verdict.blocked(
    "the run ended before its turn: the cluster went away or the run was stopped"
)
"""Of a unit that nobody computed any more."""


class Executor(Protocol):
    """Computes graphs on a cluster that is open."""

    @property
    def where(self) -> str:
        """A few words for the log."""

    @property
    def worker_memory(self) -> int | None:
        """The least of the workers' memory limits in bytes; None where it is unknown."""

    def execute(self, graph: Graph, on_start: OnStart, on_end: OnEnd) -> None:
        """Compute and publish all ends of a graph.

        Both functions are called in the thread that called this one, a unit's start before its
        end.
        """


@runtime_checkable
class Cluster(Protocol):
    """Where a run computes, as settings: nothing is started before it is opened."""

    @property
    def here(self) -> bool:
        """Whether its workers run on this machine, for sure: they find what was compiled here."""

    @property
    def worker_memory(self) -> int | None:
        """The memory limit of each worker in bytes, as far as the settings say; else None."""

    def open(self) -> AbstractContextManager[Executor]:
        """Give an executor; clear away afterwards what was started for it.

        Raises
        ------
        UsageError
            If it cannot be started or reached.
        """


@dataclass(frozen=True, slots=True)
class Option:
    """What the command line should know of a setting.

    Attributes
    ----------
    help : str
        What it means, as a sentence.
    type : type
        Of its values; every option may be left out.
    default : str
        The default in words.
    metavar : str
        What stands for the value in the help; empty for the name of its type.
    least : int or None
        The smallest value.
    """

    help: str
    type: type = str
    default: str = ""
    metavar: str = ""
    least: int | None = None


def option(help: str, **words: Any) -> Any:
    """Return a dataclass field, None by default, that is an option of the command line."""
    return field(default=None, metadata={"option": Option(help, **words)})


def workers_option() -> Any:
    """Return the field ``workers``, which several clusters have."""
    return option("Processes or threads.", type=int, default="one per core", least=1)


def options_of(cluster: type) -> dict[str, Option]:
    """Return what is an option of the command line among a cluster's settings, by name."""
    found: tuple[Field[Any], ...] = fields(cluster)
    return {each.name: each.metadata["option"] for each in found if "option" in each.metadata}


def check_workers(workers: int | None) -> None:
    """Refuse a number of workers with which nothing would ever be computed.

    Raises
    ------
    SettingsError
        If it is below 1.
    """
    if workers is not None and workers < 1:
        raise SettingsError(
            "A cluster must have at least one worker",
            value=f"workers={workers}",
            cure="Give 1 or more, or leave workers out: then there is one for each core",
        )


def task_memory(cluster: Cluster) -> int:
    """Return the bytes that one task of a plan for a cluster may hold at a time.

    At most a quarter of a worker's limit: the rest is for results that wait, for the libraries,
    and for what Python does not give back.
    """
    from bkgflow.planning.planner import DEFAULT_MEMORY

    limit = cluster.worker_memory
    return DEFAULT_MEMORY if limit is None else min(DEFAULT_MEMORY, limit // 4)
