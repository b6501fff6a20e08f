"""How stores are reached: credentials, endpoints, limits; and URLs that nothing may repeat."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bkgflow.errors import UsageError
from bkgflow.texts import has_password, without_password

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = [
    "AT_ONCE",
    "ICECHUNK",
    "S3",
    "check_url",
    "forget_stores",
    "s3_options",
    "s3_said",
    "system_of",
]

S3 = ("s3", "s3a")

ICECHUNK = "icechunk://"
"""How URLs of repositories of icechunk begin; then comes a path, or another URL."""

AT_ONCE = 64
"""Connections to a store that a process may have."""

CONFIG: Mapping[str, object] = {
    # Retries are bkgflow's own: several on top of each other would wait for minutes.
    "retries": {"total_max_attempts": 1, "mode": "standard"},
    "max_pool_connections": AT_ONCE,
    "connect_timeout": 5,
    "read_timeout": 30,
    # Stores other than Amazon's own refuse the checksums that newer clients send unasked.
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
"""Of the S3 client, where fsspec's configuration does not say otherwise."""


def check_url(url: str) -> None:
    """Refuse a URL with a password: plans, logs and products would carry it.

    Raises
    ------
    UsageError
        If it has one; it is not said which.
    """
    inner = url.removeprefix(ICECHUNK)
    if has_password(inner):
        raise UsageError(
            "A URL must have no password in it",
            value=without_password(inner)[:200],
            cure="Put credentials into the environment (AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY) or into ~/.aws/credentials",
        )


def system_of(url: str) -> tuple[AbstractFileSystem, str]:
    """Return who has a URL's file, and its name there; fsspec keeps one for each scheme.

    Raises
    ------
    UsageError
        If nobody knows the scheme, its package is not installed, or a password is in it.
    """
    check_url(url)
    if url.startswith(ICECHUNK):
        from bkgflow.io.storage.icechunk_files import IcechunkFiles

        return IcechunkFiles(), url.removeprefix(ICECHUNK)
    import fsspec  # takes a tenth of a second, and most programs lie on disks

    try:
        options = s3_options() if url.partition("://")[0] in S3 else {}
        system, path = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as problem:
        raise UsageError(
            "A URL must have a scheme that fsspec knows",
            file=url,
            value=str(problem),
            cure="Correct the URL, or install the package that the message names "
            "(for s3://: pip install 'bkgflow[s3]')",
        ) from None
    if options:
        system.retries = 1
    return system, path


def forget_stores() -> None:
    """Ask the environment and the usual files anew how stores are reached."""
    import fsspec

    from bkgflow.io.storage.s3_settings import s3_settings

    s3_options.cache_clear()
    s3_settings.cache_clear()
    for scheme in S3:
        fsspec.config.conf.pop(scheme, None)
    fsspec.config.set_conf_files(str(Path.home() / ".config" / "fsspec"), fsspec.config.conf)
    fsspec.config.set_conf_env(fsspec.config.conf)
    if (known := fsspec.registry.get("s3")) is not None:
        for system in list(known._cache.values()):
            _close(system)
        known.clear_instance_cache()


def _close(system: AbstractFileSystem) -> None:
    """Close the connections of a file system that zarr has asked, in the thread that it asks from.

    fsspec closes those of its own thread itself; others would complain when they are collected.
    """
    asking = sys.modules.get("zarr.core.sync")
    if asking is not None and system.asynchronous and system._s3 is not None:
        with suppress(Exception):  # that thread may have ended
            asking.sync(system._s3.close(), timeout=2)


def s3_said() -> dict[str, Any]:
    """Return what fsspec's configuration says of S3: that of its environment and of its files."""
    from fsspec.config import conf

    return {name: value for scheme in S3 for name, value in conf.get(scheme, {}).items()}


@cache
def s3_options() -> dict[str, Any]:
    """Return how s3fs is made: as fsspec's configuration says, and else anonymously or not."""
    said = s3_said()
    options: dict[str, Any] = {
        "config_kwargs": {**CONFIG, **said.get("config_kwargs", {})},
        "use_listings_cache": False,
    }
    named = {*said, *said.get("client_kwargs", {})}
    if not ({"anon", "key", "username", "profile", "session", "aws_access_key_id"} & named):
        options["anon"] = not _has_credentials()
    elif isinstance(anonymous := said.get("anon"), str):  # as the environment has it
        options["anon"] = anonymous.strip().lower() in {"1", "true", "yes", "on"}
    return options


def _has_credentials() -> bool:
    """Whether the environment, the usual files, or the machine itself has credentials."""
    try:
        from botocore.session import Session
    except ImportError:  # fsspec says what is missing
        return True
    return Session().get_credentials() is not None
