"""Objects that appear in a store whole and under a condition, and those that go.

S3 has conditions: a new object must not be there yet, an old one must be the version that was
seen. Of other stores behind fsspec the first is asked for where they know it; the second is looked
at just before.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

from bkgflow.errors import OutputError
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.told import Answer, version_of
from bkgflow.io.storage.unwell import ChangedError
from bkgflow.io.storage.web import is_web

__all__ = [
    "ANY",
    "CHECKSUM",
    "Head",
    "abort_uploads",
    "copy",
    "digest_of",
    "fetch",
    "head",
    "put",
    "put_file",
    "uploads",
    "writing_object",
]

ANY = "*"
"""Instead of an ETag: whatever is there is replaced."""

WHOLE = 32 << 20
"""Bytes of a file that is put in one request; a larger one goes in parts."""

PART = 16 << 20
"""Bytes of a part, unless there would be too many."""

MOST_PARTS = 9_000

AT_ONCE = 4
"""Parts that are under way at a time."""

TOKEN, CHECKSUM = "bkgflow-draft", "bkgflow-checksum"
"""Names of an object's own metadata: which draft it was, and the checksum of its bytes."""

MOST_SUMS = 1 << 10

_sums: OrderedDict[str, tuple[str, str]] = OrderedDict()
"""What this process has put into stores whose objects have no metadata of their own: by URL, the
version and its checksum. It is asked for when an object has just appeared."""

CHANGED_RULE = "A product must not be written over what somebody else has written meanwhile"


@dataclass(frozen=True, slots=True)
class Head:
    """What a store says of an object.

    Attributes
    ----------
    age : float
        Seconds since it was written, by the store's own clock.
    words : mapping
        Its own metadata.
    """

    etag: str
    size: int
    age: float
    words: Mapping[str, str]


def head(remote: Remote) -> Head | None:
    """Return what a store says of an object; None where there is none."""
    try:
        if not remote.is_s3:
            found = remote.info()
            if found["type"] != "file":
                return None
            version = version_of(found)  # as it is now, whatever a listing has said before
            name = version.etag or f"{version.size}-{version.mtime_ns}"
            age = datetime.now(UTC).timestamp() - version.mtime_ns / 1e9
            return Head(name, version.size, max(0.0, age), _words_of(remote.url, name))
        answer = remote.ask(lambda: remote.explained(lambda: remote.s3("head_object")))
    except FileNotFoundError:
        return None
    return _head_of(answer)


def _head_of(answer: Answer) -> Head:
    said = answer["ResponseMetadata"]["HTTPHeaders"]
    now = parsedate_to_datetime(said["date"]) if "date" in said else datetime.now(UTC)
    age = (now - answer["LastModified"]).total_seconds()
    return Head(answer["ETag"].strip('"'), answer["ContentLength"], age, answer["Metadata"])


def fetch(remote: Remote) -> tuple[bytes, Head] | None:
    """Return all of a small object, and what the store says of it; None where there is none."""
    if not remote.is_s3:
        found = head(remote)
        return None if found is None else (remote.fetch(), found)
    try:
        data, answer = remote.fetch_with_answer()
    except FileNotFoundError:
        return None
    return data, _head_of(answer)


def put(remote: Remote, data: bytes, before: str | None = ANY, checksum: str = "") -> str:
    """Make an object appear, whole; return its ETag.

    Parameters
    ----------
    before : str or None
        The ETag of the object that it replaces; None where none may be there; or `ANY`.

    Raises
    ------
    ChangedError
        If that does not hold any more; then nothing appears.
    OSError
        What else the store says.
    """
    if not remote.is_s3:
        etag = _put_plainly(remote, data, before)
        _remember(remote.url, etag, checksum)
        return etag
    words = {TOKEN: uuid4().hex, CHECKSUM: checksum}

    def once() -> str:
        answer = remote.s3("put_object", Body=data, Metadata=words, **_condition(before))
        return str(answer["ETag"]).strip('"')

    return _own(remote, words[TOKEN], lambda: remote.ask(lambda: remote.explained(once)))


def _own(remote: Remote, token: str, call: Callable[[], str]) -> str:
    """Make a conditional request; one that was done, but whose answer was lost, counts."""
    try:
        return call()
    except ChangedError:
        found = head(remote)
        if found is not None and found.words.get(TOKEN) == token:
            return found.etag
        raise


def _words_of(url: str, etag: str) -> dict[str, str]:
    known, checksum = _sums.get(url, ("", ""))
    return {CHECKSUM: checksum} if checksum and known == etag else {}


def _remember(url: str, etag: str, checksum: str) -> None:
    if checksum:
        _sums.pop(url, None)
        _sums[url] = etag, checksum
    while len(_sums) > MOST_SUMS:
        with suppress(KeyError):  # another thread was faster
            _sums.popitem(last=False)


