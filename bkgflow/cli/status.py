"""``bkgflow status``: how a campaign stands."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from bkgflow.cli.onlooker import onlooker
from bkgflow.cli.run_options import CampaignFolder

if TYPE_CHECKING:
    from bkgflow.campaign.status import CampaignStatus

__all__ = ["exit_code_of", "status"]

CODES = {
    "complete": 0,
    "failed": 1,
    "running": 3,
    "queued": 3,
    "stopped": 4,
    "died": 4,
    "planned": 4,
}
"""Exit codes by where a campaign stands; 2 is for what is none."""


CLEAR = "\033[H\033[2J"
"""What has a terminal begin anew at its top."""


def exit_code_of(found: CampaignStatus) -> int:
    """Return the exit code that says where a campaign stands."""
    return CODES[found.state.value]


def status(
    out: CampaignFolder,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say it as JSON; while it is watched, a line each time.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Say it again and again until nothing runs.")
    ] = False,
    every: Annotated[
        float, typer.Option(help="Seconds between two looks.", metavar="SECONDS", min=0.1)
    ] = 2.0,
) -> None:
    """Say how a campaign stands: counts, pace, what is computed now, what went wrong and why.

    It may be asked at any time, from any machine that sees the output folder.

    Exit code 0: complete; 1: ended, and some units went wrong; 2: there is no campaign, or it
    cannot be read; 3: it runs, or waits as a job; 4: it was stopped, its driver died, or some
    units were never taken up.
    """
    from bkgflow.campaign.looking import look_again
    from bkgflow.campaign.status import status_of
    from bkgflow.errors import LedgerError
    from bkgflow.io.storage.location import Location

    folder = Location.of(out)
    with onlooker(out):
        while True:
            found = look_again(folder) if watch else status_of(folder)
            if isinstance(found, LedgerError):
                typer.echo(f"bkgflow: {found}", err=True)
                time.sleep(every)
                continue
            if as_json:
                typer.echo(json.dumps(found.to_dict(), indent=None if watch else 1))
            else:
                if watch and sys.stdout.isatty():
                    typer.echo(CLEAR, nl=False)
                typer.echo(str(found))
            if not watch or not found.state.going:
                break
            time.sleep(every)
    raise typer.Exit(exit_code_of(found))
