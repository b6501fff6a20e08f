"""A sample of the crashes, each once, with real processes, and the same command again.

Schedulers that die are in test_retries.py and test_secured.py; `make crashes` has all sorts.
"""

import random
import time

import pytest

from benchmarks.crash_cases import CRASHES
from benchmarks.crash_tools import Site, fingerprint
from benchmarks.crashes import BEGIN, END, Row, Tried, write_page
from benchmarks.fault_cases import Skipped
from benchmarks.fault_tools import ended
from bkgflow.simulate import simulate_imaging

UNITS = 24
SAMPLE = [
    "drivers",
    "workers",
    "disk-full",
    "read-only",
    "driver-written",
    "driver-published",
    "driver-committing",
    "worker-written",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A program, and what an undisturbed run makes of it."""
    folder = tmp_path_factory.mktemp("crashes")
    simulate_imaging(folder / "program", targets=UNITS, backgrounds=4, size=64)
    made = Site(folder / "program", folder, UNITS, {}, 0.0, 1, random.Random(), print)
    began = time.monotonic()
    code, said = ended(*made.arguments(folder / "clean", "threads"), out=folder / "clean")
    assert code == 0, said
    right = {path.name: fingerprint(path) for path in (folder / "clean").glob("*_bsub.fits")}
    assert len(right) == UNITS and all(right.values())
    return made, right, time.monotonic() - began


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_the_same_command_goes_on_after_a_crash(name, site, tmp_path):
    made, right, seconds = site
    here = Site(made.program, tmp_path, UNITS, right, seconds, 1, made.chance, made.say)
    try:
        tried = CRASHES[name][1](here)
    except Skipped as why:
        pytest.skip(str(why))
    assert tried.times >= 1
    assert tried.wrong == []


@pytest.mark.slow
def test_a_crash_that_ends_badly_is_seen(tmp_path):
    """The judge itself: a product that was changed, a file that was left, a unit done again."""
    out = tmp_path / "out"
    out.mkdir()
    (out / ".bkgflow-left").touch()
    made = Site(
        tmp_path / "none", tmp_path, 1, {"t_bsub.fits": "x"}, 1.0, 1, random.Random(), print
    )
    tried = Tried()
    made.resumed(tried, out, "threads")
    text = " ".join(tried.wrong)
    assert "exit code 2" in text and "left behind: .bkgflow-left" in text
    assert "products are not those" in text and "ledger has 0 complete" in text


def test_rows_go_into_the_table_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\n{END}\n\nafter\n")
    (first, _), (second, _) = list(CRASHES.values())[:2]
    write_page(page, [Row("b", second, Tried(2, 3, 4), 1.0)], 24, 1)
    write_page(page, [Row("a", first, Tried(1, wrong=["x was done again"]), 1.0)], 24, 1)
    lines = page.read_text().splitlines()
    rows = [line for line in lines if line.startswith("| ") and "Tried" not in line]
    assert rows == [
        f"| {first} | 1 | 0 | 0 | 1 | NO: x was done again |",
        f"| {second} | 2 | 3 | 4 | 0 | yes |",
    ]
    assert lines[0] == "# Title" and lines[-1] == "after"
