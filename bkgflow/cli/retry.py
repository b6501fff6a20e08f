"""``bkgflow retry``: a campaign once more, for what went wrong."""

from __future__ import annotations

import subprocess

import typer

from bkgflow.cli.run_options import CampaignFolder

__all__ = ["retry"]


def retry(out: CampaignFolder) -> None:
    """Run a campaign again by itself: what is left, what has changed, and what went wrong.

    It submits the command by which it was run last, with --retry-failed; of one that was submitted
    from Python, the plan that was kept beside its products.

    Exit codes are those of "bkgflow submit".
    """
    from bkgflow.campaign.detached import same_python
    from bkgflow.campaign.retrying import COMMAND, again
    from bkgflow.io.storage.location import Location

    folder = Location.of(out)
    asked = again(folder)
    if asked.command:
        words = [*COMMAND, "submit", "--retry-failed", *asked.again[1:]]
        done = subprocess.run(words, cwd=asked.folder or None, env=same_python(), check=False)
        raise typer.Exit(done.returncode)
    from bkgflow.campaign.campaign import retry_plan

    submitted = retry_plan(folder, asked)
    word = "runs again" if submitted.new else "runs already, and was left alone"
    who = submitted.holder.words if submitted.holder else "its run has ended already"
    typer.echo(f"campaign {submitted.campaign} {word}: {who}")
