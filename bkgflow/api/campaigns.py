"""Campaigns that go on by themselves."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Unpack

from bkgflow.campaign.campaign import Campaign
from bkgflow.campaign.causes import CAUSES
from bkgflow.campaign.detached import Request
from bkgflow.campaign.driver_job import submit_request
from bkgflow.campaign.resume import Resume
from bkgflow.campaign.runner import check_memory
from bkgflow.campaign.watchers import check_watchers
from bkgflow.clusters.choose import ClusterArguments, choose, shows_cluster_arguments
from bkgflow.clusters.handover import described
from bkgflow.clusters.policy import RetryPolicy
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import PathLike
from bkgflow.planning.plan import Plan

__all__ = ["submit"]


@shows_cluster_arguments
def submit(
    plan: Plan,
    cluster: object = "local",
    *,
    check_space: bool = True,
    fresh: bool = False,
    only: Sequence[str] = (),
    retry_failed: bool = False,
    rerun_on: Sequence[str] = CAUSES,
    ledger: PathLike = "",
    labels: Mapping[str, str] | None = None,
    notify: str | Sequence[str] | None = None,
    metrics: int | str | None = None,
    max_retries: int = 3,
    timeout: float | None = None,
    fail_fast: bool = False,
    **options: Unpack[ClusterArguments],
) -> Campaign:
    """Run a plan in a process of its own, which lives on when this one ends.

    It comes back when the run has begun: an error before that is raised here. Where a run has the
    output folder already, no second one is started, and a warning says so.

    Parameters
    ----------
    plan : Plan
        From `plan`, or `Plan.load`. It is kept beside the products, so that the campaign can be
        run again from there.
    cluster : "local", "threads", an address, or settings of `bkgflow.clusters`
        As for `run`; threads are those of the new process. What lives in this process, a Client
        or a cluster object of dask, cannot be handed over: give its address.
    check_space, fresh, only, retry_failed, rerun_on, ledger, labels, notify, metrics
        As for `run`.
    max_retries, timeout, fail_fast, **options
        As for `run`.

    Returns
    -------
    Campaign
        To look at, to wait for, to cancel; `Campaign.open` finds it again from anywhere.

    Raises
    ------
    UsageError
        If this is no plan, or there is no such cluster, or it cannot be handed over.
    BkgflowError
        What keeps the run from its beginning, as `run` would raise it.
    """
    if not isinstance(plan, Plan):
        raise UsageError(
            "A campaign must be given a plan",
            value=repr(plan)[:200],
            cure="Make one with bkgflow.plan(program, output), or read one with Plan.load",
        )
    where = choose(cluster, **options)
    handed = described(where)
    check_watchers(notify, metrics)
    check_memory(plan, where)
    RetryPolicy(max_retries, timeout=timeout, fail_fast=fail_fast)
    Resume(fresh, tuple(only), retry_failed, tuple(rerun_on))  # refuses what is none
    request = Request.of_plan(
        plan,
        handed,
        check_space=check_space,
        fresh=fresh,
        only=list(only),
        retry_failed=retry_failed,
        rerun_on=list(rerun_on),
        ledger=os.fspath(ledger),
        labels=dict(labels or {}),
        notify=notify if notify is None or isinstance(notify, str) else list(notify),
        metrics=metrics,
        max_retries=max_retries,
        timeout=timeout,
        fail_fast=fail_fast,
    )
    submitted = submit_request(request, where)
    if not submitted.new and submitted.holder is not None:
        words = f"nothing was submitted: {submitted.holder.words}, runs into {plan.output} already"
        warnings.warn(words, stacklevel=3)
    elif not submitted.new:
        warnings.warn(f"nothing was submitted: {submitted.job}", stacklevel=3)
    return Campaign(plan.output)
