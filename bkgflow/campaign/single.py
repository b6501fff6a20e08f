"""A plan of one unit, here and now; and the kernels that it needs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from bkgflow.campaign.compute import FILES, run_plan
from bkgflow.campaign.log import log, log_remarks
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.graph.build import PlannedWork
from bkgflow.io.products.ahead import opened_ahead
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import ProductWriter
from bkgflow.io.storage.publish import Publish, PublishAnywhere
from bkgflow.kinds.warm import Kind, needed_for, warm_up
from bkgflow.planning.plan import Plan
from bkgflow.verdict import Verdict

__all__ = ["compile_for", "kinds_of", "run_single", "writer_for"]


def compile_for(plan: Plan, say: Callable[[str], object]) -> None:
    """Compile the kernels of a plan's units, so that its tasks on this machine find it done.

    ``say`` gets a sentence before anything that takes long.
    """
    warm_up(kinds_of(plan), say)


def kinds_of(plan: Plan) -> list[Kind]:
    """Return of which kinds the kernels are that a plan needs."""
    to_do = [unit for unit in plan.units if unit.verdict.to_do]
    shared, facts = {unit.shared for unit in to_do}, plan.facts()
    members = (member for each in plan.shared if each.digest in shared for member in each.members)
    cubes = any(facts[member].n_integrations for member in members)
    return needed_for({unit.kind for unit in to_do}, plan.settings, cubes=cubes)


def writer_for(plan: Plan, publish: Publish | None = None) -> ProductWriter:
    """Return who writes the products of a plan, in its format.

    Parameters
    ----------
    publish : Publish, optional
        How they appear; without it as files that belong to no run.
    """
    by = publish or PublishAnywhere()
    if plan.outputs.format == "fits":
        return FitsWriter(by)
    from bkgflow.io.products.zarr import ZarrWriter  # half a second that nobody else needs

    return ZarrWriter(by)


def run_single(plan: Plan, writer: ProductWriter = FILES) -> Verdict:
    """Compute a plan of one unit on threads of this process; say in the log how it went.

    Returns
    -------
    Verdict
        COMPLETE, SKIPPED or FAILED.

    Raises
    ------
    BkgflowError
        What is wrong with the unit.
    """
    # One unit has the machine to itself: each of its tasks may use every core.
    threads = os.cpu_count() or 1
    for note in plan.notes:
        log.info("%s", note)
    compile_for(plan, log.info)
    [unit] = plan.units
    foreseen = PlannedWork(plan).foreseen(unit.digest)
    with opened_ahead(writer, plan.facts()[unit.target], foreseen) as ahead:
        # Files are this process's own, or there are none: nobody need look for them.
        here = ThreadExecutor(threads)
        result = run_plan(plan, here, writer=ahead, threads=threads, files=False)
    [(unit, verdict)] = result.pairs()
    if verdict.error is not None:
        raise verdict.error
    log_remarks(unit, verdict)
    if verdict.reason:
        level = logging.WARNING if verdict.state.good else logging.ERROR
        log.log(level, "%s: %s %s", unit.target, verdict.state, verdict.reason)
    for path in verdict.products[1:]:
        log.info("combined background written to %s", path)
    return verdict
