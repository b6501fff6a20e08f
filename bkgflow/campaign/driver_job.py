"""A driver that is a job of a batch system: submitted, and what it does there.

What it is to do lies in a folder beside the products until its campaign has come to its end, so
that the job can be queued anew on any node: it goes on with what is left.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bkgflow.campaign.detached import COMMAND, DRIVER_LOG, Request, Submitted, start_driver
from bkgflow.campaign.events import Event, Listener, RunStarted
from bkgflow.campaign.place import Place
from bkgflow.campaign.queued import FOLDER, JOB, batch_of, queued_job
from bkgflow.clusters.base import Cluster
from bkgflow.clusters.batch import DriverJob
from bkgflow.errors import BkgflowError
from bkgflow.io.storage.handed import remove_folder, working_folder
from bkgflow.io.storage.holder import BEAT, SILENT
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of
from bkgflow.io.storage.mirror import own_folder
from bkgflow.io.storage.publish import write_text

__all__ = ["driving", "submit_request"]

SCRIPT = "driver.sh"

WAIT = SILENT + BEAT
"""Seconds that a job waits where the lock of a driver on another host is still there: if that was
killed, it counts as dead by then."""


def submit_request(request: Request, cluster: Cluster) -> Submitted:
    """Start a driver for a request where its cluster says: as a process here, or as a job.

    Raises
    ------
    BkgflowError
        What keeps it from starting; nothing is left then.
    """
    batch = batch_of(cluster)
    if batch is None:
        return start_driver(request)
    output = request.plan.output
    holder, job = holder_of(output), queued_job(output)
    if holder is not None or job is not None:
        place = Place.found(output)
        found = job.words() if job is not None else ""
        return Submitted(False, holder, place.campaign if place else "", found)
    home = own_folder(output)
    folder = home / FOLDER
    remove_folder(folder)
    try:
        folder.make_folder()
        request.save(folder)
        command = (*COMMAND, str(folder), "--job")
        wanted = DriverJob(_name(output), command, str(working_folder()), str(home / DRIVER_LOG))
        script = batch.script(wanted)
        write_text(folder / SCRIPT, script)
        number = batch.submit(script)
    except BaseException:
        remove_folder(folder)
        raise
    kept = {"system": batch.system, "job": number, "cluster": dict(request.cluster)}
    write_text(folder / JOB, json.dumps(kept))
    return Submitted(True, None, "", f"job {number} of {batch.system}")


def _name(output: Location) -> str:
    """Return a name for a job: by its output folder, in letters that every system takes."""
    last = "".join(each if each.isalnum() else "-" for each in output.name)
    return f"bkgflow-{last[:40]}".rstrip("-")


# In the job.


@contextmanager
def driving(folder: Location, request: Request) -> Iterator[Listener]:
    """Give a listener of the run that a job drives; take its folder away when it has its end.

    A job that is told to leave (Stopped) keeps it: it is queued anew, or somebody withdraws it.
    """
    _wait_for_others(request.plan.output)

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            request.keep_plan()
            once = {"fresh": False, "retry_failed": False}
            if any(request.options.get(each) for each in once):  # that is asked of one run
                replace(request, options={**request.options, **once}).save(folder)

    try:
        yield listen
    except BkgflowError:
        remove_folder(folder)
        raise
    remove_folder(folder)


def _wait_for_others(output: Location) -> None:
    """Wait while the lock of a driver on another host may be that of one which was killed."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        holder = holder_of(output)
        if holder is None or holder.owner.here:
            return
        time.sleep(1)
