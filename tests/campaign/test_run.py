"""Whole programs: shared backgrounds, nods, bad units, and a real cluster."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster, SchedulerPlugin
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.campaign.events import RunEnded, RunStarted, UnitEnded, UnitStarted, UnitTried
from bkgflow.clusters.choose import choose
from bkgflow.graph.build import build
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table
from bkgflow.simulate import Truth, simulate_imaging, simulate_nods, simulate_tso
from tests.helpers.driving import Driven
from tests.helpers.exposures import make_model, write_association
from tests.helpers.pace import few_fast


class Finished(SchedulerPlugin):
    """Counts how often the scheduler saw each task finish."""

    name = "finished"

    def __init__(self):
        self.counts = Counter()

    def transition(self, key, start, finish, *args, **kwargs):
        if start == "processing" and finish == "memory":
            self.counts[str(key)] += 1


def count_finished(dask_scheduler):
    return dict(dask_scheduler.plugins["finished"].counts)


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """24 targets that share 8 backgrounds, and a 5-point nod set: one folder of associations."""
    folder = tmp_path_factory.mktemp("survey")
    imaging = simulate_imaging(folder / "imaging", targets=24, backgrounds=8, size=128)
    nods = simulate_nods(folder / "nods", points=5, size=256)
    return imaging, nods


def starless(truth: Truth) -> np.ndarray:
    """Pixels that no star of a background lights: starlight that clipping leaves is no sky."""
    backgrounds = [each.name for each in truth.exposures if each.role == "background"]
    return np.max([truth.sources(name) for name in backgrounds], axis=0) < 1e-4


def sky_residual(truth: Truth, product: Path, target: Path):
    """Mean, and its error, of what the subtraction left of the sky."""
    name = target.name
    with datamodels.open(str(product)) as model, datamodels.open(str(target)) as before:
        good = ((before.dq & 1) == 0) & starless(truth)
        residual = np.asarray(model.data, float) - truth.sources(name)
        good &= np.isfinite(residual) & (truth.rays(name) == 0)
        # Not weighted: ERR grows with the noise of its own pixel, and weights would follow it.
        error = np.asarray(model.err, float)[good]
        return residual[good].mean(), np.sqrt((error**2).sum()) / good.sum()


@pytest.mark.slow
def test_a_program_on_two_worker_processes(survey, cluster, tmp_path):
    imaging, nods = survey
    plan = bkgflow.plan([*imaging.associations, *nods.associations], tmp_path / "out")
    assert sorted(plan.sharing().values()) == [1, 1, 1, 1, 1, 24]
    assert "once, for 24 targets" in as_text(plan_table(plan))
    with Client(cluster) as client:
        client.register_plugin(Finished())
        result = bkgflow.run(plan, cluster=client)
        counts = client.run_on_scheduler(count_finished)
        client.unregister_scheduler_plugin("finished")
    assert result.counts == {"COMPLETE": 29}
    combined = {key: n for key, n in counts.items() if "combine-" in key}
    assert len(combined) == 6
    assert set(combined.values()) == {1}
    assert sum("subtract-" in key for key in counts) == 29
    for unit, ended in result.pairs():
        assert unit.output == Path(unit.target).name.replace("_rate", "_bsub")
        with datamodels.open(ended.products[0]) as model:
            assert model.meta.cal_step.bkg_subtract == "COMPLETE"
            assert model.meta.filename == unit.output
            assert model.meta.bkgflow.key == unit.digest
            assert len(model.meta.bkgflow.backgrounds) in (4, 8)


@pytest.mark.slow
def test_the_sky_is_gone_to_within_its_error(survey, tmp_path):
    imaging, _ = survey
    plan = bkgflow.plan(imaging.folder, tmp_path / "out", propagate_errors=True)
    result = bkgflow.run(plan, cluster="threads")
    assert result.ok
    pulls = []
    for unit, ended in result.pairs():
        mean, error = sky_residual(imaging.truth, Path(ended.products[0]), Path(unit.target))
        pulls.append(mean / error)
    # The targets share one background, whose own error moves all of them together.
    assert np.abs(pulls).max() < 5
    assert np.std(pulls) < 2


@pytest.mark.slow
def test_results_do_not_depend_on_where_they_are_computed(survey, cluster, tmp_path):
    _, nods = survey
    outputs = []
    for where in ("threads", cluster):
        out = tmp_path / str(len(outputs))
        result = bkgflow.run(bkgflow.plan(nods.folder, out), cluster=where)
        assert result.ok
        outputs.append(sorted(result.products))
    for first, second in zip(*outputs, strict=True):
        with datamodels.open(first) as a, datamodels.open(second) as b:
            np.testing.assert_array_equal(a.data, b.data)
            np.testing.assert_array_equal(a.dq, b.dq)


@pytest.mark.slow
def test_time_series(tmp_path):
    tso = simulate_tso(tmp_path / "in", integrations=6, backgrounds=2, size=64)
    result = bkgflow.run(bkgflow.plan(tso.folder, tmp_path / "out"), cluster="threads")
    assert result.ok
    (product,) = result.products
    assert product.name.endswith("_bsubints.fits")
    with datamodels.open(product) as model:
        assert type(model).__name__ == "CubeModel"
        assert model.data.shape[0] == 6


@pytest.mark.slow
def test_a_local_cluster_of_our_own(survey, tmp_path):
    _, nods = survey
    plan = bkgflow.plan(nods.associations[0], tmp_path / "out")
    result = bkgflow.run(plan, cluster="local", workers=1, memory="2GiB")
    assert result.counts == {"COMPLETE": 1}


@pytest.mark.slow
def test_nods_read_every_exposure_at_most_twice(survey, tmp_path):
    """Bytes that a run reads, counted by the kernel, against the bytes of the exposures."""
    _, nods = survey
    script = (
        "import sys, bkgflow\n"
        "def read():\n"
        "    lines = open('/proc/self/io').read().split()\n"
        "    return int(lines[lines.index('rchar:') + 1])\n"
        "plan = bkgflow.plan(sys.argv[1], sys.argv[2])\n"
        "bkgflow.run(plan, cluster='threads', workers=1)\n"  # warm: imports, schemas
        "before = read()\n"
        "assert bkgflow.run(plan, cluster='threads', workers=1).ok\n"
        "print(read() - before)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", script, str(nods.folder), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    size = sum(path.stat().st_size for path in nods.exposures)
    # Schemas and byte code that a run reads again are small beside a third reading.
    assert int(out.stdout) < 2.5 * size


@pytest.mark.slow
def test_the_graph_is_small_and_holds_no_arrays(survey, tmp_path):
    import cloudpickle

    imaging, nods = survey
    plan = bkgflow.plan([*imaging.associations, *nods.associations], tmp_path / "out")
    graph = build(plan)
    assert len(cloudpickle.dumps(graph.tasks)) < 10_000 * len(plan.units)


def test_a_plan_survives_its_file(survey, tmp_path):
    _, nods = survey
    plan = bkgflow.plan(nods.folder, tmp_path / "out")
    plan.save(tmp_path / "plan.json")
    assert bkgflow.Plan.load(tmp_path / "plan.json") == plan
    with pytest.raises(AttributeError):
        plan.output = "elsewhere"


def test_keys_follow_what_determines_the_result(tmp_path, write_exposure):
    write_exposure("t_rate.fits", np.full((4, 4), 3.0))
    background = write_exposure("b_rate.fits", np.full((4, 4), 1.0))
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])

    def keys(**arguments):
        (unit,) = bkgflow.plan(path, tmp_path / "out", **arguments).units
        return unit.digest, unit.shared

    first = keys()
    assert keys() == first
    assert keys(maxiters=0) != first  # recorded as asked for, combined as before
    assert keys(maxiters=0)[1] == first[1]
    assert keys(sigma=4)[1] != first[1]
    assert keys(propagate_errors=True)[0] != first[0]
    with_err = keys(propagate_errors=True)[1]
    assert with_err == keys(save_combined_background=True)[1] != first[1]
    write_exposure("b_rate.fits", np.full((4, 4), 2.0))
    os.utime(background, ns=(1, 1))
    assert keys()[1] != first[1]


# Bad units beside good ones.


@pytest.fixture
def mixed(tmp_path, write_exposure):
    """A program of one good unit, one that is skipped, and many that are bad."""
    write_exposure("good_rate.fits", np.full((6, 6), 100.0))
    write_exposure("bkg_rate.fits", np.full((6, 6), 10.0))
    write_exposure("nan_rate.fits", np.full((6, 6), np.nan))
    write_exposure("far_rate.fits", np.full((6, 6), 10.0), corner=(500, 500))
    write_exposure("small_rate.fits", np.full((3, 3), 10.0), corner=(2, 3))
    for name in ("a", "b", "c", "d", "e"):
        write_exposure(f"{name}_rate.fits", np.full((6, 6), 100.0))
    cut = write_exposure("cut_rate.fits", np.full((60, 60), 10.0))
    with cut.open("r+b") as stream:
        stream.truncate(20000)
    for name, tilt in (("n1", 0.1), ("n2", 0.1), ("n3", 0.2), ("n4", None)):
        write_exposure(
            f"{name}_rate.fits",
            np.full((6, 6), 10.0),
            instrument="NIRSPEC",
            exp_type="NRS_FIXEDSLIT",
            gwa=(tilt, 0.1),
        )
    units = [
        ("good", "good_rate.fits", ["bkg_rate.fits", "nan_rate.fits", "far_rate.fits"]),
        ("alone", "a_rate.fits", []),
        ("all-nan", "b_rate.fits", ["nan_rate.fits"]),
        ("no-overlap", "c_rate.fits", ["far_rate.fits"]),
        ("missing", "d_rate.fits", ["not-there_rate.fits"]),
        ("truncated", "e_rate.fits", ["cut_rate.fits"]),
        ("gwa-missing", "n1_rate.fits", ["n4_rate.fits"]),
        ("gwa-differs", "n2_rate.fits", ["n3_rate.fits"]),
        ("partial", "bkg_rate.fits", ["small_rate.fits"]),
        ("itself", "small_rate.fits", ["small_rate.fits"]),
    ]
    folder = tmp_path
    write_association(folder / "all_asn.json", units, [("dark.fits", "imprint")])
    (folder / "broken_asn.json").write_text("{")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("where", few_fast(["threads", "cluster"], 1))
def test_a_bad_unit_does_not_stop_the_others(mixed, where, request, tmp_path):
    address = request.getfixturevalue("cluster") if where == "cluster" else where
    out = tmp_path / "out"
    result = bkgflow.run(bkgflow.plan(mixed, out), cluster=address)
    ends = {unit.product: ended for unit, ended in result.pairs()}
    assert {name: ended.state.value for name, ended in ends.items()} == {
        "good": "COMPLETE",
        "alone": "SKIPPED",
        "all-nan": "QUARANTINED",
        "no-overlap": "QUARANTINED",
        "missing": "QUARANTINED",
        "truncated": "QUARANTINED",
        "gwa-missing": "QUARANTINED",
        "gwa-differs": "SKIPPED",
        "partial": "COMPLETE",
        "itself": "QUARANTINED",
        "": "QUARANTINED",
    }
    for name, file in (
        ("all-nan", "nan_rate.fits"),
        ("no-overlap", "c_rate.fits"),
        ("missing", "not-there_rate.fits"),
        ("truncated", "cut_rate.fits"),
        ("gwa-missing", "n4_rate.fits"),
        ("itself", "all_asn.json"),
        ("", "broken_asn.json"),
    ):
        error = ends[name].error
        assert Path(error.file).name == file
        assert error.rule and error.value and error.cure
    assert not result.ok
    assert sorted(path.name for path in out.iterdir()) == [
        "a_bsub.fits",
        "bkg_bsub.fits",
        "bkgflow-campaign.json",
        "bkgflow-events.jsonl",
        "bkgflow-facts.jsonl",
        "bkgflow-ledger.sqlite",
        "bkgflow-run.json",
        "bkgflow.log",
        "good_bsub.fits",
        "n2_bsub.fits",
    ]
    with datamodels.open(out / "good_bsub.fits") as model:
        np.testing.assert_array_equal(model.data, 90)
        assert list(model.meta.bkgflow.unused_backgrounds) == ["nan_rate.fits"]
        notes = " ".join(model.meta.bkgflow.notes)
        assert "far_rate.fits" in notes
        assert "imprint member dark.fits is left alone" in notes
    with datamodels.open(out / "n2_bsub.fits") as model:
        assert model.meta.cal_step.bkg_subtract == "SKIPPED"
        assert "grating wheel" in model.meta.bkgflow.reason
        np.testing.assert_array_equal(model.data, 10)
    with datamodels.open(out / "bkg_bsub.fits") as model:
        assert model.meta.bkgflow.unsubtracted_pixels == 27
        np.testing.assert_array_equal(model.data[2:5, 1:4], 0)
        assert (model.data == 10).sum() == 27


@pytest.mark.slow
def test_a_background_that_goes_bad_after_planning(tmp_path, write_exposure):
    for name in ("t1", "t2"):
        write_exposure(f"{name}_rate.fits", np.full((6, 6), 100.0))
    for name in ("b1", "b2"):
        write_exposure(f"{name}_rate.fits", np.full((6, 6), 10.0))
    path = write_association(
        tmp_path / "x_asn.json",
        [("p1", "t1_rate.fits", ["b1_rate.fits"]), ("p2", "t2_rate.fits", ["b2_rate.fits"])],
    )
    plan = bkgflow.plan(path, tmp_path / "out")
    (tmp_path / "b1_rate.fits").unlink()
    result = bkgflow.run(plan, cluster="threads")
    assert [verdict.state.value for verdict in result.verdicts] == ["QUARANTINED", "COMPLETE"]
    assert "b1_rate.fits" in result.verdicts[0].error.file


@pytest.mark.slow
def test_two_units_that_would_write_one_file(tmp_path, write_exposure):
    write_exposure("t_rate.fits", np.full((6, 6), 100.0))
    write_exposure("u_rate.fits", np.full((6, 6), 100.0))
    write_exposure("b_rate.fits", np.full((6, 6), 10.0))
    for name, backgrounds in (("1", ["b_rate.fits"]), ("2", ["b_rate.fits", "u_rate.fits"])):
        write_association(tmp_path / f"{name}_asn.json", [("p", "t_rate.fits", backgrounds)])
    write_association(tmp_path / "3_asn.json", [("p", "u_rate.fits", ["b_rate.fits"])])
    write_association(tmp_path / "4_asn.json", [("p", "u_rate.fits", ["b_rate.fits"])])
    result = bkgflow.run(bkgflow.plan(tmp_path, tmp_path / "out"), cluster="threads")
    assert result.counts == {"QUARANTINED": 2, "COMPLETE": 1}
    error = result.verdicts[0].error
    assert "a file of its own" in error.rule
    assert "1_asn.json, 2_asn.json" in error.value
    assert "4_asn.json asks for the same" in result.plan.units[2].notes[0]


def test_no_product_over_an_exposure(tmp_path, write_exposure):
    write_exposure("t_rate.fits", np.full((6, 6), 100.0))
    write_exposure("t_bsub.fits", np.full((6, 6), 10.0))
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["t_bsub.fits"])])
    (unit,) = bkgflow.plan(path, tmp_path).units
    assert "written over an exposure" in unit.verdict.error.rule


@pytest.mark.slow
def test_saved_combined_backgrounds(tmp_path, write_exposure):
    write_exposure("t_rate.fits", np.full((6, 6), 100.0), corner=(5, 7))
    write_exposure("b_rate.fits", np.full((6, 6), 10.0), dq=4, corner=(5, 7))
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    plan = bkgflow.plan(path, tmp_path / "out", save_combined_background=True)
    result = bkgflow.run(plan, cluster="threads")
    assert [product.name for product in result.products] == [
        "t_bsub.fits",
        "t_combinedbackground.fits",
    ]
    combined = bkgflow.open_exposure(result.products[1])
    assert combined.x.values[0] == 4
    np.testing.assert_array_equal(combined.sci, 10)
    np.testing.assert_array_equal(combined.err, 0.5)
    np.testing.assert_array_equal(combined.dq, 4)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["threads", "cluster"])
def test_events_are_announced_in_order_and_in_a_thread_beside_the_run(
    mixed, where, request, tmp_path
):
    address = request.getfixturevalue("cluster") if where == "cluster" else where
    seen, threads = [], set()

    def listen(event):
        seen.append(event)
        threads.add(threading.current_thread())

    plan = bkgflow.plan(mixed, tmp_path / "out")
    result = bkgflow.run(plan, cluster=address, listeners=[listen])
    assert len(threads) == 1 and threading.current_thread() not in threads
    assert not threads.pop().is_alive()
    assert {event.run for event in seen} == {result.run}
    assert isinstance(seen[0], RunStarted) and seen[0].units == len(plan.units)
    assert isinstance(seen[-1], RunEnded) and seen[-1].seconds > 0
    ended = [event.unit for event in seen if isinstance(event, UnitEnded)]
    assert sorted(ended) == sorted(unit.digest for unit in plan.units)
    started = [event.unit for event in seen if isinstance(event, UnitStarted)]
    assert sorted(started) == sorted(
        unit.digest for unit in plan.units if unit.verdict.state != "QUARANTINED"
    )
    for unit in started:
        when = [type(event) for event in seen if getattr(event, "unit", None) == unit]
        assert when == [UnitStarted, UnitTried, UnitEnded]


@pytest.mark.slow
def test_a_listener_that_fails_does_not_stop_the_run(mixed, tmp_path):
    told, good = [], []

    def fails(event):
        told.append(event)
        raise ValueError("no page to write to")

    plan = bkgflow.plan(mixed, tmp_path / "out")
    result = bkgflow.run(plan, cluster="threads", listeners=[fails, good.append])
    assert result.counts["COMPLETE"] == 2
    assert len(told) == 1
    assert len(good) > len(plan.units)
    log = (tmp_path / "out" / "bkgflow.log").read_text()
    assert "a listener of the run failed" in log and "no page to write to" in log


@pytest.mark.slow
def test_a_run_from_python_leaves_its_log_and_its_result(mixed, tmp_path):
    plan = bkgflow.plan(mixed, tmp_path / "out")
    result = bkgflow.run(plan, cluster="threads")
    kept = json.loads((tmp_path / "out" / "bkgflow-run.json").read_text())
    assert kept == json.loads(json.dumps(result.to_dict()))
    assert kept["run"] == result.run
    assert kept["counts"] == result.counts
    good = next(unit for unit in kept["units"] if unit["product_name"] == "good")
    assert good["state"] == "COMPLETE"
    assert good["found"] == {"unsubtracted_pixels": 0, "unused_backgrounds": ["nan_rate.fits"]}
    log = (tmp_path / "out" / "bkgflow.log").read_text()
    assert f"run {result.run}: 11 units" in log
    assert "good_rate.fits: no valid pixel in nan_rate.fits" in log
    assert str(result).splitlines()[0] == "11 units: 2 COMPLETE, 7 QUARANTINED, 2 SKIPPED"
    assert "… and 2 more" in str(result)


@pytest.mark.slow
def test_a_worker_that_dies_takes_nothing_with_it(tmp_path, write_exposure):
    """One worker is killed while it computes; the scheduler gives its work to another."""
    program = simulate_nods(tmp_path / "in", points=6, size=128)
    plan = bkgflow.plan(program.folder, tmp_path / "out")
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        Client(local) as client,
    ):
        killed = []

        def kill_one(unit, verdict):
            if not killed:
                pids = client.run(os.getpid)
                killed.append(next(iter(pids.values())))
                os.kill(killed[0], 9)

        result = bkgflow.run(plan, Driven(choose(client), ended=kill_one))
    assert killed
    assert result.counts == {"COMPLETE": 6}


@pytest.mark.slow
def test_peak_memory_is_within_what_the_plan_promises(tmp_path):
    """A combine task's strips stay within the budget, whatever the number of exposures."""
    import tracemalloc

    from bkgflow.io.exposures.from_model import model_facts
    from bkgflow.kinds.bands import combine_band
    from bkgflow.rules import StackRule

    models = [make_model(np.ones((256, 256)), corner=(1, 1)) for _ in range(40)]
    sources = [model_facts(model, str(i)).source for i, model in enumerate(models)]
    window = sources[0].window
    budget = 1 << 20

    def combine():
        return combine_band(sources, [range(40)], window, rule=StackRule(), budget=budget)

    combine()
    tracemalloc.start()
    bands = combine()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    results = sum(getattr(bands[0].pixels, name).nbytes for name in ("sci", "err", "dq", "n_used"))
    assert peak < results + 2.5 * budget
