"""``bkgflow wait``: until a campaign's run has ended."""

from __future__ import annotations

from typing import Annotated

import typer

from bkgflow.cli.onlooker import onlooker
from bkgflow.cli.run_options import CampaignFolder

__all__ = ["wait"]


def wait(
    out: CampaignFolder,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Wait no longer than this.",
            metavar="SECONDS",
            min=0,
            show_default="as long as it takes",
        ),
    ] = None,
) -> None:
    """Wait until nothing of a campaign runs any more; then say how it stands.

    Exit codes are those of "bkgflow status"; 3: it still runs when the time is over.
    """
    from bkgflow.campaign.campaign import wait_for
    from bkgflow.cli.status import exit_code_of
    from bkgflow.io.storage.location import Location

    with onlooker(out):
        found = wait_for(Location.of(out), timeout)
    typer.echo(str(found))
    raise typer.Exit(exit_code_of(found))
