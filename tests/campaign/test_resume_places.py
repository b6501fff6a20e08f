"""Where the ledger of a campaign is: in its folder, elsewhere, moved, copied, lost."""

import shutil

import pytest

from bkgflow.campaign.ledger.opening import LEDGER
from bkgflow.campaign.place import PLACE_FILE, open_campaign
from bkgflow.errors import LedgerError
from bkgflow.io.storage.location import Location
from tests.helpers.campaigns import Campaign, exposure, touch
from tests.helpers.exposures import write_association

pytestmark = pytest.mark.slow
"""Each of them runs a campaign several times."""

ALL = [f"t{number}_rate.fits" for number in range(4)]


@pytest.fixture
def plain(tmp_path):
    """The same, with its ledger in the output folder."""
    made = Campaign(tmp_path)
    assert made.done() == ALL
    return made


def test_a_ledger_elsewhere_is_remembered_by_the_output_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Campaign(tmp_path)
    assert made.done(ledger="ledgers.db") == ALL
    assert (tmp_path / "ledgers.db").exists() and not (made.out / LEDGER).exists()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert made.done() == []
    assert made.done(ledger="../ledgers.db") == []
    assert set(made.why(ledger=str(tmp_path / "ledgers.db")).values()) == {
        "leave: complete and valid"
    }


def test_another_ledger_knows_nothing_until_it_is_told(tmp_path):
    made = Campaign(tmp_path)
    made.run()
    why = made.why(ledger=str(tmp_path / "other.db"))
    assert why[ALL[0]].startswith("do: unknown product")
    assert not (tmp_path / "other.db").exists()
    assert made.done(ledger=str(tmp_path / "other.db")) == ALL
    assert made.done() == []


def test_several_campaigns_share_a_ledger(tmp_path):
    ledger = str(tmp_path / "ledgers.db")
    one, other = Campaign(tmp_path / "1"), Campaign(tmp_path / "2")
    assert one.done(ledger=ledger) == other.done(ledger=ledger) == ALL
    touch(one.program / ALL[0])
    assert other.done() == []
    assert one.done() == [ALL[0]]


@pytest.mark.parametrize("file", [PLACE_FILE, LEDGER])
def test_a_lost_file_of_the_campaign_costs_at_most_its_knowledge(file, plain):
    (plain.out / file).unlink()
    assert plain.done() == ([] if file == PLACE_FILE else ALL)
    assert plain.done() == []


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe{}", "folder"])
def test_a_file_of_the_campaign_that_cannot_be_read_is_not_replaced(damage, plain):
    file = plain.out / PLACE_FILE
    before = file.rename(plain.out.parent / "kept")
    file.mkdir() if damage == "folder" else file.write_bytes(damage)
    with pytest.raises(LedgerError, match="campaign's file must be") as caught:
        plain.run()
    assert caught.value.file == str(file)
    file.rmdir() if damage == "folder" else file.unlink()
    before.rename(file)
    assert plain.done() == []


def test_a_copy_of_a_folder_with_its_ledger_in_it_is_a_campaign_of_its_own(plain, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(plain.out, copy)
    original, plain.out = plain.out, copy
    assert plain.done() == []
    touch(plain.program / ALL[0])
    assert plain.done() == [ALL[0]]
    plain.out = original
    assert plain.done() == [ALL[0]]


def test_a_copy_of_a_folder_does_not_write_to_the_ledger_of_the_first(tmp_path):
    made = Campaign(tmp_path, ledger=str(tmp_path / "ledgers.db"))
    made.run()
    original, copy = made.out, tmp_path / "copy"
    shutil.copytree(original, copy)
    made.out = copy
    with pytest.raises(LedgerError, match=r"one output folder.*has it in .*/out\)") as caught:
        made.run()
    assert PLACE_FILE in caught.value.cure
    (copy / PLACE_FILE).unlink()
    assert made.done() == ALL  # as the cure says: a campaign of its own, which knows nothing
    made.out = original
    assert made.done() == []


def test_labels_are_kept(plain):
    campaign = plain
    campaign.run(labels={"operator": "ada"})
    campaign.run(labels={"night": "3"})
    database, reader = open_campaign(Location.of(campaign.out))
    assert reader.labels() == {"operator": "ada", "night": "3"}
    database.close()


def test_another_program_into_the_same_folder_joins_the_campaign(plain, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    exposure(other / "u_rate.fits")
    exposure(other / "v_rate.fits", 1.0)
    write_association(other / "u_asn.json", [("u", "u_rate.fits", ["v_rate.fits"])])
    assert plain.done(program=other) == ["u_rate.fits"]
    database, reader = open_campaign(Location.of(plain.out))
    try:
        assert reader.counts() == {"COMPLETE": 5}
    finally:
        database.close()
    assert plain.done(program=other) == []
