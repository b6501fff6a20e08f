"""What only a real gateway shows: who is let in, which options there are, clusters by name."""

import pytest
from dask_gateway import BasicAuth, Gateway

from bkgflow.clusters.choose import choose
from bkgflow.errors import UsageError
from tests.helpers.drivers import command
from tests.helpers.gateways import PASSWORD, profile_here

pytestmark = pytest.mark.slow


def test_a_wrong_password_is_refused_and_not_repeated(gateway_here, tmp_path, monkeypatch):
    monkeypatch.setenv("BKGFLOW_GATEWAY_PASSWORD", "a-wrong-one")
    cluster = choose(profile_here(tmp_path, gateway_here))
    with pytest.raises(UsageError, match="accept who asks") as caught, cluster.open():
        pass
    assert "a-wrong-one" not in str(caught.value)
    assert "BKGFLOW_GATEWAY_PASSWORD" in caught.value.cure


@pytest.mark.parametrize(
    ("options", "words"),
    [({"worker_core": 1}, r"Use worker_cores"), ({"worker_cores": 99}, r"worker_cores=99")],
)
def test_options_are_held_against_those_of_the_gateway(
    options, words, gateway_here, gateway_password, tmp_path
):
    cluster = choose(profile_here(tmp_path, gateway_here, options=options))
    with pytest.raises(UsageError) as caught, cluster.open():
        pass
    assert words in str(caught.value)


def test_a_cluster_that_is_there_is_named_by_an_address_and_left_running(
    gateway_here, gateway_password, tmp_path
):
    with (
        Gateway(gateway_here.address, auth=BasicAuth(password=PASSWORD)) as gateway,
        gateway.new_cluster() as made,
    ):
        made.scale(1)
        where = f"{gateway_here.address.replace('http', 'gateway')}/{made.name}"
        words = ("--gateway-auth", "basic", "--within", tmp_path)
        code, said, error = command("clusters", "check", where, *words)
        assert code == 0, error
        assert "unit: {'COMPLETE': 1}" in said
        assert made.name in {each.name for each in gateway.list_clusters()}
