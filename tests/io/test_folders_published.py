"""Products that are folders appear at once, as files do, and are known as one thing."""

from __future__ import annotations

import shutil
import threading

import pytest

from bkgflow.errors import OutputError
from bkgflow.io.storage.beside import remove
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.many_files import exchange, put_in_place
from bkgflow.io.storage.publish import LocalPublish, MemoryPublish
from bkgflow.io.storage.space import sizes_in, stamps_in, stamps_of

PARTS = {"zarr.json": b"{}", "fits/zarr.json": b"{}", "sci/c/0/0": b"pixels"}


def make(folder, parts=PARTS, **more):
    for name, content in {**parts, **more}.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder


def content(folder):
    return {
        each.relative_to(folder).as_posix(): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def test_a_folder_appears_at_once_over_an_older_one(tmp_path):
    to = Location.of(tmp_path / "p.zarr")
    for pixels in (b"old", b"new"):
        draft = LocalPublish().prepare(to)
        make(draft.path, {**PARTS, "sci/c/0/0": pixels})
        before = content(to.path) if to.exists() else None
        assert before is None or before["sci/c/0/0"] == b"old"
        draft.publish()
        assert content(to.path)["sci/c/0/0"] == pixels
    assert [each.name for each in tmp_path.iterdir()] == ["p.zarr"]


def test_everything_in_a_folder_is_on_the_disk_before_it_appears(tmp_path):
    synced = []
    draft = LocalPublish(sync=synced.append).prepare(Location.of(tmp_path / "p.zarr"))
    make(draft.path)
    wanted = [draft.path / name for name in PARTS]
    draft.publish()
    assert set(wanted) <= set(synced)
    assert synced.index(draft.path) > max(map(synced.index, wanted))
    assert synced[-1] == tmp_path


def test_a_system_that_cannot_exchange_names_has_it_by_two_renames(tmp_path):
    new, old = make(tmp_path / "new", x=b"1"), make(tmp_path / "old")
    put_in_place(new, old, lambda one, other: False)
    assert "x" in content(old) and not new.exists()
    assert "x" not in content(tmp_path / "new.old")


def test_the_older_one_comes_back_where_the_new_one_cannot_be_put(tmp_path):
    new, old = make(tmp_path / "new"), make(tmp_path / "old", x=b"1")

    def fails(one, other):
        shutil.rmtree(new)  # so that it cannot be renamed
        return False

    with pytest.raises(FileNotFoundError):
        put_in_place(new, old, fails)
    assert "x" in content(old)


def test_no_reader_finds_the_place_empty(tmp_path):
    place, other = make(tmp_path / "p.zarr"), make(tmp_path / "q.zarr")
    if not exchange(place, other):
        pytest.skip("this file system does not exchange names")
    missing, done = [], threading.Event()

    def poll():
        while not done.is_set():
            missing.extend([1] * (not (place / "zarr.json").exists()))

    thread = threading.Thread(target=poll)
    thread.start()
    for _ in range(300):
        put_in_place(other, place)
    done.set()
    thread.join()
    assert not missing


def test_in_memory_every_file_of_it_appears(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store, to = MemoryPublish(), Location("memory://bucket/p.zarr")
    draft = store.prepare(to)
    make(draft.path)
    assert not store.files
    draft.publish()
    assert store.files == {to / name: content for name, content in PARTS.items()}
    assert not list(tmp_path.iterdir())


def test_a_fault_leaves_the_older_one_alone(tmp_path):
    to = Location.of(make(tmp_path / "p.zarr"))

    def sync(path):
        raise OSError(28, "No space left")

    draft = LocalPublish(sync=sync).prepare(to)
    make(draft.path, x=b"new")
    with pytest.raises(OutputError):
        draft.publish()
    assert content(to.path) == PARTS
    assert [each.name for each in tmp_path.iterdir()] == ["p.zarr"]


def test_it_has_a_size_a_time_and_a_checksum_as_a_file_has(tmp_path):
    product = Location.of(make(tmp_path / "p.zarr"))
    assert product.size() == sum(map(len, PARTS.values()))
    assert product.stamp() == (product.size(), (product.path / "zarr.json").stat().st_mtime_ns)
    assert product.identity().size == product.size()
    first = product.checksum()
    assert first.startswith("xxh3:") and product.checksum() == first
    copied = Location.of(shutil.copytree(product.path, tmp_path / "q.zarr"))
    assert copied.checksum() == first


@pytest.mark.parametrize(
    "other",
    [
        {"sci/c/0/0": b"pixelt"},
        {"sci/c/0/1": b""},
        {"zarr.json": b"{}p", "sci/c/0/0": b"ixels"},
    ],
)
def test_no_change_of_it_keeps_its_checksum(tmp_path, other):
    one = Location.of(make(tmp_path / "p.zarr"))
    changed = Location.of(make(tmp_path / "q.zarr", {**PARTS, **other}))
    assert one.checksum() != changed.checksum()


def test_folders_that_are_no_products_are_no_files(tmp_path):
    folder = make(tmp_path / "some", {"a.txt": b"1"})
    store = make(tmp_path / "s.zarr", {"zarr.json": b"{}"})
    for each in (folder, store):
        location = Location.of(each)
        assert (location.size(), location.stamp(), location.checksum()) == (-1, None, "")


def test_a_listing_has_products_and_those_in_stores(tmp_path):
    make(tmp_path / "p.zarr")
    make(tmp_path / "s.zarr", {"zarr.json": b"{}"})
    make(tmp_path / "s.zarr" / "one")
    make(tmp_path / ".bkgflow-x" / "half.zarr")
    (tmp_path / "a.fits").write_bytes(b"12")
    (tmp_path / "empty").mkdir()
    here = Location.of(tmp_path)
    size = sum(map(len, PARTS.values()))
    assert sizes_in(here) == {"p.zarr": size, "s.zarr/one": size, "a.fits": 2}
    elsewhere = make(tmp_path.parent / f"{tmp_path.name}-else" / "two")
    found = stamps_of(here, ["p.zarr", str(elsewhere), "/nowhere/at/all"])
    assert found == stamps_in(here) | {str(elsewhere): Location.of(elsewhere).stamp()}


def test_it_is_removed_at_once(tmp_path):
    product = Location.of(make(tmp_path / "p.zarr"))
    gone, left = remove([product])
    assert (gone, left) == ([product], [])
    assert not list(tmp_path.iterdir())
