"""Commands about campaigns in a store that does not answer, or refuses: the command is wrong."""

import pytest

import bkgflow
from bkgflow.errors import LedgerError, StorageError
from bkgflow.io.storage.publish import check_writable
from bkgflow.io.storage.reached import forget_stores
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow


@pytest.fixture
def away(store, hasty, monkeypatch):
    """The URL of a folder in a store that nobody reaches."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5")
    forget_stores()
    return f"{store.url}/out"


@pytest.mark.parametrize(
    "words",
    [
        ("status",), ("verify",), ("explain", "t0"), ("clean",), ("diff", "s3://b/other"),
        ("rebuild",), ("cancel",), ("wait",), ("retry",), ("list",), ("export", "--to", "x.csv"),
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_command_about_a_campaign_out_of_reach_is_wrong_as_a_whole(words, away, bkgflow_):
    code, _, said = bkgflow_(words[0], away, *words[1:])
    assert code == 2 and said.count("\n") == 1
    assert away in said and "the system says" not in said


def test_a_program_is_not_run_into_a_store_out_of_reach(away, bkgflow_, tmp_path):
    write_program(tmp_path / "p", targets=1)
    for word in ("run", "submit"):
        code, _, said = bkgflow_(word, tmp_path / "p", "--output", away)
        assert code == 2 and said.count("\n") == 1 and away in said


def test_in_python_it_is_an_error_of_bkgflow(away):
    for ask in (bkgflow.verify, bkgflow.clean, bkgflow.Campaign.open):
        with pytest.raises(StorageError, match="must say what is in it"):
            ask(away)


def test_a_store_that_takes_nothing_away_is_no_output(store):
    store.proxy.fault = lambda request, _: "forbid" if request.method == "DELETE" else ""
    with pytest.raises(StorageError, match="must be possible to write"):
        check_writable(f"{store.url}/out")


def test_a_campaign_that_may_not_be_read_is_not_taken_for_none(store):
    store.put("out/bkgflow-campaign.json", b"{}")
    store.proxy.fault = lambda request, _: (
        "forbid" if request.method == "GET" and request.path.endswith(".json") else ""
    )
    with pytest.raises(LedgerError, match="must be readable"):
        bkgflow.Campaign.open(f"{store.url}/out")
