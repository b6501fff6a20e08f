"""What bkgflow itself tells an engine: options that would replace it without a word are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bkgflow.errors import SettingsError

__all__ = ["OF_JOBS", "OF_PODS", "OF_SCHEDULERS", "OF_WORKERS", "refuse_ours"]

OF_JOBS = {
    "env_extra": "prologue",
    "job_extra": "directives",
    "local_directory": "scratch",
    "log_directory": "logs",
    "n_workers": "workers",
    "nanny": "",
    "project": "account",
    "protocol": "tls",
    "resource_spec": "resources",
    "security": "tls",
}
"""Settings by the names that dask-jobqueue has for them; none where bkgflow relies on its own."""

OF_WORKERS = {
    "--interface": "interface",
    "--local-directory": "scratch",
    "--memory-limit": "memory",
    "--nanny": "",
    "--no-nanny": "",
    "--nthreads": "cores and processes",
    "--nworkers": "processes",
    "--protocol": "tls",
}
"""Likewise, by the words of the command that starts a worker."""

OF_SCHEDULERS = {"interface": "interface", "protocol": "tls", "security": "tls"}
"""Likewise, of a scheduler."""

OF_PODS = {
    "custom_cluster_spec": "",
    "env": "environment",
    "n_workers": "workers",
    "quiet": "",
    "resources": "cores and memory",
    "shutdown_on_close": "",
    "worker_command": "",
}
"""Likewise, of dask-kubernetes."""


def refuse_ours(given: Iterable[str], ours: Mapping[str, str], where: str = "options") -> None:
    """Refuse options that are settings of bkgflow, under the same name or another.

    Parameters
    ----------
    ours : mapping
        Settings by the names of options; empty where there is none, but bkgflow relies on it.
    where : str
        Where the options stand.
    """
    for name in given:
        if name in ours:
            cure = f"Give {ours[name]} in its place, as a setting of the cluster"
            raise SettingsError(
                "An option of an engine must be none that bkgflow tells it by itself",
                value=f"{where}: {name}",
                cure=cure if ours[name] else "Leave it out",
            )
