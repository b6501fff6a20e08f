"""What is said of workers and schedulers that cannot be used: rule, who, and the cure."""

from __future__ import annotations

from collections.abc import Mapping

from bkgflow.clusters.crew import Workers, limit_of
from bkgflow.errors import RunError, UsageError
from bkgflow.graph.guard import MORE_MEMORY
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.trial import UNSEEN
from bkgflow.version import VERSION

__all__ = [
    "lacking",
    "nobody",
    "together",
    "too_many_deaths",
    "unanswered",
    "unseen",
    "unusable",
]

LIKE_THE_DRIVER = (
    "Start the workers with what the driver has to reach the store: its packages "
    "(bkgflow[s3]), and its credentials and endpoint in the environment or the usual files "
    "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL)"
)
"""The cure of a worker that does not reach an object store."""


def unanswered(worker: str, problem: BaseException) -> RunError:
    """Return the error of a worker that gives no answer."""
    return RunError(
        "Every worker must answer when it is asked",
        value=f"{worker}: {problem!r}"[:300],
        cure="See whether it still runs; its log says more",
    )


def unusable(who: str, address: str, said: Mapping[str, str]) -> UsageError | None:
    """Return why somebody cannot import what a task needs, if that is so."""
    if problem := said.get("problem"):
        return UsageError(
            f"{who} must be able to import bkgflow",
            value=f"{address}: {problem}",
            cure=f"Install bkgflow {VERSION} there, or start it from the environment or image of "
            "this process",
        )
    return None


def lacking(worker: str, said: Mapping[str, str], packages: Mapping[str, str]) -> UsageError | None:
    """Return which package a worker lacks that this plan needs, and the extra that brings it."""
    for package, extra in packages.items():
        if said.get(package) == "none":
            return UsageError(
                f"Every worker must have {package} for this plan",
                value=f"{worker}: it is not installed",
                cure=f"Install {extra} there, or start it from the environment or image of this "
                "process",
            )
    return None


def unseen(
    worker: str, files: Mapping[Location, str], output: Location, problem: str
) -> UsageError | None:
    """Say what a worker does not see as the driver does."""
    for file, seen in files.items():
        what = seen.removeprefix(UNSEEN) if seen.startswith(UNSEEN) else "another file"
        return UsageError(
            "Every worker must see the inputs as the driver sees them",
            file=file,
            value=f"{worker}: {what}",
            cure=f"Share {file.parent} with every worker under the same path: a network file"
            " system, a volume of the same name"
            if file.is_local
            else LIKE_THE_DRIVER,
        )
    if problem:
        return UsageError(
            "Every worker must write to the output folder that the driver sees",
            file=output,
            value=f"{worker}: {problem}",
            cure="Give an output folder on a file system that all workers share under the same"
            " path, and where they may write"
            if output.is_local
            else LIKE_THE_DRIVER,
        )
    return None


def together(wrong: list[UsageError]) -> UsageError:
    """Return the first error, and how many more workers have one."""
    first, more = wrong[0], len(wrong) - 1
    if not more:
        return first
    value = f"{first.value}; and {more} more worker{'s' if more > 1 else ''}"
    return UsageError(first.rule, file=first.file, value=value, cure=first.cure)


def too_many_deaths(number: int) -> RunError:
    """Return the error of a run in which workers do nothing but die."""
    return RunError(
        "Workers must live while they compute",
        value=f"{number} workers died, and no unit ended well meanwhile",
        cure=f"{MORE_MEMORY}; their logs say more",
    )


def nobody(workers: Workers, paused: int) -> RunError:
    """Return the error of a run in which nobody works: there are no workers, or all are paused."""
    rule = "A worker must be able to work"
    again = "Start workers, then run again"
    if not workers:
        return RunError(
            rule, value="no worker is left", cure=f"{again}; their logs say why they ended"
        )
    if not paused:
        return RunError(rule, value="all workers are closing", cure=again)
    first = next(said for said in workers.values() if said["status"] == "paused")
    what = f"all workers are paused, their memory is near its limit{limit_of(first)}"
    return RunError(rule, value=what, cure=f"{MORE_MEMORY}; see what else they hold")
