"""Workers that bkgflow starts itself: from scripts as pasted, and only where they are worth it."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

import bkgflow
from bkgflow.campaign.events import RunStarted
from bkgflow.clusters.local import Local, Threads
from bkgflow.clusters.processes import without_script
from tests.helpers.clusters import ROOT
from tests.helpers.programs import Said, write_program

WORDS = "few small units: computed by threads of this process"


def run_script(folder, text):
    """Run a script as its own process; return what it wrote."""
    script = folder / "script.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, script.name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path):
    """A working folder with a small program."""
    write_program(tmp_path / "my_program", targets=2)
    return tmp_path


@pytest.mark.slow
def test_a_script_without_its_main_guard_runs_once_also_with_worker_processes(folder):
    """Its workers are killed while it runs: those that are started again leave it alone too."""
    out = run_script(
        folder,
        "import os, signal\n"
        "import bkgflow\n"
        "from bkgflow.clusters.local import Local\n"
        "print('the script runs')\n"
        "def where():\n"
        "    return os.getpid()\n"
        "with Local(workers=1).open() as executor:\n"
        "    [first] = executor.client.run(where).values()\n"
        "    assert first != os.getpid()\n"
        "    os.kill(first, signal.SIGKILL)\n"
        "    second = executor.client.submit(where, pure=False).result(timeout=60)\n"
        "    assert second not in {first, os.getpid()}\n"
        "plan = bkgflow.plan('my_program/', 'my_products/')\n"
        "print(bkgflow.run(plan, cluster='local', workers=1).counts)\n",
    )
    assert out.splitlines() == ["the script runs", "{'COMPLETE': 2}"]


def test_the_main_module_is_as_it_was_after_workers_have_started():
    main = sys.modules["__main__"]
    before = main.__spec__
    with without_script(), without_script():
        assert main.__spec__.name == "__main__"
    assert main.__spec__ is before


# Where it is computed.


@pytest.mark.slow
def test_few_small_units_are_computed_by_threads_and_that_is_said(folder, tmp_path):
    plan, said = bkgflow.plan(folder / "my_program", tmp_path / "out"), Said()
    assert bkgflow.run(plan, "local", listeners=[said]).ok
    assert said.notices == [WORDS]
    [where] = [event.where for event in said.events if isinstance(event, RunStarted)]
    assert "threads" in where
    assert WORDS in (tmp_path / "out" / "bkgflow.log").read_text()


def test_workers_that_were_asked_for_and_large_plans_get_processes(folder, tmp_path):
    plan = bkgflow.plan(folder / "my_program", tmp_path / "out")
    assert Local().suited(plan) == (Threads(), WORDS)
    for asked in (Local(workers=1), Local(memory="1GiB"), Threads(2)):
        assert asked.suited(plan) == (asked, "")
    large = replace(plan, costs=replace(plan.costs, written=1 << 30))
    assert Local().suited(large) == (Local(), "")
    many = replace(plan, units=plan.units * 50)
    assert Local().suited(many) == (Local(), "")


@pytest.mark.slow
def test_a_worker_of_ones_own_that_is_stopped_is_started_again(tmp_path):
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=2), tmp_path / "out")
    said = Said()

    class Stopped(Local):
        """A cluster whose only worker is stopped before it gets anything."""

        def open(self):
            from contextlib import contextmanager

            @contextmanager
            def opened():
                with super(Stopped, self).open() as executor:
                    [pid] = executor.client.run(os.getpid).values()
                    os.kill(pid, signal.SIGSTOP)
                    yield executor

            return opened()

    result = bkgflow.run(plan, Stopped(workers=1), listeners=[said])
    assert result.ok
    [word] = said.notices
    assert "has been silent" in word
    assert "started again" in word
