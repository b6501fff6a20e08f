"""The places where the demo's program is computed, and what comes of it there."""

import pytest

import bkgflow
from tests.helpers.demo import DEMO, demo_program, with_references
from tests.helpers.gateways import PASSWORD, gateway_server
from tests.helpers.slurm import missing_programs, slurm


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """The demo's program, its references, and the products that threads make of it."""
    folder = tmp_path_factory.mktemp("demo")
    written = demo_program(folder / "program", size=128)
    references = with_references(written, folder / "references")
    associations = [str(path) for each in written for path in each.associations]
    plan = bkgflow.plan(associations, folder / "products", references=references, **DEMO)
    assert bkgflow.run(plan, "threads", workers=2).ok

    def plan_into(out):
        return bkgflow.plan(associations, out, references=references, **DEMO)

    return folder / "products", plan_into


@pytest.fixture(scope="session")
def slurm_here(tmp_path_factory):
    """A SLURM that runs as long as these tests do."""
    if missing := missing_programs():
        pytest.skip(missing)
    with slurm(tmp_path_factory.mktemp("slurm")) as folder:
        yield folder


@pytest.fixture(scope="session")
def gateway_here(tmp_path_factory):
    """A dask-gateway that runs as long as these tests do."""
    with gateway_server(tmp_path_factory.mktemp("gateway")) as server:
        yield server


@pytest.fixture
def gateway_password(monkeypatch):
    """The password is where users have it."""
    monkeypatch.setenv("BKGFLOW_GATEWAY_PASSWORD", PASSWORD)
