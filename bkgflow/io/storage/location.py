"""Where files are: a path on this machine's disks, or a URL of an object store."""

from __future__ import annotations

import os
import posixpath
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import core_schema

from bkgflow.errors import BkgflowError, FileError, UsageError
from bkgflow.io.storage.checksum import (
    checksum_in,
    checksum_of,
    checksum_of_many,
    checksum_of_version,
    checksums_wanted,
)
from bkgflow.io.storage.identity import Identity, Stamp
from bkgflow.io.storage.many_files import stamp_of
from bkgflow.io.storage.opening import not_readable, opened
from bkgflow.io.storage.ranges import RangeReader, announce
from bkgflow.io.storage.reached import check_url
from bkgflow.io.storage.reading import unpacked
from bkgflow.io.storage.remote import Remote
from bkgflow.io.storage.versions import Version, expect, found_plain
from bkgflow.io.storage.web import name_of, path_of
from bkgflow.upaths import as_given

__all__ = ["Location", "PathLike", "real_paths"]

if TYPE_CHECKING:
    PathLike = str | os.PathLike[str]
else:
    PathLike = str | os.PathLike  # a parameterized class is none that isinstance takes
"""What users name a file by: a path, a URL, a `Location`."""

LOCAL = ("file://", "local://")
"""How URLs of this machine's files begin: they are paths."""


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Where one file or folder is. Small, picklable, and a plain string in JSON.

    Local files are asked for by direct calls; everything else goes through fsspec, which is
    imported when the first URL is met.

    Attributes
    ----------
    url : str
        ``/absolute/path`` or ``scheme://…``. A model in memory has a bare name.
    """

    url: str

    @classmethod
    def of(cls, where: PathLike) -> Location:
        """Return the location of a path or a URL; a relative path counts from the working folder.

        ``~`` is the home folder. Links are not resolved: a file keeps its name.
        """
        if isinstance(where, Location):
            return where
        text = os.fspath(as_given(where))
        if text.startswith(LOCAL):
            text = text.partition("://")[2]
        if text.startswith("~"):  # --output=~/products: the shell leaves it as it is
            text = os.path.expanduser(text)  # noqa: PTH111 - an unknown user is no error
        if "://" in text:
            check_url(text)
            return cls(text)
        return cls(str(Path(text).absolute()))

    def __str__(self) -> str:
        """Return the path or the URL."""
        return self.url

    def __fspath__(self) -> str:
        """Return the local path; `UsageError` for a URL."""
        if self.is_local:
            return self.url
        raise UsageError(
            "This must be a file on a disk of this machine",
            file=self.url,
            value="a URL",
            cure="Copy it to a disk, and give its path",
        )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: object, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """A string in JSON."""
        made = core_schema.no_info_after_validator_function(cls, core_schema.str_schema())
        return core_schema.json_or_python_schema(
            json_schema=made,
            python_schema=core_schema.union_schema([core_schema.is_instance_schema(cls), made]),
            serialization=core_schema.to_string_ser_schema(),
        )

    # Names.

    @property
    def is_local(self) -> bool:
        """Whether it is a path, not a URL."""
        return "://" not in self.url

    @property
    def path(self) -> Path:
        """The local path; `UsageError` for a URL."""
        return Path(os.fspath(self))

    @property
    def name(self) -> str:
        """What stands behind the last slash."""
        return name_of(self.url)

    @property
    def suffix(self) -> str:
        """The name's last suffix, with its dot; empty where it has none."""
        return PurePosixPath(self.name).suffix

    @property
    def parent(self) -> Location:
        """The folder; of a root, itself; of a bare name, the working folder."""
        if self.is_local:
            folder = os.path.dirname(self.url)  # noqa: PTH120 - text, thousands of times
            return Location(folder or str(Path.cwd()))
        folder, _, name = path_of(self.url).rpartition("/")
        return self if not name or folder.endswith("/") else Location(folder)

    def __truediv__(self, name: str) -> Location:
        """Return the location of what lies in this folder; an absolute name stands for itself."""
        if name.startswith("/") or "://" in name:
            return Location(name)
        return Location(f"{self.url.rstrip('/')}/{name}")

    # Questions to the storage. `exists`, `is_file`, `is_dir` and `listing` raise OSError where it
    # gives no answer: only who asks can say which rule that breaks. The other errors call the
    # file by what it is, ``what``.

    def _there(self) -> Path | Remote:
        """Who answers."""
        return self.path if self.is_local else Remote.of(self.url)

    def exists(self) -> bool:
        """Whether something is there."""
        return self._there().exists()

    def as_path(self) -> Path | Location:
        """Return what users are given: a path, or of a URL the location itself."""
        return self.path if self.is_local else self

    def is_file(self) -> bool:
        """Whether a file is there."""
        return self._there().is_file()

    def is_dir(self) -> bool:
        """Whether a folder is there."""
        return self._there().is_dir()

    def is_same(self, other: Location) -> bool:
        """Whether both are one file or folder, by whatever way they are named."""
        if self == other:
            return True
        try:
            return self.is_local and other.is_local and self.path.samefile(other.path)
        except OSError:
            return False

    def listing(self) -> list[Location]:
        """Return what lies in this folder, in the order of the names."""
        there = self._there()
        names = there.names() if isinstance(there, Remote) else [p.name for p in there.iterdir()]
        return [self / name for name in sorted(names)]

    def real(self) -> str:
        """Return the path with all links resolved: two locations with the same one are one file."""
        return os.path.realpath(self.url) if self.url.startswith("/") else self.url

    def within(self, folder: Location) -> bool:
        """Whether it lies in a folder or below it, with all links resolved."""
        inside, top = self.real(), folder.real().rstrip("/")
        if not self.is_local:  # an object store has no links; "..", it may have
            inside = posixpath.normpath(inside).replace(":/", "://", 1)
        return inside == top or inside.startswith(f"{top}/")

    def identity(self, what: str = "An exposure") -> Identity:
        """Return which version of a file is there now; `FileError` where none is."""
        try:
            if not self.is_local:
                return Remote.of(self.url).identity(self.name)
            found = os.stat(self.url)  # noqa: PTH116 - thousands of times
        except (OSError, ValueError) as problem:  # a name with a NUL or half a character in it
            raise not_readable(self.url, what, problem) from None
        size, mtime_ns = found.st_size, found.st_mtime_ns
        if stat.S_ISDIR(found.st_mode) and (stamp := self.stamp()) is not None:
            size, mtime_ns = stamp
        checksum = checksum_of_version(self.url, size, mtime_ns) if checksums_wanted() else ""
        return Identity(self.name, size, mtime_ns, checksum)

    def size(self) -> int:
        """Return the bytes of a file, or of a product of many; -1 where none can be seen."""
        stamp = self.stamp()
        return -1 if stamp is None else stamp.size

    def stamp(self) -> Stamp | None:
        """Return the size of a file, or product, and its time; None where none is."""
        if not self.is_local:
            with suppress(OSError):
                return Remote.of(self.url).stamp()
            return None
        try:
            found = os.stat(self.url)  # noqa: PTH116
            if stat.S_ISDIR(found.st_mode):
                return stamp_of(self.path)
        except (OSError, ValueError):
            return None
        return Stamp(found.st_size, found.st_mtime_ns)

    def checksum(self) -> str:
        """Return the checksum of a file's bytes; empty where none can be read."""
        if self.is_local:
            return checksum_of(self.url) if self.url.startswith("/") else ""
        remote = Remote.of(self.url)
        try:
            if remote.is_dir():  # a product of many objects, none of them large
                parts = {name: (self / name).url for name in remote.below()}
                return checksum_of_many(
                    remote.sizes_below(), lambda name: BytesIO(Remote.of(parts[name]).fetch())
                )
            with opened(self.url) as stream:
                announce(stream, [(0, self.size())])
                return checksum_in(stream)
        except (BkgflowError, OSError):
            return ""

    def expect(self, identity: Identity) -> None:
        """Have an object be read as the version that was planned with; a file is read as it is."""
        if not self.is_local:
            version = Version(identity.checksum, identity.size, identity.mtime_ns)
            expect(self.url, version)

    # Reading.

    @contextmanager
    def open(self, what: str = "An exposure") -> Iterator[BinaryIO]:
        """Open a file for reading bytes; a gzip file is read through.

        Raises
        ------
        FileError
            If it does not exist, is a folder, or may not be read.
        RunError
            If too many files are open already, and the limit cannot be raised.
        """
        try:
            raw = opened(self.url)
        except (OSError, ValueError) as problem:
            raise not_readable(self.url, what, problem) from None
        if isinstance(raw, RangeReader) and raw.version.plain:
            with raw:
                yield cast(BinaryIO, raw)
            return
        with raw, unpacked(raw, what) as stream:
            if stream is raw and not self.is_local:
                found_plain(self.url)
            yield stream

    @contextmanager
    def as_file(self, what: str = "A file") -> Iterator[Path]:
        """Give a path for libraries that take nothing else: of an object, a copy for a while."""
        if self.is_local:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="bkgflow-") as folder:
            path = Path(folder) / self.name
            path.write_bytes(self.read_bytes(what))
            yield path

    def read_bytes(self, what: str = "A file") -> bytes:
        """Return what is in a file, as it is; `FileError` where it cannot be read."""
        try:
            if not self.is_local:  # as it is now, whatever was seen of it before
                return Remote.of(self.url).fetch()
            with opened(self.url) as stream:
                return stream.read()
        except (OSError, ValueError) as problem:
            raise not_readable(self.url, what, problem) from None

    def read_text(self, what: str = "A file") -> str:
        """Return what is in a UTF-8 file; `FileError` where it cannot be read or is none."""
        raw = self.read_bytes(what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            rule, cure = f"{what} must be a text file", "Give the right file"
            raise FileError(rule, file=self, value="not UTF-8 text", cure=cure) from None

    def make_folder(self) -> None:
        """Make a folder and those above it, where they are not there; `OSError` where it cannot.

        An object store has none to make.
        """
        if self.is_local:
            self.path.mkdir(parents=True, exist_ok=True)


def real_paths(locations: Iterable[Location]) -> list[str]:
    """Return `Location.real` of each; a folder that holds many of them is resolved once."""
    folders: dict[str, str] = {}

    def real(location: Location) -> str:
        folder, name = os.path.split(location.url)
        if not folder.startswith("/") or name in ("", ".", "..") or os.path.islink(location.url):  # noqa: PTH114
            return location.real()
        if folder not in folders:
            folders[folder] = Location(folder).real()
        return os.path.join(folders[folder], name)  # noqa: PTH118

    return [real(each) for each in locations]
