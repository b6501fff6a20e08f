"""A campaign: a plan, and the cluster that it is run on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bkgflow.campaign.compiling import compile_for
from bkgflow.campaign.events import Listener
from bkgflow.campaign.folder import RunFolder
from bkgflow.campaign.log import LogListener, log
from bkgflow.campaign.result import RunResult
from bkgflow.campaign.runner import check_memory, run_plan
from bkgflow.clusters.base import Cluster
from bkgflow.planning.plan import Plan

__all__ = ["Campaign"]


@dataclass(frozen=True, slots=True)
class Campaign:
    """What the command line, a notebook and every other face run.

    Attributes
    ----------
    plan : Plan
        What to do.
    cluster : Cluster
        Where.
    """

    plan: Plan
    cluster: Cluster

    @property
    def folder(self) -> RunFolder:
        """Where the products go, and what the run leaves beside them."""
        return RunFolder(self.plan.output)

    def run(self, listeners: Iterable[Listener] = ()) -> RunResult:
        """Run the plan to its end.

        Parameters
        ----------
        listeners : iterable of callables
            Told of every event (`bkgflow.campaign.events`) as it happens, in this thread.

        Returns
        -------
        RunResult
            The end of every unit; ``bkgflow.log`` and ``bkgflow-run.json`` lie beside the
            products.

        Raises
        ------
        UsageError
            If the cluster cannot be started or reached, or its workers are too small.
        OutputError
            If the log or the result cannot be written.
        """
        with self.cluster.open() as executor:
            # What is refused here has left no trace in the folder.
            check_memory(self.plan, executor)
            with self.folder.logging():
                if self.cluster.here:
                    compile_for(self.plan, log.info)
                told: list[Listener] = [LogListener(self.plan), *listeners]
                result = run_plan(self.plan, executor, told)
                # Kept before a cluster is closed: that may take long, or hang.
                self.folder.keep(result)
        return result
