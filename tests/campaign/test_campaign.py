"""Campaigns from Python: submitted, found again, waited for, canceled, retried, and shown."""

import shutil
import sys
import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import astropy.table
import pandas as pd
import pytest
from distributed import Client, LocalCluster

import bkgflow
from bkgflow.campaign.asked import Asked
from bkgflow.campaign.cancel import DESK_FILE, cancel_run
from bkgflow.campaign.signals import Stopped
from bkgflow.clusters.address import Address
from bkgflow.clusters.handover import described, revived
from bkgflow.clusters.local import Local, Threads
from bkgflow.clusters.threads import ThreadExecutor
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.owner import Owner
from tests.helpers.clusters import wait_until
from tests.helpers.drivers import Held, command, driver_of, products_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled", "slowly")]


@pytest.fixture
def slowly(monkeypatch):
    """Have a driver make every product through its data model."""
    monkeypatch.setenv("BKGFLOW_AMEND", "0")


def test_a_campaign_on_worker_processes_is_found_again_from_anywhere(crowd, out):
    plan = bkgflow.plan(crowd, out)
    with Held(out) as held:
        campaign = bkgflow.submit(plan, cluster="local", workers=2, labels={"operator": "ada"})
        assert isinstance(campaign, bkgflow.Campaign)
        driver, status = held.wait(), campaign.status()
        assert status.state == "running" and status.total == 8
        assert int(status.driver.split("@")[0]) == driver.pid
        with pytest.warns(UserWarning, match=rf"nothing was submitted: run {status.run}, process"):
            bkgflow.submit(plan, "threads")
        found = bkgflow.Campaign.open(out)
        assert (found.id, found.output) == (campaign.id, out)
        assert len(found.id) == 12
        with pytest.raises(TimeoutError, match="still runs"):
            found.wait(timeout=0.01)
    ended = found.wait(timeout=300)
    assert (ended.state, ended.done, ended.counts) == ("complete", 8, {"COMPLETE": 8})
    assert ended.labels == {"operator": "ada"} and ended.rate > 0
    assert ended.written == sum(path.stat().st_size for path in out.glob("*_bsub.fits"))
    table = found.results()
    assert isinstance(table, pd.DataFrame) and list(table.state) == ["COMPLETE"] * 8
    assert list(table["size"]) == [(out / f"t{n}_bsub.fits").stat().st_size for n in range(8)]
    assert (table.ended >= table.begun).all()
    rows = found.results(kind="astropy")
    assert isinstance(rows, astropy.table.Table)
    assert list(rows["product"]) == list(table["product"])
    events = found.events()
    assert list(events[events.event == "ends"].state) == ["COMPLETE"] * 8
    with pytest.raises(UsageError, match="pandas, astropy"):
        found.results(kind="excel")


def test_cancel_and_retry_from_python(crowd, out, tmp_path):
    program = shutil.copytree(crowd, tmp_path / "program")
    plan = bkgflow.plan(program, out)
    (program / "t7_rate.fits").rename(program / "away.fits")
    with Held(out) as held:
        campaign = bkgflow.submit(plan, cluster=Threads(workers=1), check_space=False)
        held.wait()
        (running,) = wait_until(lambda: campaign.status().under_way)
        assert running.where == Owner.me().host
        with ThreadPoolExecutor(1) as pool:
            ended = pool.submit(campaign.cancel)
            wait_until((out / DESK_FILE).read_text)
            held.release()
            status = ended.result()
    assert status.state == "stopped" and driver_of(out) is None
    assert status.counts["BLOCKED"] and f"bkgflow retry {out}" in status.words
    status = campaign.retry().wait(300)
    assert (status.state, status.counts) == ("failed", {"COMPLETE": 7, "QUARANTINED": 1})
    (failure,) = status.failures
    assert failure.units == ("t7_rate.fits",)
    (program / "away.fits").rename(program / "t7_rate.fits")
    status = campaign.retry().wait(300)
    assert (status.state, status.counts, status.runs) == ("complete", {"COMPLETE": 8}, 3)
    assert campaign.cancel().state == "complete"


def test_a_campaign_of_the_command_line_is_retried_from_python(crowd, out):
    given = ("submit", crowd, "--output", out, "--cluster", "threads", "--workers", "1")
    with Held(out) as held:
        assert command(*given)[0] == 0
        held.cancel()
    campaign = bkgflow.Campaign.open(out)
    assert campaign.status().state == "stopped"
    assert campaign.retry().wait(300).state == "complete"


def test_a_campaign_that_was_run_here_says_how_it_is_run_again(folder, out):
    bkgflow.run(bkgflow.plan(folder / "program", out), "threads")
    campaign = bkgflow.Campaign.open(out)
    assert campaign.status().state == "complete"
    with pytest.raises(UsageError, match=r"bkgflow\.run\(plan, retry_failed=True\)"):
        campaign.retry()


