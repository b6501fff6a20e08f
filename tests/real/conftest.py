"""The object store of these tests: Ceph's RADOS gateway, as Debian has it."""

import pytest

from tests.helpers.ceph import gateway, missing_programs
from tests.helpers.stores import KEY, SECRET, bucket_in, enter, hasty

__all__ = ["hasty"]


@pytest.fixture(scope="session")
def gateway_port(tmp_path_factory):
    """A gateway that runs as long as these tests do."""
    if missing := missing_programs():
        pytest.skip(missing)
    with gateway(tmp_path_factory.mktemp("ceph"), KEY, SECRET) as port:
        yield port


@pytest.fixture
def store(gateway_port, request, monkeypatch, tmp_path_factory):
    """An empty bucket of the gateway; this process, and those it starts, reach it."""
    name = f"b-{abs(hash(request.node.nodeid)) % 10**12}"
    with bucket_in(gateway_port, name) as made:
        enter(made, monkeypatch, tmp_path_factory.mktemp("state"))
        yield made
