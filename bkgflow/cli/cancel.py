"""``bkgflow cancel``: end a campaign's run."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from bkgflow.cli.run_options import CampaignFolder
from bkgflow.errors import LedgerError

__all__ = ["cancel"]


def cancel(
    out: CampaignFolder,
    now: Annotated[
        bool,
        typer.Option("--now", help="Give up what has begun, too; the next run clears up."),
    ] = False,
) -> None:
    """End the run of a campaign in order, wherever its driver is, and wait until it has ended.

    Units that have begun come to their end, the others are BLOCKED; the same run command, or
    "bkgflow retry", goes on. Whoever may write into the output folder may do this.

    Exit code 0: nothing runs any more; 2: there is no campaign.
    """
    from bkgflow.campaign.queued import cancel_campaign
    from bkgflow.campaign.status import status_of
    from bkgflow.io.storage.location import Location

    folder = Location.of(out)
    status_of(folder)  # refuses what is no campaign
    if not cancel_campaign(folder, now=now):
        typer.echo("nothing runs: nothing was canceled")
    with suppress(LedgerError):  # a job that was taken back before its run began
        typer.echo(str(status_of(folder)))
