"""How a campaign is run again: what its ledger keeps of what was asked for."""

from __future__ import annotations

import sys

from bkgflow.campaign.asked import Asked
from bkgflow.campaign.place import open_campaign
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location

__all__ = ["COMMAND", "again"]

COMMAND = (sys.executable, "-P", "-c", "from bkgflow.cli import main; main()")
"""The command line, by the Python that runs."""


def again(output: Location) -> Asked:
    """Return what was asked for last in a campaign.

    Raises
    ------
    LedgerError
        If there is no campaign.
    UsageError
        If it is not known how it was asked for.
    """
    database, reader = open_campaign(output)
    try:
        runs = reader.runs()
    finally:
        database.close()
    for row in reversed(runs):
        asked = Asked.from_dict(row.asked)
        if asked.command or asked.plan:
            return asked
    raise UsageError(
        "A campaign that runs again by itself must have been started by the command line, or by "
        "bkgflow.submit",
        file=output,
        value="it was run from Python",
        cure="Run it there again: bkgflow.run(plan, retry_failed=True)",
    )
