"""Products in a bucket: whole or not at all, and never over what somebody else wrote."""

import threading

import pytest

from bkgflow.errors import OutputError, StorageError
from bkgflow.io.storage.leftovers import clear_dead
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.lock import check_held, hold, holder_of
from bkgflow.io.storage.publish import publisher_of
from bkgflow.io.storage.remote_publish import RemotePublish

pytestmark = pytest.mark.slow


def draft_of(url, data, run=""):
    draft = publisher_of(Location.of(url), run).prepare(Location.of(url))
    draft.path.write_bytes(data)
    return draft


@pytest.mark.parametrize("before", [None, b"old"])
def test_what_another_wrote_meanwhile_is_not_written_over(store, before):
    if before is not None:
        store.put("a.fits", before)
    draft = draft_of(f"{store.url}/a.fits", b"ours")
    store.put("a.fits", b"theirs")
    with pytest.raises(OutputError, match="somebody else has written") as caught:
        draft.publish()
    assert caught.value.file == f"{store.url}/a.fits" and "run again" in caught.value.cure
    assert store.get("a.fits") == b"theirs" and store.names() == ["a.fits"]


def test_an_answer_that_is_lost_is_no_conflict_with_oneself(store):
    draft = draft_of(f"{store.url}/a.fits", b"ours")
    lost = []

    def lose_the_first(request, number):
        if request.method == "PUT" and not lost:
            return lost.append(number) or "lose"
        return ""

    store.proxy.fault = lose_the_first
    draft.publish()
    assert lost and store.get("a.fits") == b"ours"


def test_a_large_file_goes_in_parts_under_the_same_condition(store):
    data = bytes(range(256)) * ((40 << 20) // 256)
    draft_of(f"{store.url}/a.fits", data).publish()
    assert store.proxy.count("uploadId", "PUT") == 3 and store.get("a.fits") == data
    draft = draft_of(f"{store.url}/a.fits", data)
    store.put("a.fits", b"theirs")
    with pytest.raises(OutputError, match="somebody else has written"):
        draft.publish()
    assert store.get("a.fits") == b"theirs"
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket=store.bucket)


def group(draft, value, names=("sci/c/0/0", "sci/zarr.json", "zarr.json")):
    draft.path.mkdir()
    for name in names:
        (draft.path / name).parent.mkdir(parents=True, exist_ok=True)
        (draft.path / name).write_bytes(value)
    return draft


def test_a_folder_opens_only_when_all_of_it_is_there(store):
    to = Location.of(f"{store.url}/out/a.zarr")
    group(RemotePublish().prepare(to), b"one").publish()
    puts = [r.path.rpartition("a.zarr/")[2] for r in store.proxy.requests if r.method == "PUT"]
    assert puts[-1] == "zarr.json" and len(puts) == 3
    group(RemotePublish().prepare(to), b"two", ("sci/c/0/1", "zarr.json")).publish()
    assert store.names() == ["out/a.zarr/sci/c/0/1", "out/a.zarr/zarr.json"]
    assert store.get("out/a.zarr/zarr.json") == store.get("out/a.zarr/sci/c/0/1") == b"two"


def test_a_reader_that_polls_never_opens_a_folder_half_new(store):
    to = Location.of(f"{store.url}/out/a.zarr")
    group(RemotePublish().prepare(to), b"0").publish()
    ended, wrong, opened = threading.Event(), [], []

    def poll():
        client = store.client
        while not ended.is_set():
            try:
                top = client.get_object(Bucket=store.bucket, Key="out/a.zarr/zarr.json")
                chunk = client.get_object(Bucket=store.bucket, Key="out/a.zarr/sci/c/0/0")
            except client.exceptions.NoSuchKey:
                continue
            top, chunk = top["Body"].read(), chunk["Body"].read()
            opened.append(top)
            if int(chunk) < int(top):  # older than what says that it is there
                wrong.append((top, chunk))

    reader = threading.Thread(target=poll)
    reader.start()
    for number in range(1, 6):
        group(RemotePublish().prepare(to), str(number).encode()).publish()
    ended.set()
    reader.join()
    assert opened and not wrong
    assert [name for name in store.names() if ".bkgflow" in name] == []


def test_a_store_that_fails_midway_leaves_the_old_folder(store, hasty):
    to = Location.of(f"{store.url}/out/a.zarr")
    group(RemotePublish().prepare(to), b"old").publish()
    store.proxy.fault = lambda request, _: (
        "429" * (request.method == "PUT" and "c/" in request.path)
    )
    with pytest.raises(OutputError, match="did not do it"):
        group(RemotePublish().prepare(to), b"new").publish()
    assert {store.get(name) for name in store.names()} == {b"old"}


def test_what_dead_runs_left_goes_with_the_next_one(store):
    client, out = store.client, Location.of(f"{store.url}/out")
    for name in (".bkgflow-0123abcd-x7/a.zarr/zarr.json", ".bkgflow-token-1", "a_bsub.fits"):
        store.put(f"out/{name}", b"x")
    client.create_multipart_upload(Bucket=store.bucket, Key="out/b_bsub.fits")
    client.create_multipart_upload(Bucket=store.bucket, Key="elsewhere/b_bsub.fits")
    assert clear_dead(out).removed >= 2
    assert store.names() == ["out/a_bsub.fits"]
    left = client.list_multipart_uploads(Bucket=store.bucket)["Uploads"]
    assert [each["Key"] for each in left] == ["elsewhere/b_bsub.fits"]


# The lock.


def test_a_folder_in_a_bucket_has_one_run_at_a_time(store):
    out = Location.of(f"{store.url}/out")
    with hold(out, "0123abcd") as before:
        assert before is None
        check_held(out, "0123abcd")
        assert holder_of(out).run == "0123abcd"
        with pytest.raises(OutputError, match="one run at a time"), hold(out, "4567abcd"):
            pass
        with pytest.raises(StorageError, match="the lock of its run"):
            check_held(out, "4567abcd")
    assert holder_of(out) is None and store.names() == []


def other(run, pid="1.1.1@another-host"):
    return f'{{"run": "{run}", "process": "{pid}", "user": "ada", "since": "today"}}'.encode()


def test_the_lock_of_another_host_counts_while_it_is_renewed(store, monkeypatch):
    out = Location.of(f"{store.url}/out")
    store.put("out/.bkgflow-lock", other("4567abcd"))
    with pytest.raises(OutputError, match="if its process was killed, try again"), hold(out, "a"):
        pass
    monkeypatch.setattr("bkgflow.io.storage.remote_lock.SILENT", -1.0)
    with hold(out, "0123abcd") as before:
        assert before.run == "4567abcd"
        check_held(out, "0123abcd")


def test_a_lock_that_was_taken_over_lets_nothing_appear(store):
    out = Location.of(f"{store.url}/out")
    with hold(out, "0123abcd"):
        draft = draft_of(f"{out}/a.fits", b"x", "0123abcd")
        store.put("out/.bkgflow-lock", other("4567abcd"))
        with pytest.raises(StorageError, match="the lock of its run"):
            draft.publish()
    assert store.names() == ["out/.bkgflow-lock"]  # of the other one it stays
