"""``bkgflow submit``: a run that goes on by itself."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import typer

from bkgflow.cli.cluster_options import takes_cluster
from bkgflow.cli.dither_options import takes_dithers
from bkgflow.cli.options import (
    BkgList,
    Checksum,
    Confine,
    Data,
    Program,
    Quiet,
    References,
    Values,
    takes_campaign,
    takes_retries,
    takes_step_arguments,
    takes_watching,
)
from bkgflow.cli.run_options import CheckSpace, Format, Output, Pictures, Store

if TYPE_CHECKING:
    from bkgflow.campaign.detached import Submitted
    from bkgflow.io.storage.location import Location

__all__ = ["submit"]


@takes_step_arguments
@takes_dithers
@takes_cluster
@takes_campaign
@takes_watching
@takes_retries
def submit(
    program: Program,
    output: Output,
    references: References = None,
    data: Data = None,
    confine: Confine = None,
    bkg_list: BkgList = None,
    pictures: Pictures = False,
    check_space: CheckSpace = True,
    checksum: Checksum = False,
    format: Format = None,
    store: Store = None,
    quiet: Quiet = False,
    *,
    where: Values,
    campaign: Values,
    watching: Values,
    retries: Values,
    dithers: Values,
    arguments: Values,
) -> None:
    """Run a whole program in a process of its own, which lives on when the shell ends.

    Takes what "bkgflow run" takes. The program is planned first, so that what cannot be run is
    refused here; the command comes back when the run has begun. What the driver says is in
    bkgflow-driver.log, beside the products.

    On a cluster of a batch system the driver is one of its jobs, which may be requeued; the
    command comes back when that is submitted.

    Exit code 0: it runs; also where a run has the output folder already, which is said, and
    nothing is started. 1 or 2: it does not run, and why, as for "bkgflow run".
    """
    from bkgflow.campaign.detached import Request
    from bkgflow.campaign.driver_job import submit_request
    from bkgflow.campaign.runner import check_memory
    from bkgflow.campaign.watchers import check_watchers
    from bkgflow.cli.run import asked_here, planned_for
    from bkgflow.clusters.handover import described
    from bkgflow.clusters.policy import RetryPolicy
    from bkgflow.io.storage.location import Location
    from bkgflow.io.storage.lock import holder_of
    from bkgflow.plot.figure import check_drawing

    if pictures:
        check_drawing()
    check_watchers(**watching)
    RetryPolicy(**retries)
    _check(campaign)
    folder = Location.of(output)
    if holder := holder_of(folder):
        typer.echo(f"nothing was submitted: {holder.words}, runs into {folder} already")
        return
    given = {"data": data or (), "confine": confine, "bkg_list": bkg_list, "checksum": checksum}
    given |= {"format": format, "store": store} | dithers
    planned, cluster = planned_for(program, output, where, references, given | arguments, campaign)
    handed = described(cluster)
    check_memory(planned, cluster)
    options = {"check_space": check_space, **campaign, **watching, **retries}
    asked = asked_here(cluster, "submit")
    request = Request(planned, handed, options, asked, pictures=pictures, quiet=quiet)
    _say(submit_request(request, cluster), folder, len(planned.units))


def _check(campaign: Values) -> None:
    """Refuse what `bkgflow.run` would refuse."""
    from bkgflow.campaign.resume import Resume

    known = ("fresh", "only", "retry_failed", "rerun_on")
    Resume(**{name: campaign[name] for name in known if name in campaign})


def _say(submitted: Submitted, folder: Location, units: int) -> None:
    from bkgflow.campaign.detached import DRIVER_LOG
    from bkgflow.texts import many

    holder, out = submitted.holder, shlex.quote(str(folder))
    if not submitted.new and holder is not None:
        typer.echo(f"nothing was submitted: {holder.words}, runs into {folder} already")
        return
    if not submitted.new:
        typer.echo(f"nothing was submitted: {submitted.job}")
        return
    name = f"campaign {submitted.campaign}" if submitted.campaign else "a campaign"
    typer.echo(f"{name}: {many(units, 'unit')} into {folder}")
    if holder is not None:
        typer.echo(f"driver: {holder.owner.pid}@{holder.owner.host}, run {holder.run}")
    elif submitted.job:
        typer.echo(f"driver: {submitted.job}")
    else:
        typer.echo("its run has ended already")
    typer.echo(f"what it says: {folder / DRIVER_LOG}")
    typer.echo(f"watch it: bkgflow status {out} --watch")
    typer.echo(f"end it: bkgflow cancel {out}")
