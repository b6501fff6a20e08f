"""Locations and publishing: what every storage must do, on a disk and in memory."""

import copy
import errno
import gzip
import os
import pickle
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bkgflow.errors import FileError, OutputError, UsageError
from bkgflow.io.storage.lists import split_list
from bkgflow.io.storage.location import Location, real_paths
from bkgflow.io.storage.publish import (
    LocalPublish,
    MemoryPublish,
    check_writable,
    whole,
    write_text,
    writing,
)
from bkgflow.io.storage.remote_publish import RemotePublish
from tests.helpers.stores import moto_port, store

__all__ = ["moto_port", "store"]


def on_disk(folder, request):
    return Location.of(folder)


def in_memory(folder, request):
    import fsspec

    system = fsspec.filesystem("memory")
    root = Location.of(f"memory://{request.node.originalname}")
    system.mkdir(root.url)
    request.addfinalizer(lambda: system.rm(root.url, recursive=True))
    return root


@pytest.fixture(params=[on_disk, in_memory])
def folder(request, tmp_path):
    return request.param(tmp_path, request)


def put(location, data):
    """Have a storage hold a file, past the code under test."""
    if location.is_local:
        location.path.parent.mkdir(parents=True, exist_ok=True)
        location.path.write_bytes(data)
    else:
        import fsspec

        fsspec.filesystem("memory").pipe_file(location.url, data)
    return location


# Locations, wherever they are.


def test_what_is_there_can_be_asked_for(folder):
    file = put(folder / "a_rate.fits", b"abc")
    assert file.exists() and file.is_file() and not file.is_dir()
    assert folder.exists() and folder.is_dir() and not folder.is_file()
    assert not (folder / "b_rate.fits").exists()
    assert file.read_bytes() == b"abc" and file.read_text() == "abc"
    with file.open() as stream:
        assert stream.seek(0, 2) == 3
        stream.seek(1)
        assert stream.read() == b"bc"


def test_what_is_no_text_is_said(folder):
    file = put(folder / "a.json", b"\xff")
    with pytest.raises(FileError, match="A list must be a text file") as caught:
        file.read_text("A list")
    assert caught.value.file == str(file)


def test_a_listing_is_in_the_order_of_the_names(folder):
    names = ["c.fits", "a.fits", "below/d.fits", "b.fits"]
    for name in names:
        put(folder / name, b"")
    found = folder.listing()
    assert found == [folder / name for name in ("a.fits", "b.fits", "below", "c.fits")]
    assert (folder / "below").listing() == [folder / "below" / "d.fits"]
    put(folder / "z.fits", b"")
    assert folder.listing()[-1] == folder / "z.fits"


def test_an_identity_changes_with_the_file(folder):
    file = put(folder / "a_rate.fits", b"abc")
    first = file.identity()
    assert (first.name, first.size) == ("a_rate.fits", 3)
    assert first == file.identity()
    put(file, b"abcd")
    if file.is_local:
        os.utime(file, ns=(0, first.mtime_ns + 1))
    assert file.identity().differs(first)
    assert file.identity().mtime_ns != first.mtime_ns


def test_what_is_not_there_is_named(folder):
    missing = folder / "none.fits"
    opened = lambda: missing.open().__enter__()  # noqa: E731
    for ask in (missing.identity, opened, missing.read_bytes, missing.read_text):
        with pytest.raises(FileError, match="readable file") as caught:
            ask()
        assert caught.value.file == str(missing)
    with pytest.raises(FileError), folder.open():
        pass


def test_packed_files_are_read_through(folder):
    file = put(folder / "a.fits.gz", gzip.compress(b"12345"))
    with file.open() as stream:
        assert stream.read() == b"12345"
        stream.seek(1)
        assert stream.read(2) == b"23"
        assert stream.name == str(file)
    assert file.read_bytes()[:2] == b"\x1f\x8b"


def test_an_open_file_says_its_location(folder):
    file = put(folder / "a.fits", b"12345")
    with file.open() as stream:
        assert stream.name == str(file)


def test_names_are_those_of_paths(folder):
    file = folder / "below" / "jw1_rate.fits"
    assert (file.name, file.suffix) == ("jw1_rate.fits", ".fits")
    assert file.parent == folder / "below" and file.parent.parent == folder
    assert folder / "/elsewhere/cat.ecsv" == Location("/elsewhere/cat.ecsv")
    assert folder / "memory://elsewhere/cat.ecsv" == Location("memory://elsewhere/cat.ecsv")


def test_a_location_is_a_string_in_json_and_a_small_pickle(folder):
    file = folder / "a.fits"
    adapter = TypeAdapter(tuple[Location, ...])
    assert adapter.dump_json((file,)).decode() == f'["{file}"]'
    assert adapter.validate_json(adapter.dump_json((file,))) == (file,)
    assert adapter.validate_python((file,)) == adapter.validate_python([str(file)]) == (file,)
    assert adapter.dump_python((file,)) == (file,)
    assert pickle.loads(pickle.dumps(file)) == copy.copy(file) == file
    assert sorted([folder / "b", folder / "a"]) == [folder / "a", folder / "b"]