def copy(one: Remote, other: Remote) -> None:
    """Have the store copy an object within itself, with what it says of it."""
    other.ask(lambda: other.system.cp_file(one.path, other.path))
    if not other.is_s3 and (said := head(one)) and CHECKSUM in said.words:
        there = head(other)
        _remember(other.url, there.etag if there else "", said.words[CHECKSUM])


def _condition(before: str | None) -> dict[str, str]:
    if before is None:
        return {"IfNoneMatch": "*"}
    # Without quotes: older gateways of Ceph compare them too, and others take them off.
    return {} if before == ANY else {"IfMatch": before}


def _put_plainly(remote: Remote, data: bytes, before: str | None) -> str:
    tried = 0

    def created() -> bool:
        """Make an object where there is none; false where the store knows no such condition."""
        nonlocal tried
        tried += 1
        try:
            remote.system.pipe_file(remote.path, data, mode="create")
        except FileExistsError:
            # One that was made, but whose answer was lost, counts.
            if tried == 1 or remote.system.cat_file(remote.path) != data:
                raise ChangedError(f"{remote.url} is there already") from None
        except (TypeError, NotImplementedError):
            return False
        return True

    # fsspec has web servers write over what is there, whatever it is told.
    if before is not None or is_web(remote.url) or not remote.ask(created):
        _check_same(remote, before)
        remote.ask(lambda: remote.system.pipe_file(remote.path, data))
    found = head(remote)
    return found.etag if found else ""


def _check_same(remote: Remote, before: str | None) -> None:
    if before == ANY:
        return
    found = head(remote)
    if (found.etag if found else None) != before:
        raise ChangedError(f"{remote.url} was written by somebody else")


def put_file(remote: Remote, path: Path, before: str | None, checksum: str = "") -> str:
    """Make a file appear as an object, as `put` does; a large one in parts."""
    size = path.stat().st_size
    if not remote.is_s3 or size <= WHOLE:
        return put(remote, path.read_bytes(), before, checksum)
    token = uuid4().hex
    words = {TOKEN: token, CHECKSUM: checksum}
    upload = remote.ask(
        lambda: remote.explained(lambda: remote.s3("create_multipart_upload", Metadata=words))
    )["UploadId"]
    try:
        parts = _parts(remote, path, size, upload)
        # Not every store holds the condition of this request: then it is looked at just before.
        _check_same(remote, before)

        def once() -> str:
            answer = remote.s3(
                "complete_multipart_upload",
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                **_condition(before),
            )
            return str(answer["ETag"]).strip('"')

        def completed() -> str:
            try:
                return remote.ask(once)
            except FileNotFoundError as problem:  # an upload that is there no more may be done
                raise ChangedError(str(problem)) from problem

        return _own(remote, token, completed)
    except BaseException:
        with suppress(Exception):  # what is left of it, the next run takes away
            remote.s3("abort_multipart_upload", UploadId=upload)
        raise


def _parts(remote: Remote, path: Path, size: int, upload: str) -> list[dict[str, object]]:
    """Upload a file's parts, some side by side; return what completes them."""
    length = max(PART, math.ceil(size / MOST_PARTS))

    def send(number: int) -> dict[str, object]:
        with path.open("rb") as stream:
            stream.seek((number - 1) * length)
            data = stream.read(length)
        answer = remote.ask(
            lambda: remote.s3("upload_part", UploadId=upload, PartNumber=number, Body=data)
        )
        return {"ETag": answer["ETag"], "PartNumber": number}

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="bkgflow-put") as pool:
        return list(pool.map(send, range(1, math.ceil(size / length) + 1)))


def uploads(remote: Remote) -> list[tuple[str, str]]:
    """Return what was begun in parts below a folder and never ended: (key, upload) each."""
    if not remote.is_s3:
        return []
    bucket, prefix = remote.parts
    answer: Answer = remote.ask(
        lambda: remote.system.call_s3(
            "list_multipart_uploads", Bucket=bucket, Prefix=f"{prefix.rstrip('/')}/"
        )
    )
    return [(each["Key"], each["UploadId"]) for each in answer.get("Uploads") or ()]


def abort_uploads(remote: Remote) -> int:
    """Give up what was begun in parts below a folder; return how many that were."""
    found, bucket = uploads(remote), remote.parts[0]
    for key, upload in found:
        with suppress(Exception):
            remote.system.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload)
    return len(found)


@contextmanager
def writing_object(url: str, kind: type[OutputError] = OutputError) -> Iterator[None]:
    """Say of what a store refuses to take which object it was."""
    try:
        yield
    except ChangedError:
        raise OutputError(
            CHANGED_RULE,
            file=url,
            value="another object is there than when it was begun",
            cure="See who writes there, then run again, or give another output folder",
        ) from None
    except OSError as problem:
        raise not_writable(url, problem, kind) from problem


def digest_of(url: str) -> str:
    """Return a short name of a URL, for names of files."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]
