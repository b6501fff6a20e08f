"""The demo's program comes to the same products wherever it is computed.

Where something can go wrong in a place, it does so midway, and the run goes on.
"""

import json
import subprocess

import pytest

import bkgflow
from bkgflow.campaign.events import UnitEnded
from tests.helpers import gateways
from tests.helpers import slurm as batch
from tests.helpers.clusters import processes
from tests.helpers.demo import differences
from tests.helpers.programs import Said
from tests.helpers.tls import Authority

pytestmark = pytest.mark.slow


def nothing():
    """Nothing goes wrong."""


@pytest.fixture
def threads():
    return "threads", nothing


@pytest.fixture
def local(tmp_path):
    path = tmp_path / "two.yaml"
    path.write_text("kind: local\nworkers: 2\nmemory: 1GiB\n")
    return path, nothing


@pytest.fixture
def adaptive(tmp_path):
    path = tmp_path / "adaptive.yaml"
    path.write_text("kind: local\nadaptive: {minimum: 1, maximum: 2}\nmemory: 1GiB\n")
    return path, nothing


@pytest.fixture
def address(cluster):
    return cluster, nothing


@pytest.fixture
def profile_of_an_address(cluster, tmp_path):
    path = tmp_path / "there.yaml"
    path.write_text(json.dumps({"kind": "address", "address": cluster, "wait": 30}))
    return path, nothing


@pytest.fixture
def secured_address(tmp_path):
    """A scheduler and workers of another's, with certificates in files."""
    authority = Authority(tmp_path / "certificates")
    mine = authority.issue("driver")
    with processes(tmp_path / "nodes", authority.issue("cluster")) as nodes:
        nodes.scheduler()
        nodes.worker()
        nodes.worker()
        path = tmp_path / "secured.yaml"
        path.write_text(json.dumps({"kind": "address", "address": nodes.address, **mine.given}))
        yield path, nothing


@pytest.fixture
def secured_local(tmp_path):
    path = tmp_path / "secured.yaml"
    path.write_text("kind: local\nworkers: 2\nmemory: 1GiB\ntls: true\n")
    return path, nothing


@pytest.fixture
def slurm_jobs(slurm_here, tmp_path):
    """SLURM, which ends a job of a worker when the run is in its midst."""

    def disturb():
        job = batch.jobs("RUNNING", "bkgflow-worker")[0]
        subprocess.run(["scancel", job], check=True, timeout=30)

    return batch.profile_here(tmp_path), disturb


@pytest.fixture
def gateway_cluster(gateway_here, gateway_password, tmp_path):
    """A gateway whose server is killed, and started again, when the run is in its midst."""
    return gateways.profile_here(tmp_path, gateway_here), gateway_here.restart


PLACES = [
    "threads",
    "local",
    "adaptive",
    "address",
    "profile_of_an_address",
    "secured_address",
    "secured_local",
    pytest.param("slurm_jobs", marks=pytest.mark.debian),
    "gateway_cluster",
]


class Disturbing:
    """A listener that does something when the first unit has ended, and counts what ends later."""

    patience = 120.0

    def __init__(self, act):
        self.act, self.done, self.later = act, False, 0

    def __call__(self, event):
        if isinstance(event, UnitEnded):
            self.later += self.done
            if not self.done:
                self.act()
                self.done = True


@pytest.mark.parametrize("place", PLACES)
def test_the_demo_program_comes_to_the_same_products(place, demo, request, tmp_path):
    products, plan_into = demo
    cluster, act = request.getfixturevalue(place)
    disturbing, said = Disturbing(act), Said()
    out = tmp_path / "out"
    result = bkgflow.run(plan_into(out), cluster, listeners=[disturbing, said])
    assert result.ok, (result, said.notices)
    assert disturbing.done and disturbing.later > 0
    names = sorted(path.name for path in products.glob("*.fits"))
    assert names and names == sorted(path.name for path in out.glob("*.fits"))
    for name in names:
        assert not differences(products / name, out / name), name
