"""``bkgflow retry``: a campaign once more, for what went wrong."""

from __future__ import annotations

import typer

from bkgflow.cli.run_options import CampaignFolder

__all__ = ["retry"]


def retry(out: CampaignFolder) -> None:
    """Run a campaign again by itself: what is left, what has changed, and what went wrong.

    It submits the command by which it was run last, with --retry-failed, into the folder that is
    given; of one that was submitted from Python, the plan that was kept beside its products.

    Exit codes are those of "bkgflow submit".
    """
    from bkgflow.campaign.retrying import again, submit_again
    from bkgflow.io.storage.location import Location

    folder = Location.of(out)
    asked = again(folder)
    if asked.command:
        raise typer.Exit(submit_again(asked).returncode)
    from bkgflow.campaign.campaign import retry_plan

    submitted = retry_plan(folder, asked)
    word = "runs again" if submitted.new else "runs already, and was left alone"
    who = submitted.holder.words if submitted.holder else "its run has ended already"
    typer.echo(f"campaign {submitted.campaign} {word}: {who}")
