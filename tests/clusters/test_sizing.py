"""Workers have room for the largest task of a plan, as far as the machine has."""

from dataclasses import replace

import pytest

import bkgflow
from bkgflow.campaign.runner import check_memory
from bkgflow.clusters.local import Local
from bkgflow.clusters.sizing import fitted, needed
from bkgflow.errors import SettingsError, UsageError
from tests.helpers.programs import write_program

MIB, GIB = 1 << 20, 1 << 30


def test_small_tasks_leave_everything_to_dask():
    assert fitted(64 * MIB, None, 24 * GIB, 2) is None
    assert fitted(64 * MIB, 4, 24 * GIB, 2) is None


@pytest.mark.parametrize("cores", [2, 8, 64])
@pytest.mark.parametrize("task", [600 * MIB, 2 * GIB, 3 * GIB])
def test_large_tasks_get_fewer_workers_with_more_memory(cores, task):
    memory = 16 * GIB
    fits = fitted(task, None, memory, cores)
    if fits is None:
        assert needed(task) <= memory // cores
        return
    each = int(fits.memory.removesuffix("B"))
    assert each >= needed(task) > 2 * task
    assert fits.workers * each <= memory and 1 <= fits.workers <= cores
    assert (fits.workers + 1) * needed(task) > memory
    assert f"{fits.workers} of {cores} workers" in fits.why and f"{task // MIB} MiB" in fits.why


def test_workers_that_were_asked_for_share_the_machine():
    fits = fitted(2 * GIB, 2, 16 * GIB, 8)
    assert (fits.workers, fits.memory) == (2, f"{8 * GIB}B")
    assert fitted(2 * GIB, 8, 16 * GIB, 8) is None


def test_a_task_that_fits_into_no_machine_gets_all_of_it():
    fits = fitted(100 * GIB, None, 16 * GIB, 8)
    assert (fits.workers, fits.memory) == (1, f"{16 * GIB}B")


def test_a_plan_chooses_its_workers_and_what_was_said_stays(tmp_path):
    plan = bkgflow.plan(write_program(tmp_path / "program", targets=1), tmp_path / "out")
    huge = replace(plan, costs=replace(plan.costs, written=GIB, unit_task=1 << 50))
    suited, why = Local().suited(huge)
    assert suited.workers == 1 and suited.worker_memory > 0
    assert why.startswith("1 of ") or why == ""  # of one core there is no choice
    assert Local(memory="1GiB").suited(huge) == (Local(memory="1GiB"), "")
    with pytest.raises(UsageError, match=r"memory of a worker.*--memory"):
        check_memory(huge, suited)


@pytest.mark.parametrize("text", ["", ":8787", "host:", "1:2:3", "host:port", "::1:8787", "70000"])
def test_a_dashboard_that_is_nowhere(text):
    with pytest.raises(SettingsError, match=r"HOST:PORT.*127\.0\.0\.1:8787"):
        Local(dashboard=text)