def test_a_run_in_a_thread_is_canceled_from_another(crowd, out):
    """No signal reaches it."""
    plan, ended = bkgflow.plan(crowd, out), []

    def run():
        try:
            bkgflow.run(plan, Slowly(workers=1))
        except Stopped as stop:
            ended.append(stop)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: products_in(out) >= 1, seconds=100)
    assert cancel_run(Location.of(out), timeout=100)
    thread.join()
    (stop,) = ended
    assert str(stop).startswith("canceled by") and stop.result.counts["BLOCKED"]
    assert bkgflow.Campaign.open(out).status().state == "stopped"
    assert not cancel_run(Location.of(out))


class SlowExecutor(ThreadExecutor):
    """Takes its time after each unit."""

    def execute(self, work, on_start, on_end, *more, **options):
        def later(unit, verdict):
            on_end(unit, verdict)
            time.sleep(1)

        super().execute(work, on_start, later, *more, **options)


@dataclass(frozen=True)
class Slowly(Threads):
    """Threads that do."""

    @contextmanager
    def open(self):
        yield SlowExecutor(self.workers)


# What is handed over.


@dataclass(frozen=True)
class Keeps(Local):
    """Settings of one's own, with a value that is none of JSON."""

    thing: object = field(default_factory=object)


@pytest.mark.parametrize(
    "cluster",
    [
        Threads(3),
        Local(),
        Local(workers=2, memory="2GiB", start=LocalCluster),
        Address("tcp://x:1", wait=5),
    ],
)
def test_settings_of_clusters_come_through_as_they_were(cluster):
    assert revived(described(cluster)) == cluster


def test_what_lives_in_this_process_is_refused_with_the_cure(folder, out):
    plan = bkgflow.plan(folder / "program", out)
    with (
        LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        for each in (cluster, client):
            with pytest.raises(UsageError, match=r"Give its address: cluster\.scheduler_address"):
                bkgflow.submit(plan, each)
    for each in (Local(start=lambda **options: None), Keeps()):
        with pytest.raises(UsageError, match="a cluster that its driver can open"):
            bkgflow.submit(plan, each)
    with pytest.raises(UsageError, match="must be given a plan"):
        bkgflow.submit("program")
    with pytest.raises(UsageError, match="must be among"):
        bkgflow.submit(plan, rerun_on=["moon"])
    assert not out.exists()


def test_a_scheduler_elsewhere_is_given_by_its_address(folder, out, cluster):
    plan = bkgflow.plan(folder / "program", out)
    assert bkgflow.submit(plan, cluster, wait=30).wait(300).state == "complete"


def test_there_must_be_a_campaign(tmp_path):
    with pytest.raises(LedgerError, match="A campaign must have been run in the output folder"):
        bkgflow.Campaign.open(tmp_path)


# In a notebook.


def test_a_notebook_shows_a_campaign_and_goes_on_to_show_it(crowd, out, monkeypatch):
    shown = []

    class Handle:
        update = staticmethod(shown.append)

    def display(html, display_id):
        assert display_id
        shown.append(html)
        return Handle

    modules = {
        "IPython": types.SimpleNamespace(
            get_ipython=lambda: types.SimpleNamespace(kernel=object())
        ),
        "IPython.display": types.SimpleNamespace(HTML=str, display=display),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    with Held(out) as held:
        campaign = bkgflow.submit(bkgflow.plan(crowd, out), "threads", workers=1)
        held.wait()
        campaign._ipython_display_()  # it does not wait
        assert 'max="8"' in shown[0] and "is running" in shown[0]
    assert campaign.wait(300).state == "complete"
    wait_until(lambda: "is complete" in shown[-1], seconds=20)
    assert 'value="8" max="8"' in shown[-1] and "8 of 8 units done" in shown[-1]
    assert len(shown) >= 3


def test_a_prompt_prints_a_campaign(folder, out, capsys):
    spoiled = folder / "program" / "t2_rate.fits"
    spoiled.unlink()
    spoiled.write_text("no exposure")
    bkgflow.run(bkgflow.plan(folder / "program", out), "threads")
    campaign = bkgflow.Campaign.open(out)
    campaign._ipython_display_()
    assert "is failed" in capsys.readouterr().out
    assert repr(campaign) == f"<Campaign {campaign.id} in {out}>"
    html = campaign._repr_html_()
    assert 'value="2" max="2"' in html and "<td>QUARANTINED</td><td>1</td>" in html


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        ("run p --only x* --fresh true --output o", "run p --output o"),
        ("run --fresh=true --only=x --retry_failed p", "run p"),
        ("run --output o --fresh -- p --only", "run --output o -- p --only"),
        ("run -v on --format zarr", "run on --format zarr"),
    ],
)
def test_a_run_goes_on_with_all_that_is_left(typed, again):
    assert Asked(tuple(typed.split())).again == tuple(again.split())
