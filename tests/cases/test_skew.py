"""Workers whose packages are of other versions: refused before the first unit, or said."""

import importlib.metadata
import os
import platform
from functools import partial

import pytest

import bkgflow
from bkgflow.errors import UsageError
from bkgflow.version import VERSION
from tests.helpers.clusters import ROOT, processes
from tests.helpers.programs import Said, another_version, write_program
from tests.helpers.tasks import end_on_worker
from tests.helpers.workloads import Heard, Listed

pytestmark = pytest.mark.slow

OTHER = "0.0.1"


@pytest.fixture
def plan(tmp_path):
    return bkgflow.plan(write_program(tmp_path / "program"), tmp_path / "out")


@pytest.fixture
def nodes(tmp_path):
    with processes(tmp_path / "nodes") as made:
        made.scheduler()
        yield made


def world(folder, package):
    """The path of a process in which a package is of another version, as its metadata say."""
    match package:
        case "bkgflow":
            return os.pathsep.join([str(another_version(folder)), str(ROOT)])
        case "Python":
            site = "import platform\nplatform.python_version = lambda: '3.9.1'\n"
            (folder / "site").mkdir()
            (folder / "site" / "sitecustomize.py").write_text(site)
            return os.pathsep.join([str(folder / "site"), str(ROOT)])
    info = folder / "shadow" / f"{package}-{OTHER}.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {OTHER}\n"
    (info / "METADATA").write_text(text)
    # By these "dask" finds its commands.
    points = importlib.metadata.distribution(package).read_text("entry_points.txt")
    (info / "entry_points.txt").write_text(points or "")
    return os.pathsep.join([str(info.parent), str(ROOT)])


def ours(package):
    match package:
        case "bkgflow":
            return VERSION
        case "Python":
            return platform.python_version()
    return importlib.metadata.version(package)


def theirs(package):
    return "3.9.1" if package == "Python" else OTHER


PACKAGES = ["bkgflow", "Python", "dask", "distributed", "numpy"]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_worker_with_another_version_is_refused_or_said(package, plan, nodes, tmp_path):
    nodes.worker()
    nodes.worker(PYTHONPATH=world(tmp_path, package))
    with pytest.raises(UsageError, match="Every worker must have the driver's versions") as caught:
        bkgflow.run(plan, nodes.address)
    error = caught.value
    assert f"{package} {theirs(package)}, the driver {package} {ours(package)}" in error.value
    assert error.value.startswith("tcp://127.0.0.1:")
    assert f"Install {package} {ours(package)}" in error.cure and "--allow-skew" in error.cure
    assert not (tmp_path / "out").exists()
    said = Said()
    result = bkgflow.run(plan, nodes.address, allow_skew=True, listeners=[said])
    assert result.counts == {"COMPLETE": 3}
    [word] = said.notices
    assert f"has {package} {theirs(package)} instead of {ours(package)}" in word


@pytest.mark.parametrize("package", ["dask", "numpy"])
def test_a_worker_with_another_version_that_comes_late_is_sent_away(package, plan, nodes, tmp_path):
    from bkgflow.clusters.address import Address

    nodes.worker()
    path = world(tmp_path, package)
    come = partial(nodes.worker, PYTHONPATH=path, ready=False)
    tasks = {str(number): partial(end_on_worker, 0.3) for number in range(40)}
    with Address(nodes.address).open() as executor:
        executor.ready()
        executor.check(plan)
        heard = Heard(come).execute(executor, Listed(tasks))
    assert heard.states == {"COMPLETE": 40}
    assert len({verdict.reason for verdict in heard.ends.values()}) == 1
    [word] = heard.said
    assert "came late and is sent away" in word and f"{package} {OTHER}" in word


def test_what_only_changes_last_digits_is_said(plan, nodes, tmp_path):
    nodes.worker(PYTHONPATH=world(tmp_path, "scipy"))
    said = Said()
    assert bkgflow.run(plan, nodes.address, listeners=[said]).ok
    [word] = said.notices
    assert f"scipy {OTHER} instead of" in word and "results may differ" in word


def test_a_scheduler_with_another_dask_is_refused_and_numpy_is_none_of_its_business(plan, tmp_path):
    for package, refused in (("numpy", False), ("dask", True)):
        with processes(tmp_path / package) as nodes:
            nodes.scheduler(PYTHONPATH=world(tmp_path / package, package))
            nodes.worker()
            if not refused:
                assert bkgflow.run(plan, nodes.address).ok
                continue
            with pytest.raises(UsageError, match="The scheduler must have the driver's versions"):
                bkgflow.run(plan, nodes.address, fresh=True)


def test_the_command_line_refuses_and_allows(plan, nodes, tmp_path, monkeypatch, bkgflow_):
    monkeypatch.chdir(tmp_path)
    nodes.worker(PYTHONPATH=world(tmp_path, "numpy"))
    given = ["run", "program", "--output=there", f"--cluster={nodes.address}"]
    code, _, err = bkgflow_(*given)
    assert code == 2 and f"numpy {OTHER}" in err and "--allow-skew" in err
    code, out, _ = bkgflow_(*given, "--allow-skew")
    assert code == 0 and "3 COMPLETE" in out
