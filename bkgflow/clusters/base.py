"""What a cluster is: settings, and a way to open it.

A cluster is a frozen dataclass: its fields are its settings, and those with an `Option` are
options of the command line as well. A new one is a file beside this one, and a line in
`bkgflow.clusters.choose`.
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
    from bkgflow.clusters.executor import Executor
    from bkgflow.planning.plan import Plan

__all__ = ["Cluster", "Option", "options_of"]


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
    """

    help: str
    default: str
    metavar: str | None = None
    least: int | None = None


def options_of(cluster: type[Cluster]) -> dict[str, tuple[object, Option]]:
    """Return what is an option among a cluster's settings, by name: its type, and its words."""
    hints = get_type_hints(cluster, include_extras=True).items()
    return {name: get_args(hint) for name, hint in hints if get_origin(hint) is Annotated}
