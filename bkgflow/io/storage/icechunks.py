"""Repositories of icechunk: each product is one commit, and readers see the last one.

A URL is ``icechunk://`` and the path or the URL of a repository, whose name ends with
``.icechunk``; what follows is a group in it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from bkgflow.errors import UsageError
from bkgflow.io.storage.many_files import METADATA
from bkgflow.io.storage.reached import ICECHUNK
from bkgflow.io.storage.s3_settings import S3Settings, credentials_of, s3_settings
from bkgflow.io.storage.unwell import ChangedError

if TYPE_CHECKING:
    from icechunk import IcechunkStore, Repository, S3StaticCredentials, Session, Storage

__all__ = [
    "asking",
    "check_installed",
    "checksum_in_commit",
    "commit_group",
    "commit_root",
    "is_icechunk",
    "last_store",
    "place_of",
    "remove_group",
]

SUFFIX = ".icechunk"

BRANCH = "main"

AT_ONCE = 4
"""Objects of a product that are written at a time: each is held in memory."""

TRIES = 200
"""How often a commit is made again on top of what others have committed meanwhile."""

LOOKED_AT = 1000
"""The last commits, which are looked through for that of a product."""

PRODUCT, CHECKSUM = "bkgflow-product", "bkgflow-checksum"
"""Names in the metadata of a commit: of the group, and of the checksum of what was written."""

LOCK = ".bkgflow-commit"
"""File in a repository on a disk that is locked while something is committed."""

CURE = "Give icechunk:///folder/name.icechunk, or icechunk://s3://bucket/name.icechunk"


def is_icechunk(url: str) -> bool:
    """Whether a URL is that of a repository, or of what lies in one."""
    return url.startswith(ICECHUNK)


def place_of(url: str) -> tuple[str, str]:
    """Return the repository's absolute path, or its URL, and the path of what is in it.

    Raises
    ------
    UsageError
        If no part of it ends with ``.icechunk``, or it lies where icechunk does not.
    """
    parts = url.removeprefix(ICECHUNK).rstrip("/").split("/")
    end = next((i for i, part in enumerate(parts) if part.endswith(SUFFIX)), None)
    if end is None:
        rule = f"The name of an icechunk repository must end with {SUFFIX}"
        raise UsageError(rule, file=url, value=parts[-1] or "no name", cure=CURE)
    root, inside = "/".join(parts[: end + 1]), "/".join(parts[end + 1 :])
    scheme, colon, _ = root.partition("://")
    if colon and scheme not in ("s3", "s3a"):
        rule = "An icechunk repository must lie on a disk or in a bucket of S3"
        raise UsageError(rule, file=url, value=f"{scheme}://", cure=CURE)
    return (root if colon else str(Path(root).expanduser().absolute())), inside


def check_installed(url: str) -> None:
    """Refuse a repository where there is no package for it; `UsageError`."""
    if find_spec("icechunk") is None:
        raise UsageError(
            "A repository of icechunk must have the package that writes and reads it",
            file=url,
            value="icechunk is not installed",
            cure="pip install 'bkgflow[icechunk]', for the workers too",
        )


def _storage(root: str, how: S3Settings | None) -> Storage:
    """Return where a repository lies; in a bucket, with what says how S3 is reached."""
    import icechunk

    # It would warn, each time, that commits to a disk are not safe: they are made one by one here.
    icechunk.set_logs_filter(os.environ.get("ICECHUNK_LOG") or "error")
    if how is None:
        return icechunk.local_filesystem_storage(root)
    bucket, _, prefix = root.partition("://")[2].partition("/")
    given = bool(how.key and how.secret) and not how.anonymous
    profile = how.profile if not given and not how.anonymous else ""
    return icechunk.s3_storage(
        bucket=bucket,
        prefix=prefix,
        region=how.region or None,
        endpoint_url=how.endpoint or None,
        allow_http=how.endpoint.startswith("http://"),
        force_path_style=how.path_style,
        access_key_id=how.key if given else None,
        secret_access_key=how.secret if given else None,
        session_token=(how.token or None) if given else None,
        anonymous=how.anonymous or None,
        get_credentials=partial(_credentials, profile) if profile else None,
        from_env=None if given or profile or how.anonymous else True,
        requester_pays=how.pays,
    )


def _credentials(profile: str) -> S3StaticCredentials:
    """Return what a profile has now; icechunk asks again when it needs them again."""
    from icechunk import S3StaticCredentials

    key, secret, token = credentials_of(profile)
    return S3StaticCredentials(key, secret, token or None)


def _how(root: str) -> S3Settings | None:
    """Return how a repository is reached; None on a disk."""
    return s3_settings() if "://" in root else None


@lru_cache(maxsize=16)
def _opened(root: str, how: S3Settings | None) -> Repository:
    """Open a repository, which a process does once; `FileNotFoundError` where there is none."""
    import icechunk

    storage = _storage(root, how)
    if not icechunk.Repository.exists(storage):
        raise FileNotFoundError(errno.ENOENT, "no repository of icechunk", f"{ICECHUNK}{root}")
    return icechunk.Repository.open(storage)


def _repository(root: str) -> Repository:
    return _opened(root, _how(root))


@contextmanager
def asking(url: str) -> Iterator[None]:
    """Say what icechunk says as a system would.

    Raises
    ------
    ChangedError
        If somebody else has committed another version of the same group.
    OSError
        What else is wrong.
    """
    check_installed(url)
    import icechunk

    try:
        yield
    except (icechunk.ConflictError, icechunk.RebaseFailedError) as problem:
        raise ChangedError(errno.EEXIST, str(problem)[:200], url) from problem
    except icechunk.IcechunkError as problem:
        said = " ".join(str(problem).split()) or type(problem).__name__
        raise OSError(errno.EREMOTEIO, f"icechunk answers: {said[:200]}", url) from problem


def last_store(url: str) -> IcechunkStore:
    """Return what a repository holds at its last commit as a store of zarr, to be read.

    Raises
    ------
    OSError
        If there is no repository, or it cannot be read.
    """
    root, _ = place_of(url)
    with asking(url):
        return _repository(root).readonly_session(BRANCH).store


# Transactions.


@contextmanager
def _alone(root: str) -> Iterator[None]:
    """Hold a lock that all who commit to a repository on a disk wait for.

    A file system has no conditions: of two commits at once icechunk would lose one. A bucket has.
    """
    if "://" in root:
        yield
        return
    with (Path(root) / LOCK).open("ab") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)  # given up when it is closed, or the process dies
        yield


def _commit(root: str, session: Session, message: str, **words: str) -> None:
    """Commit on top of what others have committed; groups other than theirs never conflict."""
    import icechunk

    with _alone(root):
        session.commit(
            message,
            {name.replace("_", "-"): word for name, word in words.items()},
            rebase_with=icechunk.ConflictDetector(),
            rebase_tries=TRIES,
        )


def commit_root(url: str, attributes: Mapping[str, object]) -> None:
    """Make a repository with an empty group for all products, where it is not there.

    Raises
    ------
    OSError
        If it cannot be made there.
    """
    import zarr
    from zarr.core.sync import sync

    root, _ = place_of(url)
    with asking(url):
        import icechunk

        repository = icechunk.Repository.open_or_create(_storage(root, _how(root)))
        session = repository.writable_session(BRANCH)
        if not sync(session.store.exists(METADATA)):
            zarr.create_group(session.store, attributes=dict(attributes))
            _commit(root, session, "the group of a campaign's products")


def commit_group(url: str, folder: Path, checksum: str) -> None:
    """Put a group that lies in a folder into a repository, over an older one: one commit.

    Raises
    ------
    ChangedError
        If somebody else has committed the same group meanwhile.
    OSError
        What else is wrong; then nothing of it is seen.
    """
    from zarr.core.sync import sync

    root, group = place_of(url)
    with asking(url):
        session = _repository(root).writable_session(BRANCH)
        sync(_put(session.store, group, folder))
        _commit(root, session, group, bkgflow_product=group, bkgflow_checksum=checksum)


async def _put(store: IcechunkStore, group: str, folder: Path) -> None:
    from zarr.core.buffer import default_buffer_prototype

    buffer = default_buffer_prototype().buffer

    async def put(path: Path) -> None:
        key = f"{group}/{path.relative_to(folder).as_posix()}"
        await store.set(key, buffer.from_bytes(path.read_bytes()))

    if await store.exists(f"{group}/{METADATA}"):
        await store.delete_dir(group)
    # Groups before what is in them, and arrays before their chunks.
    files = sorted(each for each in folder.rglob("*") if each.is_file())
    for path in sorted((p for p in files if p.name == METADATA), key=lambda p: len(p.parts)):
        await put(path)
    chunks = [each for each in files if each.name != METADATA]
    for first in range(0, len(chunks), AT_ONCE):
        await asyncio.gather(*map(put, chunks[first : first + AT_ONCE]))


def remove_group(url: str) -> None:
    """Take a group away, in one commit; older commits still have it.

    Raises
    ------
    OSError
        If there is none, or it cannot be removed.
    """
    from zarr.core.sync import sync

    root, group = place_of(url)
    with asking(url):
        session = _repository(root).writable_session(BRANCH)
        if not group or not sync(session.store.exists(f"{group}/{METADATA}")):
            raise FileNotFoundError(errno.ENOENT, "no such group", url)
        sync(session.store.delete_dir(group))
        _commit(root, session, f"{group} removed")


def checksum_in_commit(url: str) -> str:
    """Return the checksum that the last commit of a group says of it; empty where none does."""
    root, group = place_of(url)
    with asking(url):
        commits = _repository(root).ancestry(branch=BRANCH)
        found = (each.metadata for each in islice(commits, LOOKED_AT))
        return next((str(each[CHECKSUM]) for each in found if each.get(PRODUCT) == group), "")
