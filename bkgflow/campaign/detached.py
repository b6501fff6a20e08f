"""Campaigns that go on by themselves: a driver in a process of its own, started and waited for.

The driver has a session of its own: no terminal that is closed, no shell that ends and no kernel
that is killed takes it along. What it is to do is handed over in a private folder.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from bkgflow.campaign.asked import PLAN_FILE, Asked, options_without_passwords
from bkgflow.campaign.events import Event, Listener, RunStarted
from bkgflow.campaign.place import Place
from bkgflow.errors import BkgflowError, RunError
from bkgflow.io.storage.handed import Appended, private_folder, remove_folder
from bkgflow.io.storage.holder import Holder
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import holder_of
from bkgflow.planning.plan import Plan

__all__ = [
    "COMMAND",
    "DRIVER_LOG",
    "Request",
    "Submitted",
    "same_python",
    "start_driver",
    "telling",
]

DRIVER_LOG = "bkgflow-driver.log"
"""What a driver says, in the output folder."""

COMMAND = (sys.executable, "-P", "-c", "from bkgflow.cli.drive import main; main()")
"""No command of people's: its argument is a private folder."""

PATIENCE = 60.0
"""Seconds that are waited for a driver to begin: for its cluster, above all."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a driver is to do.

    Attributes
    ----------
    cluster : mapping
        Where, as `bkgflow.clusters.handover` describes it.
    options : mapping
        What `bkgflow.run` is told, as plain values.
    asked : Asked
        What makes such a run again.
    pictures, quiet : bool
        As for ``bkgflow run``.
    """

    plan: Plan
    cluster: Mapping[str, object]
    options: Mapping[str, object] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    pictures: bool = False
    quiet: bool = False

    def save(self, folder: Location) -> None:
        """Write it into a folder.

        Raises
        ------
        PlanError
            If an exposure is in memory alone.
        OutputError
            If it cannot be written.
        """
        from bkgflow.io.storage.publish import write_text

        self.plan.save(folder / "plan.json")
        parts = {
            "cluster": dict(self.cluster),
            "options": dict(self.options),
            "asked": self.asked.to_dict(),
            "pictures": self.pictures,
            "quiet": self.quiet,
        }
        write_text(folder / "request.json", json.dumps(parts))

    @classmethod
    def load(cls, folder: Location) -> Request:
        """Read what `save` wrote."""
        parts = json.loads((folder / "request.json").read_text())
        plan = Plan.load(folder / "plan.json")
        return cls(plan, **(parts | {"asked": Asked.from_dict(parts["asked"])}))

    def keep_plan(self) -> None:
        """Keep the plan beside the products, where no command makes it again."""
        if self.asked.plan:
            self.plan.save(self.plan.output / self.asked.plan)

    @classmethod
    def of_plan(cls, plan: Plan, cluster: Mapping[str, object], **options: object) -> Request:
        """Return the request for a plan that was made in Python."""
        kept = options_without_passwords(options)
        return cls(plan, cluster, options, Asked((), "", PLAN_FILE, cluster, kept))


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a request.

    Attributes
    ----------
    new : bool
        Whether a run was started for it; else one had the folder already.
    holder : Holder or None
        Whose run has the folder; None where it has ended meanwhile.
    campaign : str
        The campaign's id; empty where its run has not begun yet.
    job : str
        Which job of which batch system its driver is, in words; empty where it is none.
    """

    new: bool
    holder: Holder | None
    campaign: str
    job: str = ""


def start_driver(request: Request, patience: float = PATIENCE) -> Submitted:
    """Start a driver for a request, and wait until its run has begun, or has failed.

    Where a run has the output folder already, none is started.

    Parameters
    ----------
    patience : float
        Seconds to wait; then it goes on by itself, and its log says what becomes of it.

    Raises
    ------
    BkgflowError
        What the driver said: nothing runs, and the folder is as it was.
    """
    output = request.plan.output
    if (holder := holder_of(output)) is not None:
        return Submitted(False, holder, _campaign(output))
    handed = private_folder()
    try:
        request.save(handed)
        log = Appended.to(output / DRIVER_LOG)
        with log.stream:
            process, told = _started(handed, log)
    except BaseException:
        remove_folder(handed)
        raise
    with told:
        try:
            news = _news(told, patience)
        except BaseException:  # Ctrl-C: nothing was submitted
            process.terminate()
            process.wait()
            remove_folder(handed)
            raise
    if news is None or "error" in news:
        process.wait()
        remove_folder(handed)
        return _not_begun(output, log, news)
    # In a notebook, which lives on, somebody must take note of its end.
    threading.Thread(target=process.wait, daemon=True).start()
    return Submitted(True, holder_of(output), str(news.get("campaign", "")))


def same_python() -> dict[str, str]:
    """Return the environment in which another Python finds the same modules as this one."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _started(handed: Location, log: Appended) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [*COMMAND, str(handed), "--tell", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log.stream,
            stderr=log.stream,
            start_new_session=True,
            pass_fds=(theirs.fileno(),),
            env=same_python(),
        )
    return process, ours


def _news(told: socket.socket, patience: float) -> dict[str, object] | None:
    """Return what a driver tells when it begins or fails; None if it ends without a word.

    Empty where it has told nothing yet.
    """
    told.settimeout(patience)
    data = b""
    try:
        while more := told.recv(1 << 16):
            data += more
            if data.endswith(b"\n"):
                news: dict[str, object] = json.loads(data)
                return news
    except TimeoutError:
        return {}
    except (OSError, ValueError):
        pass
    return None


def _not_begun(output: Location, log: Appended, news: Mapping[str, object] | None) -> Submitted:
    """Say why a driver has not begun: another was first, or something is wrong."""
    if (holder := holder_of(output)) is not None:
        return Submitted(False, holder, _campaign(output))
    said = log.said().strip()
    log.withdraw()
    if news is not None and isinstance(news["error"], dict):
        raise BkgflowError.from_dict(news["error"])
    raise RunError(
        "A driver must come to begin its run",
        file=output,
        value=said[-500:] or "it ended without a word",
        cure="Mend what it says, or run it here: bkgflow run",
    )


def _campaign(output: Location) -> str:
    with suppress(BkgflowError):
        place = Place.found(output)
        return place.campaign if place else ""
    return ""


# In the driver.


@contextmanager
def telling(request: Request, descriptor: int | None) -> Iterator[Listener]:
    """Give a listener that tells who has started a driver when its run begins, or why it does not.

    Who waits no longer is told nothing.
    """
    line = None if descriptor is None else socket.socket(fileno=descriptor)
    if line is not None:
        line.set_inheritable(False)  # else it would stay open as long as a worker lives

    def tell(news: dict[str, object]) -> None:
        nonlocal line
        if line is not None:
            with suppress(OSError), line:
                line.sendall(json.dumps(news).encode() + b"\n")
            line = None

    def listen(event: Event) -> None:
        if isinstance(event, RunStarted):
            request.keep_plan()
            tell({"campaign": _campaign(request.plan.output), "run": event.run})

    try:
        yield listen
    except BkgflowError as error:
        tell({"error": error.to_dict()})
        raise
    finally:
        if line is not None:
            line.close()