# Locations on a disk, and behind a URL.


def test_relative_paths_count_from_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Location.of("a.fits") == Location.of(Path("a.fits")) == Location(f"{tmp_path}/a.fits")
    assert Location.of("./b/../a.fits").url == f"{tmp_path}/b/../a.fits"
    assert Location.of(f"file://{tmp_path}/a.fits") == Location.of("a.fits")
    assert Location.of(f"local://{tmp_path}/a.fits") == Location.of("a.fits")
    assert Location("model.fits").parent / "cat.ecsv" == Location.of("cat.ecsv")
    assert Path(Location.of("a.fits")) == Location.of("a.fits").path == tmp_path / "a.fits"


def test_links_keep_their_names_and_tell_what_they_lead_to(tmp_path):
    file = put(Location.of(tmp_path / "a.fits"), b"")
    (tmp_path / "b.fits").symlink_to(file)
    link = Location.of(tmp_path / "b.fits")
    assert link.url == f"{tmp_path}/b.fits" and link != file
    assert link.real() == file.real() == os.path.realpath(file)
    assert Location("a model").real() == "a model"


def test_many_are_resolved_as_each_by_itself(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "folder/b.fits").symlink_to(tmp_path / "gone.fits")
    (tmp_path / "folder/c.fits").symlink_to("c.fits")
    names = ["a.fits", "b.fits", "c.fits", "none.fits", "../x.fits", "..", "deep/er/y.fits"]
    names = [f"{tmp_path}/{each}/{name}" for each in ("folder", "link") for name in names]
    given = [Location(url) for url in (*names, "a model", "/", "/a.fits", "s3://bucket/a.fits", "")]
    assert real_paths(given) == [each.real() for each in given]


def test_a_url_is_no_path(folder):
    url = Location.of("memory://programs/a.fits")
    assert url.real() == str(url) == "memory://programs/a.fits"
    assert url.parent.parent == Location("memory://programs")
    for use in (lambda: os.fspath(url), lambda: url.path, lambda: Path(url)):
        with pytest.raises(UsageError, match="a file on a disk") as caught:
            use()
        assert caught.value.file == str(url)
    with pytest.raises(UsageError, match="fsspec knows") as caught:
        Location.of("nonsense://a/b").exists()
    assert caught.value.file == "nonsense://a/b"


@pytest.mark.parametrize("name", ["a\0b.fits", "a\ud800.fits", "a" * 5000])
def test_names_that_no_file_can_have(tmp_path, name):
    location = Location.of(tmp_path / name)
    with pytest.raises(FileError, match="readable file"):
        location.identity()
    with pytest.raises(FileError, match="readable file"), location.open():
        pass


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, []),
        ("", []),
        ("a.fits", ["a.fits"]),
        ("a.fits,b.fits", ["a.fits", "b.fits"]),
        ("a.fits, b.fits,", ["a.fits", "b.fits"]),
        (["a.fits", ""], ["a.fits"]),
        (("a.fits",), ["a.fits"]),
    ],
)
def test_lists_as_strun_users_write_them(given, read):
    assert split_list(given) == read


# Publishing, wherever it is.


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class OnDisk:
    """Files below a folder."""

    def __init__(self, folder):
        self.folder = folder

    def publish(self, fault=None):
        return LocalPublish() if fault is None else LocalPublish(lambda path: fault())

    def read(self, location):
        return location.read_bytes() if location.exists() else None

    def left(self):
        return sorted(str(each.relative_to(self.folder)) for each in self.folder.rglob("*"))


