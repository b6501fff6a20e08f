"""How long a job may take, as batch systems write it, and how long a worker lives in one."""

from __future__ import annotations

import re

from bkgflow.errors import SettingsError

__all__ = ["lifetime_of", "seconds_of", "written"]

MINUTE = 60

LEAST = 5 * MINUTE
"""Seconds: in a shorter job a worker is not told to leave before its end."""

PART = 0.05
"""Of a job's time: by so much, more or less, its worker leaves earlier than others."""

FORMS = re.compile(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})")


def seconds_of(walltime: str | int) -> int:
    """Return the seconds of a job's time.

    Parameters
    ----------
    walltime : str or int
        "HH:MM:SS", "D-HH:MM:SS", "D-HH", "MM:SS" or minutes, as SLURM takes them; an int is of
        seconds, which is how YAML reads 10:00:00 without quotes.

    Raises
    ------
    SettingsError
        If it is none of these.
    """
    if isinstance(walltime, int) and walltime > 0:
        return walltime
    found = FORMS.fullmatch(str(walltime).strip())
    if found is None or isinstance(walltime, int):
        raise SettingsError(
            "A job's time must be written as the batch system writes it",
            value=f"walltime={walltime}",
            cure='Give, for example, walltime: "04:00:00", or "2-00:00:00" for two days',
        )
    parts = [int(each) for each in found["clock"].split(":")]
    if found["days"] is not None:  # then the clock begins with hours
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return int(found["days"]) * 24 * 60 * MINUTE + (hours * 60 + minutes) * MINUTE + seconds
    hours, minutes, seconds = {
        1: (0, parts[0], 0),
        2: (0, *parts),
        3: tuple(parts),
    }[len(parts)]
    return (hours * 60 + minutes) * MINUTE + seconds


def written(walltime: str | int) -> str:
    """Return a job's time as every batch system takes it: "HH:MM:SS"."""
    minutes, seconds = divmod(seconds_of(walltime), MINUTE)
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def lifetime_of(walltime: str | int) -> tuple[int, int] | None:
    """Return the seconds that a worker lives, and by how much it may be more or less.

    It leaves in order before its job is ended, and not together with all others. None where the
    job is so short that nothing is gained.
    """
    whole = seconds_of(walltime)
    if whole < LEAST:
        return None
    stagger = max(10, int(PART * whole))
    return whole - stagger - max(MINUTE, int(PART * whole)), stagger
