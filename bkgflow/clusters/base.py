"""What a cluster is: settings, and a way to open it.

A cluster is a frozen dataclass: its fields are its settings, which a profile sets by their names,
and those with an `Option` are options of the command line as well. What several kinds have in
common has the same name everywhere; what one kind has of its own has its prefix on the command
line. A new one is a file beside this one, and a line in `bkgflow.clusters.choose`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import (
    TYPE_CHECKING,
    Annotated,
    ClassVar,
    NamedTuple,
    Protocol,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

if TYPE_CHECKING:
    from bkgflow.clusters.batch import Batch
    from bkgflow.clusters.executor import Executor
    from bkgflow.planning.plan import Plan

__all__ = ["COMMON", "Cluster", "Configured", "Option", "option_names", "options_of"]

COMMON = frozenset({"workers", "memory", "wait", "adaptive", "allow_skew"})
"""Settings that mean the same for every kind that has them, and have no prefix."""


@runtime_checkable
class Cluster(Protocol):
    """Where a run computes, as settings: nothing is started before it is opened."""

    here: ClassVar[bool] = False
    """Whether its workers run on this machine, for sure: they find what was compiled here."""

    @property
    def worker_memory(self) -> int | None:
        """The memory limit of each worker in bytes, as far as the settings say; else None."""
        return None

    def suited(self, plan: Plan) -> tuple[Cluster, str]:
        """Return the cluster that computes a plan best, as far as the settings leave a choice.

        And why it is another one than this, in a few words; empty where it is not.
        """
        return self, ""

    def open(self) -> AbstractContextManager[Executor]:
        """Give an executor; clear away afterwards what was started for it.

        Raises
        ------
        UsageError
            If it cannot be started or reached.
        """


class Configured(Cluster):
    """A cluster that profiles and the command line know by its kind."""

    PREFIX: ClassVar[str] = ""
    """What the options of its own begin with on the command line; empty where nothing does."""

    NEEDS: ClassVar[tuple[str, ...]] = ()
    """Settings without which there is none of it, and that are no options."""

    PASSES: ClassVar[bool] = False
    """Whether a profile may have settings of the engine beside ours; what is under ``options`` in
    any case is the engine's."""

    def fitted(self, plan: Plan) -> Cluster:
        """Return the cluster with what its settings leave open made to fit a plan.

        Such as the memory of workers that are yet to be started.
        """
        return self

    def one(self) -> Configured:
        """Return the cluster with a single worker, to try it; itself where it has its workers."""
        return self

    def rendered(self) -> dict[str, str]:
        """Return what would be asked of an engine, as it is written there, by what it is."""
        return {}

    def last_words(self) -> str:
        """Return the last that was said where workers are started; empty where nobody knows."""
        return ""

    def batch(self) -> Batch | None:
        """Return the batch system to which a campaign's driver is submitted as a job.

        None where the driver is a process of this machine.
        """
        return None


class Option(NamedTuple):
    """Makes a setting an option of the command line, which may be left out.

    Attributes
    ----------
    help : str
        What it means, as a sentence.
    default : str
        The default in words.
    metavar : str or None
        What stands for the value in the help; None for the name of its type.
    least : int or None
        The smallest value.
    typed : object
        The type as which the command line takes it; None where that is the setting's own.
    """

    help: str
    default: str
    metavar: str | None = None
    least: int | None = None
    typed: object = None


def options_of(cluster: type[Cluster]) -> dict[str, tuple[object, Option]]:
    """Return what is an option among a cluster's settings, by name: its type, and its words."""
    found: dict[str, tuple[object, Option]] = {}
    for name, hint in get_type_hints(cluster, include_extras=True).items():
        if get_origin(hint) is Annotated:
            kind, option = get_args(hint)
            found[name] = (kind if option.typed is None else option.typed, option)
    return found


def option_names(cluster: type[Configured]) -> dict[str, str]:
    """Return the settings of a cluster by the names of their options."""
    prefix = f"{cluster.PREFIX}_" if cluster.PREFIX else ""
    return {name if name in COMMON else prefix + name: name for name in options_of(cluster)}