class InMemory:
    """Files in a dictionary, scratch files below a folder."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}

    def publish(self, fault=None):
        return MemoryPublish(self.files, None if fault is None else lambda location: fault())

    def read(self, location):
        return self.files.get(location)

    def left(self):
        scratch = [str(each) for each in self.folder.rglob("*")]
        return sorted([*scratch, *(str(each.path.relative_to(self.folder)) for each in self.files)])


class InStore:
    """Objects of a bucket, scratch files below a folder."""

    def __init__(self, folder, store):
        self.scratch, self.store = folder, store
        self.folder = Location.of(store.url)

    def publish(self, fault=None):
        return RemotePublish(fault=fault)

    def read(self, location):
        return location.read_bytes() if location.exists() else None

    def left(self):
        return sorted([*(str(each) for each in self.scratch.rglob("*")), *self.store.names()])


@pytest.fixture(params=[OnDisk, InMemory, InStore])
def storage(request, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if request.param is InStore:
        return InStore(tmp_path, request.getfixturevalue("store"))
    return request.param(tmp_path)


def draft_of(storage, data, fault=None, name="a.fits"):
    draft = storage.publish(fault).prepare(Location.of(storage.folder / name))
    draft.path.write_bytes(data)
    return draft


@pytest.mark.slow
def test_a_draft_appears_when_it_is_published(storage):
    draft = draft_of(storage, b"new")
    assert draft.path.name == "a.fits"
    assert storage.read(draft.location) is None
    assert draft.publish() == draft.location == Location.of(storage.folder / "a.fits")
    assert storage.read(draft.location) == b"new"
    assert storage.left() == ["a.fits"]
    draft.discard()
    assert storage.read(draft.location) == b"new"


@pytest.mark.slow
def test_the_old_file_stays_until_the_new_one_is_whole(storage):
    draft_of(storage, b"old").publish()
    draft = draft_of(storage, b"new")
    assert storage.read(draft.location) == b"old"
    draft.publish()
    assert storage.read(draft.location) == b"new"
    assert storage.left() == ["a.fits"]


@pytest.mark.slow
def test_what_is_discarded_leaves_nothing(storage):
    draft_of(storage, b"new").discard()
    assert storage.left() == []


@pytest.mark.slow
def test_a_full_disk_while_it_is_published(storage):
    draft_of(storage, b"old").publish()
    with pytest.raises(OutputError, match="No space left") as caught:
        draft_of(storage, b"new", full).publish()
    assert caught.value.file == str(storage.folder / "a.fits")
    assert storage.read(Location.of(storage.folder / "a.fits")) == b"old"
    assert storage.left() == ["a.fits"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "raised"),
    [
        (OSError(errno.ENOSPC, "No space left"), OutputError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_error_while_it_is_written(storage, problem, raised):
    draft = draft_of(storage, b"half")
    with pytest.raises(raised), writing(draft):
        raise problem
    assert storage.left() == []


@pytest.mark.slow
def test_a_draft_that_nobody_wrote(storage):
    draft = storage.publish().prepare(Location.of(storage.folder / "a.fits"))
    with pytest.raises(OutputError, match="No such file"):
        draft.publish()
    assert storage.left() == []


@pytest.mark.slow
def test_drafts_of_one_location_do_not_meet(storage):
    start = threading.Barrier(8)

    def one(byte):
        draft = draft_of(storage, bytes([byte]) * 100_000)
        start.wait()
        with suppress(OutputError):  # a store tells all but one that another was first
            draft.publish()

    threads = [threading.Thread(target=one, args=(byte,)) for byte in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = storage.read(Location.of(storage.folder / "a.fits"))
    assert len(found) == 100_000 and len(set(found)) == 1
    assert storage.left() == ["a.fits"]


@pytest.mark.slow
def test_scratch_names_are_what_headers_can_say(storage):
    draft = draft_of(storage, b"x", name="Mö?ve.fits")
    assert draft.path.name == "M___ve.fits" or draft.path.name == "M__ve.fits"
    draft.publish()
    assert storage.left() == ["Mö?ve.fits"]


@pytest.mark.slow
def test_small_files_are_whole_too(storage):
    to = Location.of(storage.folder / "plan.json")
    write_text(to, "first – é", storage.publish())
    with pytest.raises(OutputError, match="No space left"):
        write_text(to, "second", storage.publish(full))
    assert storage.read(to).decode() == "first – é"
    with pytest.raises(ZeroDivisionError), whole(to, storage.publish()) as path:
        path.write_text("third")
        raise ZeroDivisionError
    assert storage.read(to).decode() == "first – é"
    assert storage.left() == ["plan.json"]


def test_a_publisher_and_a_draft_travel(tmp_path):
    draft = pickle.loads(pickle.dumps(LocalPublish())).prepare(Location.of(tmp_path / "b" / "a"))
    draft.path.write_text("x")
    assert pickle.loads(pickle.dumps(draft)).publish().read_text() == "x"
    assert len(pickle.dumps(LocalPublish())) < 200


# Folders of a disk.


def test_folders_that_are_not_there_are_made(tmp_path):
    write_text(tmp_path / "a" / "b" / "plan.json", "{}")
    assert (tmp_path / "a" / "b" / "plan.json").read_text() == "{}"


def test_a_file_where_a_folder_should_be(tmp_path):
    (tmp_path / "a").write_text("")
    for write in (
        lambda: write_text(tmp_path / "a" / "b", ""),
        lambda: check_writable(tmp_path / "a"),
    ):
        with pytest.raises(OutputError, match=r"Not a directory|File exists"):
            write()


def test_nothing_is_written_to_prove_that_a_folder_can_be(tmp_path):
    check_writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_network_disks_that_sync_no_folders(tmp_path):
    def only_files(path):
        if path.is_dir():
            raise OSError(errno.EINVAL, "Invalid argument")

    draft = LocalPublish(only_files).prepare(Location.of(tmp_path / "a"))
    draft.path.write_text("x")
    assert draft.publish().read_text() == "x"
