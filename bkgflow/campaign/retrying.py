"""How a campaign is run again: what its ledger keeps of what was asked for."""

from __future__ import annotations

import shlex
import subprocess
import sys

from bkgflow.campaign.asked import Asked
from bkgflow.campaign.detached import same_python
from bkgflow.campaign.place import open_campaign
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location

__all__ = ["COMMAND", "again", "submit_again"]

COMMAND = (sys.executable, "-P", "-c", "from bkgflow.cli import main; main()")
"""The command line, by the Python that runs."""


def again(output: Location) -> Asked:
    """Return what was asked for last in a campaign, as it is asked for where its folder lies now.

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
            return asked.into(output)
    raise UsageError(
        "A campaign that runs again by itself must have been started by the command line, or by "
        "bkgflow.submit",
        file=output,
        value="it was run from Python",
        cure="Run it there again: bkgflow.run(plan, retry_failed=True)",
    )


def submit_again(asked: Asked, *, capture: bool = False) -> subprocess.CompletedProcess[str]:
    """Submit the command of a campaign again, in the folder where it was given.

    Parameters
    ----------
    capture : bool
        Whether what it says is returned, not shown.

    Raises
    ------
    UsageError
        If that folder is not there any more: paths of the command may count from there.
    """
    command, *words = asked.again
    try:
        return subprocess.run(
            (*COMMAND, "submit", "--retry-failed", *words),
            cwd=asked.folder or None,
            env=same_python(),
            capture_output=capture,
            text=True,
            check=False,
        )
    except OSError as problem:
        raise UsageError(
            "The folder in which the command of a campaign was given must be there to retry it",
            file=asked.folder,
            value=problem.strerror,
            cure="Give the command again, from a folder where its paths are right: "
            f"{shlex.join(('bkgflow', command, '--retry-failed', *words))}",
        ) from None
