"""What holds two checkouts against each other: it sees what may not differ, and only that."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from benchmarks.commands import app
from benchmarks.products import Comparison, compare_folders
from benchmarks.records import Fields
from benchmarks.run_results import RESULT, Same, compare_results
from benchmarks.same import compare_programs
from benchmarks.same_programs import PROGRAMS, Program

ROOT = Path(__file__).parents[2]
KEYS = ("0" * 32, "f" * 32)
RECORD = {"key": KEYS[0], "scale": [0.5, 0.25], "notes": [], "version": "1"}


def write(path, record=RECORD, history=("bkgflow key: x",), change=None):
    with datamodels.ImageModel(np.arange(16.0, dtype=np.float32).reshape(4, 4)) as model:
        model.meta.bkgflow = record
        model.meta.target.proposer_name = "M 31"
        for line in history:
            model.add_history_entry(line)
        if change:
            change(model)
        model.save(str(path))


@pytest.fixture
def folders(tmp_path):
    found = tmp_path / "old", tmp_path / "new"
    for folder in found:
        folder.mkdir()
    write(found[0] / "a.fits")
    shutil.copyfile(found[0] / "a.fits", found[1] / "a.fits")
    return found


def compared(folders):
    found = Comparison()
    compare_folders(*folders, found, ("*.log",))
    return found


def test_copies_are_the_same(folders):
    (folders[1] / "a.log").write_text("left out")
    found = compared(folders)
    assert (found.files, found.different, found.fields.summary()) == (1, [], [])


def test_dates_may_differ_and_nothing_else_is_said_of_them(folders):
    write(folders[1] / "a.fits")  # a moment later
    with fits.open(folders[1] / "a.fits", mode="update") as hdus:
        hdus[0].header["DATE"] = "2001-01-01T00:00:00.000"
    assert compared(folders).different == []


def test_one_pixel_is_seen(folders):
    with fits.open(folders[1] / "a.fits", mode="update") as hdus:
        hdus["SCI"].data[1, 2] = -0.0
    [line] = compared(folders).different
    assert line == "a.fits/SCI,1: 1 of 16 values differ, the first is number 6: -0.0, was 6.0"


def test_one_card_is_seen_and_so_is_its_order(folders):
    with fits.open(folders[1] / "a.fits", mode="update") as hdus:
        hdus["SCI"].header["BUNIT"] = ("DN", "unit")
    [line] = compared(folders).different
    assert "a.fits/SCI,1: card of new: BUNIT" in line
    write(folders[1] / "a.fits", change=lambda model: setattr(model.meta.target, "ra", 1.0))
    lines = compared(folders).different
    assert any("PRIMARY,1: card of new: TARG_RA" in line for line in lines)
    assert any("ASDF,1: tree meta.target: keys" in line for line in lines)


def test_lost_history_is_seen_but_not_the_lines_that_spell_the_record(folders):
    write(folders[0] / "a.fits", history=("made by hand", "bkgflow key: " + 80 * "x"))
    write(folders[1] / "a.fits", history=("bkgflow key: y",))
    lines = compared(folders).different
    assert any("card of old: HISTORY made by hand" in line for line in lines)
    assert any("tree history" in line for line in lines)
    assert not any("key" in line for line in lines)


def test_a_file_that_is_missing_is_named(folders):
    (folders[1] / "more.txt").write_text("x")
    (folders[0] / "a.fits").rename(folders[0] / "b.fits")
    assert compared(folders).different == [
        "a.fits is only in the new one",
        "b.fits is only in the old one",
        "more.txt is only in the new one",
    ]


def test_asdf_files_are_compared_by_node_and_block(tmp_path):
    found = tmp_path / "old", tmp_path / "new"
    for folder, last in zip(found, (1.0, 2.0), strict=True):
        folder.mkdir()
        asdf.AsdfFile({"a": {"b": last}, "c": np.array([1.0, last])}).write_to(folder / "x.asdf")
    assert compared(found).different == ["x.asdf: blocks differ", "x.asdf: tree a.b: 2.0, was 1.0"]


@pytest.mark.slow
def test_a_record_may_be_laid_out_anew_but_not_say_another_thing(folders):
    record = {"key": KEYS[1], "fit": {"scales": [0.5, 0.25]}, "notes": [], "version": "2"}
    write(folders[1] / "a.fits", record)
    found = compared(folders)
    assert found.different == []
    assert "scale is now fit.scales (1×)" in found.fields.summary()
    assert found.fields.keys == Counter({"key": 1})
    write(folders[1] / "a.fits", {**RECORD, "scale": [0.5, 0.125]})
    assert compared(folders).different == ["a.fits/ASDF,1: record: scale[1] is 0.125, was 0.25"]
    write(folders[1] / "a.fits", {**RECORD, "notes": ["x"]})
    assert compared(folders).different == ["a.fits/ASDF,1: record: notes is ['x'], was [[]]"]
    write(folders[1] / "a.fits", {})
    assert "the new one has no record" in compared(folders).different[0]


def test_fields_are_counted_over_all_records():
    fields = Fields()
    assert fields.compare({"a": 1, "gone": 2}, {"b": 1, "new": 3}) == []
    assert fields.compare({"a": 5}, {"b": 5}) == []
    assert fields.summary() == ["a is now b (2×)", "gone is gone (1×)", "new is new (1×)"]
    assert fields.compare({"a": 4}, {"b": 5}) == []  # so one is not the other's new name
    assert fields.summary()[:2] == ["a is gone (3×)", "gone is gone (1×)"]


def test_states_and_reasons_of_runs_are_compared(tmp_path):
    def result(folder, **unit):
        folder.mkdir(exist_ok=True)
        units = [{"target": "/x/t.fits", "reason": "", "key": KEYS[0], **unit}]
        (folder / RESULT).write_text(json.dumps({"seconds": 1, "units": units}))
        return folder

    old = result(tmp_path / "old", outcome="COMPLETE")
    same, other = Same("x"), Same("x")
    compare_results(old, result(tmp_path / "new", state="COMPLETE"), same)
    assert (same.different, same.units, same.states) == ([], 1, {"COMPLETE"})
    compare_results(old, result(tmp_path / "new", state="FAILED", reason="no", key=KEYS[1]), other)
    assert other.different == [
        "x/t.fits: ended FAILED, was COMPLETE",
        "x/t.fits: run: unit.reason is 'no', was ''",
    ]
    (old / RESULT).unlink()
    compare_results(old, tmp_path / "new", missing := Same("x"))
    assert "no bkgflow-run.json in the old one" in missing.different[0]


SMALL = Program(
    "small",
    ("simulate", "imaging"),
    ("--targets", "1", "--backgrounds", "2", "--size", "{size}"),
    {"errors": ("--propagate-errors",)},
)


@pytest.mark.slow
def test_a_tree_is_the_same_as_itself():
    [same] = compare_programs((ROOT, ROOT), [SMALL], 32, lambda _: None)
    assert same.different == []
    assert (same.runs, same.units, same.states) == (1, 1, {"COMPLETE"})
    assert same.products.files == 1
    assert same.simulated.files == 5


@pytest.mark.slow
def test_a_folder_that_is_no_tree_is_refused(tmp_path):
    [same] = compare_programs((tmp_path, ROOT), [SMALL], 32, lambda _: None)
    assert "bkgflow comes from" in same.different[0]


def test_every_command_of_the_simulator_has_a_program():
    kinds = {program.simulate[-1] for program in PROGRAMS.values()}
    assert kinds == {"demo", "imaging", "nods", "tso", "wfss", "soss"}


def test_unknown_programs_are_refused(capsys):
    with pytest.raises(SystemExit):
        app(["same", str(ROOT), str(ROOT), "--program", "nothing"])
    assert "nothing is none of" in capsys.readouterr().err
