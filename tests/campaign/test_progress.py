"""Progress of runs of many units: pace, time left, bytes, what is waited for, and few lines."""

import io
import time
from dataclasses import replace

import pytest
from rich.console import Console

import bkgflow
from bkgflow.campaign.events import Notice, RunEnded, RunStarted, UnitEnded, UnitStarted
from bkgflow.campaign.progress import progress_in, progress_of
from bkgflow.campaign.standing import Standing
from bkgflow.errors import FileError
from bkgflow.io.storage.location import Location
from bkgflow.planning.keys import Key
from bkgflow.verdict import State, Verdict
from tests.helpers.programs import write_program

BAD = Verdict.quarantined(FileError("A file must be whole", cure="Mend it"))


def good(size=1 << 20):
    return Verdict(State.COMPLETE).published(("x",), (size,))


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    return bkgflow.plan(write_program(folder, targets=4), folder / "out")


def many_of(plan, number):
    """A plan of many units, as far as progress looks at it."""
    [unit, *_] = plan.units
    units = tuple(
        replace(
            unit,
            key=Key.of([("number", n)]),
            target=Location(f"/p/t{n}_rate.fits"),
        )
        for n in range(number)
    )
    assert len({each.digest for each in units}) == number
    return replace(plan, units=units)


def run_of(plan, seconds, bad=(), at=1000.0):
    """The events of a run that takes so many seconds for each unit."""
    yield RunStarted("r", len(plan.units), "here", at=at)
    for number, unit in enumerate(plan.units):
        yield UnitStarted("r", unit.digest, at=at)
        at += seconds
        yield UnitEnded("r", unit.digest, BAD if number in bad else good(), at=at)
    yield RunEnded("r", at, at=at)


def lines_of(plan, events, **options):
    out = io.StringIO()
    console = Console(file=out, force_terminal=False, width=80)
    with progress_of(plan, quiet=options.get("quiet", False), console=console) as progress:
        for event in events:
            progress(event)
    return out.getvalue().splitlines()


# How a run stands.


@pytest.mark.slow
def test_rate_and_time_left_follow_the_last_ends(plan):
    standing = Standing(plan)
    standing.take(RunStarted("r", 1000, "here", at=0.0))
    assert standing.rate is None and standing.left is None
    at = 100.0  # shared results came first
    for number in range(600):
        standing.take(UnitStarted("r", f"u{number}", at=at))
        at += 3.0 if number < 300 else 1.0
        standing.take(UnitEnded("r", f"u{number}", good(), at=at))
        if number == 99:
            assert standing.rate == pytest.approx(20)
            assert standing.left == pytest.approx(900 * 3)
    assert standing.rate == pytest.approx(60)  # it has become quicker
    assert standing.left == pytest.approx(400)
    assert standing.written == 600 << 20
    assert standing.facts() == "60 units/min, 0:06:40 left, 600.0 MiB written"


def test_units_that_were_not_computed_make_no_pace(plan):
    standing = Standing(plan)
    for number in range(500):
        standing.take(UnitEnded("r", f"bad{number}", BAD, at=number / 100))
    assert standing.rate is None
    standing.take(UnitStarted("r", "u1", at=5.0))
    standing.take(UnitStarted("r", "u2", at=5.0))
    standing.take(UnitEnded("r", "u1", good(), at=65.0))
    standing.take(UnitEnded("r", "u2", good(), at=65.0))
    assert standing.rate == pytest.approx(2)


def test_a_slow_pace_is_not_rounded_to_none(plan):
    standing = Standing(plan)
    for number in range(3):
        standing.take(UnitStarted("r", f"u{number}", at=1.0))
        standing.take(UnitEnded("r", f"u{number}", good(), at=3001.0))
    assert standing.facts().startswith("0.06 units/min, ")


def test_what_is_waited_for_is_said_until_something_happens(plan):
    standing = Standing(plan)
    standing.take(RunStarted("r", 4, "here"))
    assert "waits for results that units share" in standing.words()
    standing.take(Notice("r", "waiting for workers (60 s)"))
    assert standing.words() == "waiting for workers (60 s)"
    standing.take(UnitStarted("r", plan.units[0].digest))
    assert standing.waits == "" and list(standing.running.values()) == ["t0_rate.fits"]
    standing.take(UnitStarted("r", plan.units[0].digest))  # its worker died
    assert (standing.attempts, standing.tried) == (2, 1)


# Where it is shown.


def test_few_units_have_a_line_each_in_a_pipe(plan):
    assert lines_of(plan, run_of(plan, 0.01, bad={2})) == [
        "[1/4] t0_rate.fits COMPLETE",
        "[2/4] t1_rate.fits COMPLETE",
        "[3/4] t2_rate.fits QUARANTINED",
        "[4/4] t3_rate.fits COMPLETE",
    ]


def test_many_units_have_a_line_now_and_then_every_bad_end_and_the_last(plan):
    crowd = many_of(plan, 2000)
    said = lines_of(crowd, run_of(crowd, 0.01, bad={500, 501}))
    sums = [line for line in said if "units/min" in line]
    first, *bad = [line for line in said if line not in sums]
    assert first == "[1/2000] 1 COMPLETE; 1.0 MiB written"
    assert bad == ["[501/2000] t500_rate.fits QUARANTINED", "[502/2000] t501_rate.fits QUARANTINED"]
    assert 15 <= len(sums) <= 22  # twenty seconds
    assert sums[-1].startswith("[2000/2000] 1,998 COMPLETE, 2 QUARANTINED; 6,0")
    assert "left" not in sums[-1] and "2.0 GiB written" in sums[-1]
    assert " left, " in sums[5]


@pytest.mark.slow
def test_a_run_of_hours_has_a_line_each_minute(plan):
    crowd = many_of(plan, 2000)
    said = lines_of(crowd, run_of(crowd, 6.0, at=time.time()))  # 200 minutes
    assert 200 <= len(said) <= 330


def test_a_quiet_run_of_many_units_says_only_that_workers_are_in_trouble(plan):
    crowd = many_of(plan, 300)
    events = [*run_of(crowd, 0.1, bad={7}), Notice("r", "a worker is lost")]
    assert lines_of(crowd, events, quiet=True) == ["a worker is lost"]


def test_a_part_of_a_plan_is_counted_by_itself(plan):
    events = list(run_of(plan, 0.01))
    events[0] = RunStarted("r", 2, "here")
    assert lines_of(plan, events[:5])[-1] == "[2/2] t1_rate.fits COMPLETE"


def test_a_terminal_has_facts_below_the_bar(plan):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100, color_system=None)
    with progress_of(plan, quiet=False, console=console) as progress:
        for event in run_of(plan, 2.0, bad={1}):
            progress(event)
    *_, bar, facts = [line for line in out.getvalue().splitlines() if "\x1b[?25h" not in line]
    assert "4/4" in bar
    assert facts.rstrip() == "3 COMPLETE, 1 QUARANTINED; 30 units/min, 3.0 MiB written"


def test_a_notebook_has_the_same_facts(plan):
    cell, clock = [], iter(range(1000))
    listen = progress_in(cell.append, plan, lambda: float(next(clock)))
    for event in run_of(plan, 2.0):
        listen(event)
    assert "3 of 4 units: 3 COMPLETE; 30 units/min, 0:00:02 left, 3.0 MiB written" in "".join(cell)
    assert cell[-1].endswith("4 of 4 units: 4 COMPLETE; 30 units/min, 4.0 MiB written")
