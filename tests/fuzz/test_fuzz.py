"""A few of the damaged and hostile files that ``python -m tests.fuzz`` tries."""

from __future__ import annotations

import json
from itertools import islice

import pytest

import bkgflow
from bkgflow.errors import FileError
from tests.fuzz import associations, files
from tests.fuzz.hostile import HOSTILE
from tests.fuzz.trial import damage
from tests.fuzz.watch import (
    MEMORY,
    Trial,
    association_findings,
    file_findings,
    hostile_findings,
    wrong,
)


@pytest.mark.slow
def test_damaged_files_end_in_a_word_or_a_right_product():
    assert list(file_findings(16, seed=11)) == []


@pytest.mark.slow
def test_damaged_associations_end_in_a_word():
    assert list(association_findings(10, seed=11)) == []


@pytest.mark.slow
def test_hostile_files_do_no_harm():
    assert list(hostile_findings()) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_more_damaged_files(seed):
    assert list(file_findings(100, seed)) == []


@pytest.mark.slow
def test_the_oracle_sees_damage(tmp_path):
    path = tmp_path / "x.fits"
    for kind in files.KINDS:
        path.write_bytes(files.sound(kind))
        assert damage(path) == ""
    raw = files.sound("checksums")
    path.write_bytes(raw[:-100])
    assert damage(path)
    path.write_bytes(raw.replace(b"'NGC 1333'", b"'NGC 1334'"))
    assert "Checksum" in damage(path)
    path.write_bytes(files.sound("as it was").replace(b"'NGC 1333'", b"'NGC\x0713 3'"))
    assert "Unprintable" in damage(path) or "invalid" in damage(path)


@pytest.mark.slow
@pytest.mark.parametrize("keyword", ["CHECKSUM", "DATASUM"])
@pytest.mark.parametrize("value", ["0", "0.0", "F", "T", "-1", "", "'text'"])
def test_a_sum_that_is_none_is_no_sum_that_is_missing(tmp_path, keyword, value):
    good = tmp_path / "good_rate.fits"
    good.write_bytes(files.sound("as it was"))
    raw = files.sound("checksums")
    card = keyword.ljust(8).encode() + b"="
    for number, place in enumerate(i for i in range(0, len(raw), 80) if raw[i : i + 9] == card):
        path = tmp_path / f"{number}_rate.fits"
        path.write_bytes(
            raw[:place] + (card + f" {value:>20}".encode()).ljust(80) + raw[place + 80 :]
        )
        assert damage(path)
        with pytest.raises(FileError, match=r"checksum|standard"):
            bkgflow.subtract(path, [good])


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        ({"state": "COMPLETE", "memory": MEMORY + 1}, "held"),
        ({"state": "hangs"}, "hangs"),
        ({"state": "died (-11)"}, "died"),
        ({"state": "KeyError('SCI')", "trace": "Traceback"}, "KeyError"),
        ({"state": "COMPLETE QUARANTINED", "memory": 5}, ""),
        ({"state": "refused", "memory": 5}, ""),
    ],
)
def test_what_no_case_allows_is_found(answer, word):
    assert word in wrong(answer)
    assert bool(wrong(answer)) is bool(word)


@pytest.mark.slow
def test_a_process_that_is_lost_is_started_anew(tmp_path):
    trial = Trial()
    assert trial.ask(kind="no such thing")["state"].startswith("died")
    path = tmp_path / "t_rate.fits"
    path.write_bytes(files.sound("as it was"))
    assert trial.ask(kind="file", target=str(path), backgrounds=[])["state"] == "SKIPPED"
    trial.close()


def test_cases_differ_and_come_again():
    first, again, other = (dict(files.cases(8, seed)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first.values())) == 8
    assert sum(raw != json.dumps(associations.SOUND).encode()
               for _, raw in islice(associations.cases(20, 1), 20)) > 15  # fmt: skip
    assert len(HOSTILE) > 20
