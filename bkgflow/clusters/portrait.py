"""What a worker says of itself: who it is, what is installed there, what it sees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distributed import Client

from bkgflow.clusters.introduce import introduce
from bkgflow.clusters.skew import PACKAGES
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.trial import look_into
from bkgflow.version import VERSION

__all__ = ["Portrait", "portrait_of"]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A worker.

    Attributes
    ----------
    memory, threads : int
        Its limit in bytes, 0 where it has none; threads that compute.
    versions : mapping
        Of packages, there.
    others : mapping
        Those that are not as here: there, and here.
    folders : mapping
        What it sees in some folders.
    """

    worker: str
    host: str
    memory: int
    threads: int
    versions: Mapping[str, str]
    others: Mapping[str, tuple[str, str]]
    folders: Mapping[Location, str]


def portrait_of(client: Client, folders: Sequence[Location] = ()) -> Portrait:
    """Ask one of the workers of a cluster.

    Raises
    ------
    OSError, TimeoutError
        If it does not answer.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    address, said = next(iter(workers.items()))
    here, _ = introduce(VERSION, PACKAGES, [])
    there, _ = client.run(introduce, VERSION, PACKAGES, [], workers=[address])[address]
    seen = client.run(_looked, list(folders), workers=[address])[address]
    others = {
        name: (there.get(name, "none"), version)
        for name, version in here.items()
        if there.get(name) != version
    }
    memory, threads = int(said["memory_limit"] or 0), int(said["nthreads"])
    host = str(said["host"])
    return Portrait(address, host, memory, threads, there, others, seen)


def _looked(folders: Sequence[Location]) -> dict[Location, str]:
    return {each: look_into(each) for each in folders}
