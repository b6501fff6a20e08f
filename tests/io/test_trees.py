"""Folders walked once, copies told from others, names that stand for several files."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.errors import FileError
from bkgflow.io.storage.compare import are_copies
from bkgflow.io.storage.lists import expanded, split_list
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.tree import names_in, walk


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_tree_has_every_file_once_without_hidden_ones(tmp_path):
    touch(tmp_path, "b/x", "b/c/x", "a", ".hidden", ".git/x", "b/._x", "d/y")
    (tmp_path / "d" / "up").symlink_to(tmp_path)
    (tmp_path / "d" / "again").symlink_to(tmp_path / "b")
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    tree = walk(Location.of(tmp_path))
    assert [str(each)[len(str(tmp_path)) + 1 :] for each in tree.files()] == [
        "a", "lost", "b/x", "b/c/x", "d/y",
    ]  # fmt: skip
    assert tree.named("x") == [Location.of(tmp_path / "b/x"), Location.of(tmp_path / "b/c/x")]
    assert tree.named("none") == []
    assert tree.unread == []


def test_a_link_to_itself_is_named_and_hides_nothing(tmp_path):
    touch(tmp_path, "a", "b/x")
    for folder in (tmp_path, tmp_path / "b"):
        (folder / "loop").symlink_to("loop")
    tree = walk(Location.of(tmp_path))
    assert [each.name for each in tree.files()] == ["a", "x"]
    assert {str(where): why for where, why in tree.unread} == dict.fromkeys(
        [str(tmp_path / "loop"), str(tmp_path / "b" / "loop")], "Too many levels of symbolic links"
    )
    assert names_in(Location.of(tmp_path)) == {"a", "loop"}


def test_a_tree_behind_a_url():
    import fsspec

    system = fsspec.filesystem("memory")
    for name in ("a", "b/x", "b/c/x", ".hidden/x", "b/._x"):
        system.pipe_file(f"memory://tree/{name}", b"")
    tree = walk(Location.of("memory://tree"))
    assert [str(each) for each in tree.files()] == [
        "memory://tree/a", "memory://tree/b/x", "memory://tree/b/c/x",
    ]  # fmt: skip
    assert len(tree.named("x")) == 2
    assert names_in(Location.of("memory://tree")) == {"a"}


def test_the_names_in_a_folder(tmp_path):
    touch(tmp_path, "a", "b/x")
    assert names_in(Location.of(tmp_path)) == {"a"}
    assert names_in(Location.of(tmp_path / "none")) == set()
    assert names_in(Location.of(tmp_path / "a")) == set()


@pytest.mark.parametrize("size", [0, 1, 100, 8192, 8193, 1 << 20, (1 << 20) + 1, 3_000_001])
def test_copies_are_told_from_files_that_differ_everywhere(tmp_path, size):
    content = np.random.default_rng(size).bytes(size)
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "c").write_bytes(np.random.default_rng(size + 1).bytes(size))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    a, b, c, link, none = (Location.of(tmp_path / name) for name in ("a", "b", "c", "link", "none"))
    assert are_copies(a, a) and are_copies(a, b) and are_copies(a, link)
    assert are_copies(a, c) == (size == 0)
    assert not are_copies(a, none)


@pytest.mark.slow
@given(st.integers(0, 199_999))
def test_one_byte_of_a_small_file_is_seen(tmp_path_factory, place):
    folder = tmp_path_factory.mktemp("copies")
    content = bytearray(200_000)
    (folder / "a").write_bytes(content)
    content[place] = 1
    (folder / "b").write_bytes(content)
    assert not are_copies(Location.of(folder / "a"), Location.of(folder / "b"))


def test_names_that_stand_for_several_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "b1", "b2", "x/b3", "x/.b4", "[b]", "@at")
    assert expanded("b?") == ["b1", "b2"]
    assert expanded("**/b?") == ["b1", "b2", "x/b3"]
    assert expanded("[b]") == ["[b]"]
    assert expanded("@at") == ["@at"]
    assert expanded("none") == ["none"]
    assert expanded("s3://bucket/a") == ["s3://bucket/a"]
    (tmp_path / "x" / "list").write_text("\ufeffb3\n#no\n\nb1\nb?\n", encoding="utf-8")
    assert expanded("@x/list") == ["x/b3", "b1", "b1", "b2"]
    for bad in ("no*", "@no"):
        with pytest.raises(FileError):
            expanded(bad)


@pytest.mark.slow
@given(st.lists(st.one_of(st.integers(), st.text("ab", min_size=1)), max_size=4))
def test_a_list_that_is_split_keeps_what_is_no_text(items):
    assert split_list(items) == items
    assert split_list(tuple(items)) == items
    assert split_list(iter(items)) == items


def test_a_comma_list_and_a_name_with_a_comma(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a,b", "c1", "c2")
    assert split_list("a, c?,") == ["a", "c1", "c2"]
    assert split_list(["a,b", "c1"]) == ["a,b", "c1"]


def test_home_and_confinement(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "in/x", "out/y")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    assert Location.of("~/in/x") == Location.of(tmp_path / "in" / "x")
    assert Location.of("~nobody-of-this-name") == Location.of(Path.cwd() / "~nobody-of-this-name")
    inside = Location.of("~/in")
    assert Location.of("~/in/x").within(inside) and inside.within(inside)
    for path in ("~/in/link/y", "~/in/../out/y", "~/inside", "~"):
        assert not Location.of(path).within(inside)
    bucket = Location.of("s3://bucket/in")
    assert Location.of("s3://bucket/in/x").within(bucket)
    for url in ("s3://bucket/in/../x", "s3://bucket/inside", "s3://other/in/x"):
        assert not Location.of(url).within(bucket)
