"""How S3 is reached by who asks it without fsspec: as fsspec would, from the same places."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from bkgflow.errors import UsageError
from bkgflow.io.storage.reached import s3_options, s3_said

__all__ = ["S3Settings", "credentials_of", "s3_settings"]

ENDPOINT = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGION = ("AWS_REGION", "AWS_DEFAULT_REGION")
"""What the environment calls them, where nothing else says them."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """What fsspec's configuration says, then the environment, then the usual files.

    Attributes
    ----------
    endpoint, region : str
        Empty where nobody says them.
    key, secret, token : str
        Of fsspec's configuration alone; empty where the environment or the usual files have them.
    profile : str
        Of the usual files, whose credentials are to be used; empty for the one that is usual.
    anonymous : bool
        Whether requests are not signed.
    path_style : bool
        Whether the bucket is a part of the path, not of the host's name.
    pays : bool
        Whether the requester pays.
    """

    endpoint: str = ""
    region: str = ""
    key: str = ""
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    profile: str = ""
    anonymous: bool = False
    path_style: bool = False
    pays: bool = False


@cache
def s3_settings() -> S3Settings:
    """Return how S3 is reached; once, as `bkgflow.io.storage.reached.s3_options` does.

    Raises
    ------
    UsageError
        If the environment, or fsspec's configuration, names a profile that is not there.
    """
    said, client = s3_said(), _part(s3_said(), "client_kwargs")
    profile = _word(said, "profile")
    endpoint, region = _found(profile)
    endpoint = _word(said, "endpoint_url") or _word(client, "endpoint_url") or endpoint
    style = _word(_part(_part(said, "config_kwargs"), "s3"), "addressing_style")
    return S3Settings(
        endpoint,
        _word(client, "region_name") or region,
        _word(said, "key", "username") or _word(client, "aws_access_key_id"),
        _word(said, "secret", "password") or _word(client, "aws_secret_access_key"),
        _word(said, "token") or _word(client, "aws_session_token"),
        profile,
        bool(s3_options().get("anon", said.get("anon"))),
        style == "path" or (bool(endpoint) and style != "virtual"),
        bool(said.get("requester_pays")),
    )


def _part(said: Mapping[str, object], name: str) -> Mapping[str, object]:
    found = said.get(name)
    return found if isinstance(found, Mapping) else {}


def _word(said: Mapping[str, object], *names: str) -> str:
    """Return the first of some settings that says something; numbers are words as well."""
    return next((str(said[name]) for name in names if said.get(name) not in (None, "")), "")


def _found(profile: str) -> tuple[str, str]:
    """Return the endpoint and the region that the environment says, or the usual files."""
    endpoint = next((os.environ[name] for name in ENDPOINT if os.environ.get(name)), "")
    region = next((os.environ[name] for name in REGION if os.environ.get(name)), "")
    try:
        from botocore.exceptions import ProfileNotFound
        from botocore.session import Session
    except ImportError:  # icechunk reaches S3 without it
        return endpoint, region
    session = Session(profile=profile or None)
    try:
        usual = session.get_scoped_config()
        services = _part(_part(session.full_config, "services"), _word(usual, "services"))
        in_files = _word(_part(services, "s3"), "endpoint_url") or _word(usual, "endpoint_url")
        endpoint = endpoint or in_files
        return endpoint, session.get_config_variable("region") or region
    except ProfileNotFound as problem:
        raise UsageError(
            "A profile of S3 must be in ~/.aws/config or ~/.aws/credentials",
            value=str(problem),
            cure="Correct its name (AWS_PROFILE, or fsspec's configuration), or add it",
        ) from None


def credentials_of(profile: str) -> tuple[str, str, str]:
    """Return key, secret and token that a profile has now; empty ones where it has none."""
    from botocore.session import Session

    found = Session(profile=profile).get_credentials()
    if found is None:
        return "", "", ""
    now = found.get_frozen_credentials()
    return now.access_key, now.secret_key, now.token or ""
