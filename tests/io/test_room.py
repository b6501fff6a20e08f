"""Whose a file is, room that is reserved, and how many files may be open."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fault_tools import disk
from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage.handles import open_limit, room_for
from bkgflow.io.storage.holder import LOCK
from bkgflow.io.storage.leftovers import clear_dead, clear_run
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import hold
from bkgflow.io.storage.owner import Owner
from bkgflow.io.storage.publish import LocalPublish
from bkgflow.io.storage.refused import not_writable
from bkgflow.io.storage.space import Reserve, free_space, sizes_in

# Owners.


def test_a_process_knows_itself_and_comes_back_from_text():
    me = Owner.me()
    assert me.here and not me.dead
    assert Owner.read(str(me)) == me
    assert str(me.pid) in me.words and me.host in me.words


@pytest.mark.parametrize("text", ["", "12", "a.b.c@d", "1.2.3@", "1.2.3@a/b", "0123abcd"])
def test_what_names_no_process(text):
    assert Owner.read(text) is None


def test_a_process_that_ended_is_dead_and_so_is_one_whose_number_was_given_out_again():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    me = Owner.me()
    assert Owner(me.host, gone.pid, 1, me.space).dead
    assert Owner(me.host, me.pid, me.started + 1, me.space).dead
    assert not Owner("elsewhere", gone.pid, 1, me.space).dead
    assert not Owner(me.host, gone.pid, 1, me.space + 1).dead  # another container's


def test_a_process_that_nobody_has_waited_for_is_dead():
    zombie = subprocess.Popen([sys.executable, "-c", "print()"], stdout=subprocess.PIPE)
    zombie.stdout.read()
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    me = Owner.me()
    assert Owner(me.host, zombie.pid, 1, me.space).dead
    zombie.wait()


# Locks and leftovers.


def test_a_folder_is_held_by_one_and_empty_again_afterwards(tmp_path):
    folder = Location.of(tmp_path / "a" / "out")
    with hold(folder, "0123abcd") as before:
        assert before is None
        with pytest.raises(OutputError, match=r"one run at a time.*run 0123abcd, process"):
            hold(folder, "4567abcd").__enter__()
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_folder_that_was_made_anew_is_not_ours_to_take_away(tmp_path):
    folder = Location.of(tmp_path / "out")
    with hold(folder, "0123abcd"):
        folder.path.rename(tmp_path / "away")
        folder.path.mkdir()
        (folder.path / LOCK).write_text("another's")
    assert (folder.path / LOCK).read_text() == "another's"


def test_a_run_clears_its_own_and_no_others(tmp_path):
    with hold(Location.of(tmp_path), "4567abcd"):
        theirs = LocalPublish(run="4567abcd").prepare(Location.of(tmp_path / "b.fits"))
    with hold(Location.of(tmp_path), "0123abcd"):
        ours = LocalPublish(run="0123abcd").prepare(Location.of(tmp_path / "a.fits"))
    alone = LocalPublish().prepare(Location.of(tmp_path / "c.fits"))
    assert clear_run(Location.of(tmp_path), "0123abcd") == 1
    assert not ours.path.parent.exists() and theirs.path.parent.exists()
    found = clear_dead(Location.of(tmp_path))
    assert found.removed == 1 and alone.path.parent.exists()
    assert f"process {os.getpid()}" in found.kept[0]
    with pytest.raises(OutputError):  # a worker that lives on can publish it no more
        ours.publish()


def test_a_worker_of_a_run_that_has_ended_writes_nothing_more(tmp_path):
    folder, by = Location.of(tmp_path / "out"), LocalPublish(run="0123abcd")
    with hold(folder, "0123abcd"):
        draft = by.prepare(folder / "a.fits")
        draft.path.write_text("whole")
        by.prepare(folder / "b.fits").discard()
    with pytest.raises(StorageError, match=r"lock of its run.*none, seen by process"):
        draft.publish()
    with hold(folder, "4567abcd"), pytest.raises(StorageError, match="that of run 4567abcd"):
        by.prepare(folder / "a.fits")
    folder.make_folder()
    with pytest.raises(StorageError, match="none, seen by process"):
        by.prepare(folder / "a.fits")
    assert folder.listing() == []


def test_a_run_makes_no_folder_anew(tmp_path):
    with pytest.raises(StorageError, match="No such file"):
        LocalPublish(run="0123abcd").prepare(Location.of(tmp_path / "gone" / "a.fits"))
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, StorageError),
        (errno.EDQUOT, StorageError),
        (errno.EROFS, StorageError),
        (errno.ESTALE, StorageError),
        (errno.EIO, StorageError),
        (errno.EISDIR, OutputError),
        (errno.ENAMETOOLONG, OutputError),
        (errno.EMFILE, OutputError),
    ],
)
def test_what_concerns_the_whole_folder_is_told_from_one_product(number, kind):
    error = not_writable("a.fits", OSError(number, os.strerror(number)))
    assert type(error) is kind and error.value == os.strerror(number)


# Room.


def test_what_is_free_is_asked_of_the_folder_above(tmp_path):
    free = free_space(Location.of(tmp_path / "not" / "there"))
    assert free.size > 0 and (free.files is None or free.files > 0)


def test_a_listing_has_the_sizes_of_files(tmp_path):
    (tmp_path / "a").write_bytes(bytes(7))
    (tmp_path / "b").mkdir()
    (tmp_path / "c").symlink_to("nothing")
    assert sizes_in(Location.of(tmp_path)) == {"a": 7}
    assert sizes_in(Location.of(tmp_path / "none")) == {}


def test_reserved_room_is_there_when_the_disk_is_full(tmp_path):
    with disk(tmp_path / "disk", size="1m") as folder:
        if folder is None:
            pytest.skip("this user may not mount a disk")
        to = Location.of(folder / "run.json")
        kept = Reserve.of(to, 100_000, LocalPublish())
        fill(folder)
        with pytest.raises(StorageError, match="No space"):
            Reserve.of(Location.of(folder / "more"), 100_000, LocalPublish())
        with pytest.raises(StorageError, match="No space"):
            kept.publish("x" * 300_000)
        assert not to.exists()
        kept.publish("é" * 40_000)  # a shorter one
        assert to.read_text() == "é" * 40_000
        assert sorted(each.name for each in folder.iterdir()) == ["filler", "run.json"]


def fill(folder: Path):
    with pytest.raises(OSError, match="No space"), (folder / "filler").open("wb", 0) as stream:
        while stream.write(bytes(4096)) == 4096:
            pass
        raise OSError(errno.ENOSPC, "No space left")


def test_reserved_room_that_is_gone_is_made_anew(tmp_path):
    to = Location.of(tmp_path / "out" / "run.json")
    kept = Reserve.of(to, 1000, LocalPublish())
    to.parent.path.rename(tmp_path / "away")
    assert kept.publish("all").read_text() == "all"


# Open files.


def test_tasks_of_a_process_share_half_of_what_may_be_open():
    half = open_limit() // 2
    with room_for(10) as first, room_for(half) as second, room_for(5) as third:
        assert (first, second) == (10, half - 10) and third == 0
    with room_for(half) as again:
        assert again == half


def test_the_soft_limit_is_raised_where_it_is_too_low():
    code = (
        "import resource\n"
        "from bkgflow.io.storage.handles import room_for\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))\n"
        "with room_for(20): print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
        "with room_for(200) as room: print(room, resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.split() == ["64", "200", "512"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 64
