"""What a store tells of an object, each in its own words, as a version."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from zlib import crc32

from bkgflow.io.storage.versions import Version

__all__ = ["Answer", "tells_version", "version_of"]

Answer = dict[str, Any]
"""What fsspec and S3 answer, by their own names."""

CHECKSUMS = ("ETag", "etag", "md5Hash")
TIMES = ("mtime", "LastModified", "last_modified", "Last-Modified", "updated", "created")
"""Where the file systems of fsspec say which version of a file they have."""


def tells_version(found: Answer) -> bool:
    """Whether fsspec tells which version of a file is there; web servers list names alone."""
    told = any(found.get(key) for key in (*CHECKSUMS, *TIMES))
    return told and found.get("size") is not None


def version_of(found: Answer) -> Version:
    """Return the version that fsspec tells of a file."""
    checksum = next((str(found[key]) for key in CHECKSUMS if found.get(key)), "")
    checksum = checksum.strip('"')
    moment = next((found[key] for key in TIMES if found.get(key)), 0)
    written = _nanoseconds(moment)
    if "LastModified" in found:
        # S3 tells seconds of an object, and of a listing maybe more. Below them the ETag counts:
        # two versions of one second have two times.
        written += crc32(checksum.encode()) % 10**9 - written % 10**9
    return Version(checksum, int(found["size"] or 0), written)


def _nanoseconds(moment: float | str | datetime) -> int:
    """Return a time as the file system tells it in nanoseconds since 1970."""
    if isinstance(moment, str):
        moment = _parsed(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else moment
    return round(seconds * 1e9)


def _parsed(text: str) -> float | datetime:
    """Return a time as ISO 8601 or HTTP has it; 0 where it is none."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        with suppress(ValueError):
            return parse(text)
    return 0
