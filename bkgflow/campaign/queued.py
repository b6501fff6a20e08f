"""The job of a batch system that drives a campaign, or is about to: found, asked after, ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from bkgflow.campaign.cancel import cancel_run
from bkgflow.clusters.base import Cluster, Configured
from bkgflow.clusters.batch import Batch
from bkgflow.clusters.handover import revived
from bkgflow.errors import BkgflowError, FileError
from bkgflow.io.storage.handed import remove_folder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import own_folder

__all__ = ["FOLDER", "JOB", "QueuedJob", "batch_of", "cancel_campaign", "queued_job"]

FOLDER = "bkgflow-job"
"""Name of the folder, in an output folder, of what a job is to do."""

JOB = "job.json"
"""Name of the file there that says which job it is."""


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A job that was submitted for a campaign, and has not come to its end.

    Attributes
    ----------
    system, job : str
        The batch system's name, and the job's id there.
    cluster : mapping
        As `bkgflow.clusters.handover` describes it.
    """

    system: str
    job: str
    cluster: Mapping[str, object]

    @property
    def batch(self) -> Batch | None:
        """The batch system."""
        return batch_of(revived(self.cluster))

    def words(self) -> str:
        """Return where it stands; empty where its system knows it no more, or cannot be asked."""
        with suppress(BkgflowError):
            if (batch := self.batch) and (state := batch.state(self.job)):
                return f"its driver is job {self.job} of {self.system}: {state}"
        return ""


def queued_job(output: Location) -> QueuedJob | None:
    """Return the job that was submitted for a folder and has not ended; None where none was."""
    file = own_folder(output) / FOLDER / JOB
    try:
        parts = json.loads(file.read_text())
        found = QueuedJob(str(parts["system"]), str(parts["job"]), parts["cluster"])
    except (FileError, ValueError, KeyError, TypeError):
        return None
    return found if found.words() else None


def cancel_campaign(output: Location, *, now: bool = False) -> bool:
    """End what goes on in a folder: its run in order, or the job of its driver that waits.

    A job is taken back when its run has ended, and is not queued anew.

    Parameters
    ----------
    now : bool
        As for `cancel_run`.

    Returns
    -------
    bool
        False if there was nothing to end.

    Raises
    ------
    BkgflowError
        If a word cannot be left for the driver, or the batch system does not take the job back.
    """
    ended = cancel_run(output, now=now)
    job = queued_job(output)
    if job is not None and (batch := job.batch) is not None:
        batch.cancel(job.job)
    remove_folder(own_folder(output) / FOLDER)
    return ended or job is not None


def batch_of(cluster: Cluster) -> Batch | None:
    """Return the batch system to which a cluster submits its driver; None where it does not."""
    return cluster.batch() if isinstance(cluster, Configured) else None
