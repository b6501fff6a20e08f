"""The driver of a campaign that was submitted: a process without a terminal, started by bkgflow."""

from __future__ import annotations

import argparse

__all__ = ["drive", "main"]


def main() -> None:
    """Do what stands in a folder; errors and signals as for every command."""
    from bkgflow.cli import as_command

    parser = argparse.ArgumentParser(prog="bkgflow-driver")
    parser.add_argument("folder")
    parser.add_argument("--tell", type=int)
    parser.add_argument("--job", action="store_true")
    given = parser.parse_args()
    as_command(lambda: drive(given.folder, given.tell, job=given.job))


def drive(folder: str, tell: int | None = None, *, job: bool = False) -> None:
    """Run what was handed over in a folder, which is taken away.

    Parameters
    ----------
    tell : int, optional
        Descriptor of the socket at whose other end somebody waits for the run to begin.
    job : bool
        Whether this is a job, which may be queued anew: the folder stays until the campaign has
        come to its end.
    """
    import typer

    from bkgflow.campaign.detached import Request, telling
    from bkgflow.campaign.driver_job import driving
    from bkgflow.cli.run import carry_out, finish
    from bkgflow.clusters.handover import revived
    from bkgflow.io.storage.handed import remove_folder
    from bkgflow.io.storage.location import Location

    handed = Location.of(folder)
    request = Request.load(handed)
    if not job:
        remove_folder(handed)
    with driving(handed, request) if job else telling(request, tell) as listener:
        cluster = revived(request.cluster)
        options = {**request.options, "asked": request.asked.to_dict()}
        result = carry_out(
            request.plan, cluster, options, quiet=request.quiet, listeners=[listener]
        )
    try:
        finish(result, pictures=request.pictures, quiet=request.quiet)
    except typer.Exit as end:  # which typer would make an exit code of
        raise SystemExit(end.exit_code) from None
