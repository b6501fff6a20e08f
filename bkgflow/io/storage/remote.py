"""Files behind a URL: the few questions that locations ask of fsspec, and of S3 beneath it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bkgflow.io.storage.identity import Identity, Stamp
from bkgflow.io.storage.many_files import grouped
from bkgflow.io.storage.reached import S3, system_of
from bkgflow.io.storage.told import Answer, tells_version, version_of
from bkgflow.io.storage.unwell import ChangedError, Wrong, persistently, wrong_with
from bkgflow.io.storage.versions import Version, expect, expected, listed, take_listed
from bkgflow.io.storage.web import is_web, ranged

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

__all__ = ["Remote"]

T = TypeVar("T")

FRESH = 5.0
"""Seconds for which a bucket that gave an answer counts as one that is there."""

_asked: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Remote:
    """A URL taken apart: who has the file, and its name there; asked as a path is."""

    url: str
    system: AbstractFileSystem
    path: str

    @classmethod
    def of(cls, url: str) -> Remote:
        """Find who has a URL's files; see `system_of`."""
        return cls(url, *system_of(url))

    @property
    def is_s3(self) -> bool:
        """Whether it speaks the protocol of S3, which knows conditions."""
        names = self.system.protocol
        return bool(set(S3) & set((names,) if isinstance(names, str) else names))

    @property
    def parts(self) -> tuple[str, str]:
        """The bucket and the key."""
        bucket, _, key = self.path.partition("/")
        return bucket, key

    def ask(self, call: Callable[[], T]) -> T:
        """Make a request again and again, see `persistently`."""
        return persistently(call, self.url)

    def s3(self, method: str, **words: object) -> Answer:
        """Call a method of the S3 client for this object, once."""
        bucket, key = self.parts
        found: Answer = self.system.call_s3(method, Bucket=bucket, Key=key, **words)
        return found

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do what is asynchronous in fsspec's own thread."""
        from fsspec.asyn import sync

        found: T = sync(self.system.loop, work)
        return found

    # Questions.

    def info(self) -> Answer:
        """Return what fsspec knows of it, asked anew; `OSError` where nothing is there."""

        def asked() -> Answer:
            self.system.invalidate_cache(self.path)
            found: Answer = self.system.info(self.path)
            return found

        return self.ask(lambda: self.explained(asked))

    def explained(self, call: Callable[[], T]) -> T:
        """Make a request; of one that S3 refuses without a word, find out why.

        An answer to HEAD has no body: whether the secret is wrong or the bucket is gone, only a
        listing says.
        """
        try:
            return call()
        except Exception as problem:
            if self.is_s3 and wrong_with(problem)[0] in (Wrong.REFUSED, Wrong.NOT_THERE):
                self._ask_bucket()
            raise

    def _ask_bucket(self) -> None:
        """Have the bucket itself say if nothing can be had of it, unless it was asked just now."""
        bucket = self.parts[0]
        if time.monotonic() - _asked.get(bucket, -FRESH) < FRESH:
            return
        try:
            self.system.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1)
        except Exception as problem:
            if wrong_with(problem)[0] in (Wrong.NO_SECRET, Wrong.NO_BUCKET):
                raise
        _asked[bucket] = time.monotonic()

    def kind(self) -> str:
        """Return what is there: "file", "directory", or nothing."""
        try:
            return str(self.info()["type"])
        except FileNotFoundError:
            return ""

    def exists(self) -> bool:
        """Whether something is there."""
        return bool(self.kind())

    def is_file(self) -> bool:
        """Whether a file is there."""
        return self.kind() == "file"

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        return self.kind() == "directory"

    def listing(self, *, below: bool = False) -> list[Answer]:
        """Return what fsspec knows of everything in a folder; of all files below it, if asked."""

        def asked() -> list[Answer]:
            self.system.invalidate_cache(self.path)
            if below:
                return list(self.system.find(self.path, detail=True).values())
            return list(self.system.ls(self.path, detail=True))

        found = self.ask(lambda: self.explained(asked))
        own = self.path.rstrip("/")
        found = [each for each in found if each["name"].rstrip("/") != own]
        start = len(own) + 1
        for each in found:
            if each["type"] == "file" and tells_version(each):
                listed(f"{self.url.rstrip('/')}/{each['name'][start:]}", version_of(each))
        return found

    def names(self, *, files: bool = False) -> list[str]:
        """Return the names of what lies in a folder, or of the files alone."""
        found = [each for each in self.listing() if not files or each["type"] == "file"]
        return [each["name"].rstrip("/").rpartition("/")[2] for each in found]

    def below(self) -> list[str]:
        """Return the paths of all files below a folder, as they follow its own, in order."""
        start = len(self.path.rstrip("/")) + 1
        return sorted(each["name"][start:] for each in self.listing(below=True))

    def sizes_below(self) -> dict[str, int]:
        """Return the size of every file below a folder, by its path as it follows the folder's."""
        start = len(self.path.rstrip("/")) + 1
        return {each["name"][start:]: int(each["size"] or 0) for each in self.listing(below=True)}

    def matching(self) -> list[str]:
        """Return the URLs of the objects that fit this one, a pattern, in order; none hidden."""
        scheme = self.url.partition("://")[0]

        def asked() -> list[str]:
            self.system.invalidate_cache()
            return sorted(self.system.glob(self.path))

        found = self.ask(lambda: self.explained(asked))
        shown = (each for each in found if "/." not in each)
        # A web server's files are called by whole URLs.
        return [each if is_web(each) else f"{scheme}://{each.lstrip('/')}" for each in shown]

    def stamps(self) -> dict[str, Stamp]:
        """Return the size and the time of every file in a folder, by its name.

        Products that are groups of zarr count as one file each.
        """
        return grouped(self._stamps_below())

    def _stamps_below(self) -> dict[str, Stamp]:
        start, found = len(self.path.rstrip("/")) + 1, dict[str, Stamp]()
        for each in self.listing(below=True):
            version = version_of(each)
            found[each["name"][start:]] = Stamp(version.size, version.mtime_ns)
        return found

    def stamp(self) -> Stamp:
        """Return the size and the time of a file, or of a product that is a group of zarr.

        Raises
        ------
        OSError
            If there is none.
        """
        try:
            version = self.version()
        except IsADirectoryError:
            name = self.path.rstrip("/").rpartition("/")[2]
            below = {f"{name}/{path}": each for path, each in self._stamps_below().items()}
            if (stamp := grouped(below).get(name)) is None:
                raise
            return stamp
        return Stamp(version.size, version.mtime_ns)

    def version(self) -> Version:
        """Return which version of a file is there; `OSError` where none is."""
        version = take_listed(self.url)
        if version is None:
            found = self.info()
            if found["type"] == "directory":
                raise IsADirectoryError(f"{self.url} is a folder")
            return version_of(found)
        return version

    def identity(self, name: str) -> Identity:
        """Return which version of a file is there; from now on it is opened as this one."""
        try:
            version = self.version()
        except IsADirectoryError:  # a product of many objects, each of which has its own
            return Identity(name, *self.stamp())
        expect(self.url, version)
        return Identity(name, version.size, version.mtime_ns, version.etag)

    def remove(self) -> None:
        """Take an object away, if it is there."""

        def once() -> None:
            if self.is_s3:
                self.s3("delete_object")
            else:
                with suppress(FileNotFoundError):
                    self.system.rm_file(self.path)

        self.ask(once)

    # Reading.

    def fetch(self) -> bytes:
        """Return all of an object as it is now, in one request: of small ones."""

        if self.is_s3:
            return self.fetch_with_answer()[0]
        return bytes(self.ask(lambda: self.system.cat_file(self.path)))

    def fetch_with_answer(self) -> tuple[bytes, Answer]:
        """Do `fetch`, and return what S3 says with it."""
        return self.ask(lambda: self.explained(lambda: self.run(self._get_all)))

    async def _get_all(self) -> tuple[bytes, Answer]:
        bucket, key = self.parts
        answer = await self.system._call_s3("get_object", Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            data: bytes = await body.read()
        return data, answer

    def opened_as(self) -> Version:
        """Return the version to be read: the one that was seen, or what is there now.

        Where the store cannot be asked for a version, it is compared here.

        Raises
        ------
        ChangedError
            If another one is there.
        """
        version = expected(self.url)
        if version is None:
            version = self.version()
        elif not (self.is_s3 and version.etag):
            found = version_of(self.info())
            if not found.is_same(version):
                raise ChangedError(f"another version is there than was seen: {found.size} bytes")
        if is_web(self.url) and not version.size and self.info()["size"] is None:
            raise OSError(errno.ENOTSUP, "the server does not tell how large it is", self.url)
        return version

    def read(self, start: int, stop: int, version: Version) -> bytes:
        """Return a range of bytes of a version, in one request.

        Raises
        ------
        ChangedError
            If another version is there now.
        """
        return self.ask(lambda: self.explained(lambda: self._read(start, stop, version)))

    def _read(self, start: int, stop: int, version: Version) -> bytes:
        if start >= stop:
            return b""
        data: bytes
        if is_web(self.url):
            data = self.run(lambda: ranged(self.system, self.path, start, stop, version.size))
        elif not self.is_s3:
            data = self.system.cat_file(self.path, start=start, end=stop)
        else:
            data = self.run(lambda: self._get(start, stop, version.etag))
        if len(data) != stop - start:  # the connection was cut, and nobody has said so
            raise ConnectionError(f"{len(data)} bytes of {stop - start}")
        return data

    async def _get(self, start: int, stop: int, etag: str) -> bytes:
        bucket, key = self.parts
        words = {"IfMatch": f'"{etag}"'} if etag else {}
        answer = await self.system._call_s3(
            "get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{stop - 1}", **words
        )
        async with answer["Body"] as body:
            data: bytes = await body.read()
        return data
