"""Pictures of a run, drawn side by side: each ends, whatever becomes of the others."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bkgflow.errors import FileError
from bkgflow.report.album import DIED, MEMORY, Wanted, draw_all, processes_for


def draw(target, product, picture):
    """Stands for drawing: does what its target says, in whatever process it is called."""
    match target:
        case "dies":
            os._exit(9)
        case "is bad":
            raise FileError(
                "A product must be there", file=product, value="it is gone", cure="Look"
            )
        case "is a surprise":
            raise ZeroDivisionError("in a library")
        case "waits":
            time.sleep(0.2)
    Path(picture).write_text(f"{os.getpid()}")


def wanted(folder, *targets):
    return [Wanted(each, f"p{i}.fits", str(folder / f"{i}.png")) for i, each in enumerate(targets)]


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_cannot_be_drawn_is_said_and_the_others_are_drawn(tmp_path, processes):
    asked = wanted(tmp_path, "good", "is bad", "good", "is a surprise", "good")
    ended = dict(draw_all(asked, processes, draw))
    assert set(ended) == set(asked)
    assert [bool(ended[each]) for each in asked] == [False, True, False, True, False]
    assert ended[asked[1]].startswith("p1.fits: A product must be there (found: it is gone)")
    assert ended[asked[3]] == "ZeroDivisionError: in a library"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "2.png", "4.png"]


@pytest.mark.slow
def test_several_processes_draw(tmp_path):
    asked = wanted(tmp_path, *["waits"] * 8)
    assert not any(dict(draw_all(asked, 2, draw)).values())
    drew = {Path(each.picture).read_text() for each in asked}
    assert len(drew) == 2 and str(os.getpid()) not in drew


@pytest.mark.slow
def test_a_picture_that_ends_its_process_takes_no_other_with_it(tmp_path):
    asked = wanted(tmp_path, "good", "dies", "waits", "good", "dies", "good")
    ended = dict(draw_all(asked, 2, draw))
    assert [ended[each] for each in asked] == ["", DIED, "", "", DIED, ""]
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.slow
def test_who_wants_no_more_need_not_wait_for_all(tmp_path):
    asked = wanted(tmp_path, *["waits"] * 40)
    drawing = draw_all(asked, 2, draw)
    next(drawing)
    drawing.close()
    assert len(list(tmp_path.iterdir())) < 20


def test_processes_are_as_many_as_there_is_memory_and_work_for(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    small, large = tmp_path / "small.fits", tmp_path / "large.fits"
    small.touch()
    large.touch()
    os.truncate(large, MEMORY)  # a file of which the disk has nothing
    of_small = [Wanted("t", str(small), "x.png")] * 100
    assert processes_for([]) == processes_for(of_small[:2]) == 1
    assert processes_for(of_small) == 8
    assert processes_for(of_small[:5]) == 5
    assert processes_for([*of_small, Wanted("t", str(large), "x.png")]) == 1
    assert processes_for([Wanted("t", str(tmp_path / "gone.fits"), "x.png")] * 9) == 8
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    assert processes_for(of_small) == 1
