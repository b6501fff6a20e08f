"""A plan of one unit, here and now: no folder, no events, an error is raised."""

from __future__ import annotations

import logging
import os

from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.graph.build import build
from bkgflow.io.products.writer import ProductWriter
from bkgflow.kinds.table import Kinds
from bkgflow.planning.plan import Plan
from bkgflow.report.run_table import remarks
from bkgflow.verdict import Verdict

__all__ = ["run_one"]

log = logging.getLogger(__name__)


def run_one(plan: Plan, kinds: Kinds, writer: ProductWriter) -> Verdict:
    """Do the only unit of a plan in this process, and log what a user should know.

    Parameters
    ----------
    plan : Plan
        Of one unit that is not QUARANTINED.
    kinds : Kinds
        How it is done.
    writer : ProductWriter
        How its product is written.

    Raises
    ------
    BkgflowError
        If it cannot be done.
    """
    [unit] = plan.units
    ended: list[Verdict] = []
    # One unit has the machine to itself: its tasks may use every core. They stay in this process
    # whatever else there is, because a data model in memory is here.
    graph = build(plan, kinds, writer, threads=os.cpu_count() or 1)
    ThreadExecutor().execute(graph, lambda _: None, lambda _, verdict: ended.append(verdict))
    [verdict] = ended
    if verdict.error is not None:
        raise verdict.error
    for note in (*unit.notes, *remarks(verdict)):
        log.warning("%s: %s", unit.target, note)
    if verdict.reason:
        log.warning("%s: %s, %s", unit.target, verdict.state.lower(), verdict.reason)
    for path in verdict.products[1:]:
        log.info("combined background written to %s", path)
    return verdict
