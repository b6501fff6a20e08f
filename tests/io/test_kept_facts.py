"""Facts kept beside the products: those of an unchanged file, and of no other."""

import os

import numpy as np
import pytest

import bkgflow
from bkgflow.errors import FileError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.exposures.kept import FACTS_FILE, KeptFacts
from bkgflow.io.storage.checksum import with_checksums
from bkgflow.io.storage.location import Location
from bkgflow.verdict import State
from tests.helpers.exposures import make_model, write_association, write_fits


@pytest.fixture
def files(tmp_path):
    shapes = [(4, 5), (3, 4, 5)]
    return [
        write_fits(
            tmp_path / f"{len(shape)}.fits",
            np.ones(shape, "f4"),
            np.ones(shape, "f4"),
            np.zeros(shape, "u4"),
            SUBSTRT1=1,
            SUBSTRT2=1,
            GWA_XTIL=0.25,
        )
        for shape in shapes
    ]


@pytest.fixture
def folder(files, tmp_path):
    KeptFacts().keep(Location.of(tmp_path), map(inspect, files))
    return Location.of(tmp_path)


def test_facts_come_back_as_they_were(files, folder):
    kept = KeptFacts.read(folder)
    assert [kept.get(Location.of(file)) for file in files] == list(map(inspect, files))


def test_a_file_that_changed_is_looked_at_again(files, folder):
    one, other = map(Location.of, files)
    one.path.write_bytes(one.path.read_bytes() + bytes(2880))
    kept = KeptFacts.read(folder)
    assert kept.get(one) is None
    assert kept.get(other) is not None
    assert kept.get(Location.of("/another.fits")) is None


def test_a_file_that_is_gone_is_an_error_as_it_was(files, folder):
    gone = Location.of(files[0])
    gone.path.unlink()
    with pytest.raises(FileError, match="must be a readable file"):
        KeptFacts.read(folder).get(gone)


def test_checksums_make_a_file_known_that_was_only_written_again(files, folder):
    one, other = map(Location.of, files)
    with with_checksums():
        KeptFacts().keep(folder, [inspect(one)])
        one.path.write_bytes(one.path.read_bytes())
        found = KeptFacts.read(folder).get(one)
        assert found is not None and found.identity == one.identity()
    KeptFacts().keep(folder, [inspect(other)])
    other.path.write_bytes(other.path.read_bytes())
    assert KeptFacts.read(folder).get(other) is None


def test_nothing_is_taken_from_a_file_of_other_code_or_a_damaged_one(files, folder):
    file = (folder / FACTS_FILE).path
    text = file.read_text()
    head, *lines = text.splitlines()
    for spoiled in (
        "",
        '{"facts": "of another bkgflow"}\n' + "\n".join(lines),
        "\n".join((head, *lines[:-1])),
        "\n".join((head, *reversed(lines))),
        text.replace('["/', "[/"),
        "\x00" * 100,
    ):
        file.write_text(spoiled)
        assert KeptFacts.read(folder).found == {}
    file.write_text(text.replace('"window":', '"widow":'))
    assert KeptFacts.read(folder).get(Location.of(files[0])) is None


def test_the_file_is_written_only_where_something_is_new(files, folder):
    file = (folder / FACTS_FILE).path
    before = file.stat().st_ino
    KeptFacts.read(folder).keep(folder, map(inspect, files))
    assert file.stat().st_ino == before
    with make_model(np.ones((4, 4), "f4")) as model:
        in_memory = model_facts(model, "m")
        KeptFacts.read(folder).keep(folder, [*map(inspect, files), in_memory])
    assert file.stat().st_ino == before
    KeptFacts.read(folder).keep(folder, map(inspect, files[:1]))
    assert file.stat().st_ino != before


@pytest.mark.slow
def test_the_next_plan_is_the_same_and_opens_no_file_that_stayed(tmp_path):
    for i in range(4):
        with make_model(np.full((4, 4), i, "f4")) as model:
            model.save(str(tmp_path / f"e{i}_rate.fits"))
    products = [("a", "e0_rate.fits", ["e1_rate.fits"]), ("b", "e2_rate.fits", ["e3_rate.fits"])]
    program, out = write_association(tmp_path / "a_asn.json", products), tmp_path / "out"
    first = bkgflow.plan(program, out)
    bkgflow.run(first, "threads")
    # A header that has become nonsense under the same name, size and time is not looked at.
    target = tmp_path / "e0_rate.fits"
    raw, stat = target.read_bytes(), target.stat()
    target.write_bytes(raw.replace(b"SUBSTRT1", b"SUBSTRTX"))
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert bkgflow.plan(program, out) == first
    os.utime(target)
    assert [each.verdict.state for each in bkgflow.plan(program, out).units] == [
        State.QUARANTINED,
        State.PLANNED,
    ]
