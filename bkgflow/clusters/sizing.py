"""Memory of workers: what a size must be, and how many fit, each with a plan's largest task."""

from __future__ import annotations

import os
from typing import NamedTuple

from bkgflow.errors import SettingsError

__all__ = ["Fit", "bytes_of", "check_size", "fitted", "mebibytes_of", "needed"]

MIB = 1 << 20

LEAST = 256 * MIB
"""Bytes: with less a process cannot even import what it needs."""

BASE = 512 * MIB
"""Bytes that a worker process holds beside its tasks: libraries, kernels, what is read ahead."""

TASKS = 2
"""Of the largest task's memory: one that is computed, and what was computed and is not yet
written, or waits for others."""

PAUSE = 0.8
"""Part of its limit at which dask lets a worker begin nothing more."""


class Fit(NamedTuple):
    """Workers as a plan needs them.

    Attributes
    ----------
    memory : str
        The limit of each, as dask writes it.
    why : str
        In a few words.
    """

    workers: int
    memory: str
    why: str


def needed(task: int) -> int:
    """Return the memory limit in bytes with which a worker can do tasks of so many bytes."""
    return int((BASE + TASKS * task) / PAUSE)


def fitted(
    task: int, workers: int | None, memory: int | None = None, cores: int | None = None
) -> Fit | None:
    """Return workers that have room for tasks of so many bytes; None where dask's own have.

    Parameters
    ----------
    workers : int or None
        How many were asked for: then there are as many, whatever fits.
    memory, cores : int, optional
        What the machine has; without them, what dask finds, which knows limits of containers.
    """
    if memory is None:
        from distributed.system import MEMORY_LIMIT

        memory = int(MEMORY_LIMIT)
    cores = cores or os.cpu_count() or 1
    of_dask = memory // cores
    if needed(task) <= of_dask:
        return None
    number = workers or max(1, min(cores, memory // needed(task)))
    each = memory // number
    if each <= of_dask:
        return None
    why = f"{number} of {cores} workers" if number < cores and workers is None else "workers"
    return Fit(
        number, f"{each}B", f"{why} of {each // MIB} MiB: a task holds up to {task // MIB} MiB"
    )


def bytes_of(size: str) -> int:
    """Return the bytes of a size as dask writes it ("4GiB"); 0 where it is none."""
    from dask.utils import parse_bytes

    try:
        return max(0, int(parse_bytes(size)))
    except (ValueError, OverflowError):
        return 0


def mebibytes_of(size: str) -> int:
    """Return the MiB of a size, as whole ones that it has room in."""
    return -(-bytes_of(size) // MIB)


def check_size(rule: str, name: str, size: str) -> None:
    """Refuse a size in which no process has room.

    Parameters
    ----------
    rule : str
        What must be a size.
    name : str
        Of the setting.

    Raises
    ------
    SettingsError
        If it is no size, or too small.
    """
    if bytes_of(size) < LEAST:
        raise SettingsError(
            f"{rule} must be a size of at least {LEAST // MIB} MiB",
            value=f"{name}={size}",
            cure="Give a size such as 4GiB",
        )
