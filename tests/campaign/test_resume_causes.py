"""Why units of a campaign are done again, or left: every cause by real runs."""

import os
import shutil

import pytest

from bkgflow.campaign.causes import Cause
from bkgflow.errors import UsageError
from tests.helpers.campaigns import Campaign, change_bytes, exposure, touch

pytestmark = pytest.mark.slow
"""Each of them runs a campaign several times."""

ALL = [f"t{number}_rate.fits" for number in range(4)]
FIRST, LAST = ALL[:2], ALL[2:]


@pytest.fixture(params=["sqlite", "postgresql"])
def campaign(request, tmp_path):
    """Four targets; b0 belongs to the first two, b1 to the others. Its ledger has all of them."""
    always = {}
    if request.param == "postgresql":
        always = {"ledger": request.getfixturevalue("server").database()}
    made = Campaign(tmp_path, **always)
    assert made.done() == ALL
    return made


@pytest.fixture
def plain(tmp_path):
    """The same, with its ledger in the output folder."""
    made = Campaign(tmp_path)
    assert made.done() == ALL
    return made


def test_a_campaign_that_is_done_is_left_as_it_is(campaign):
    before = {path.name: path.stat().st_mtime_ns for path in campaign.out.glob("*.fits")}
    assert campaign.done() == []
    assert set(campaign.why().values()) == {"leave: complete and valid"}
    result = campaign.run()
    assert result.ok and len(result.kept) == 4 and len(result.products) == 4
    assert before == {path.name: path.stat().st_mtime_ns for path in campaign.out.glob("*.fits")}


def test_a_target_that_was_written_again_is_done_again(campaign):
    touch(campaign.program / ALL[1])
    words = "inputs: target: t1_rate.fits was written again"
    assert campaign.why()[ALL[1]] == f"do: {words}"
    assert campaign.done() == [ALL[1]]
    assert campaign.kept()["t1_bsub.fits"].why == words
    assert campaign.done() == []


def test_a_background_that_was_written_again_concerns_those_that_share_it(campaign):
    touch(campaign.program / "b1_rate.fits")
    assert "b1_rate.fits was written again" in campaign.why()[ALL[2]]
    assert campaign.done() == LAST
    assert campaign.done() == []


def test_a_background_more_or_less_is_a_change_of_inputs(campaign):
    exposure(campaign.program / "b9_rate.fits", 1.0)
    path = campaign.program / "0_asn.json"
    asked = path.read_text()
    more = ', {"expname": "b9_rate.fits", "exptype": "background"}]'
    path.write_text(asked.replace("]}]}", f"{more}}}]}}"))
    assert "background: with b9_rate.fits" in campaign.why()[ALL[0]]
    assert campaign.done() == [ALL[0]]
    path.write_text(asked)
    assert "background: without b9_rate.fits" in campaign.why()[ALL[0]]
    assert campaign.done() == [ALL[0]]
    assert campaign.done() == []


def test_a_setting_that_matters_has_everything_done_again(campaign):
    assert set(campaign.why(sigma=2.0).values()) == {"do: settings: sigma 3 → 2"}
    assert campaign.done(sigma=2.0) == ALL
    assert campaign.done(sigma=2.0) == []
    assert campaign.done() == ALL


def test_arguments_that_no_key_holds_at_their_defaults_are_told_with_these(plain):
    assert set(plain.why(clip="robust").values()) == {"do: settings: clip sigma → robust"}
    found = plain.why(mask_sources="detect", mask_grow=4)
    assert set(found.values()) == {"do: settings: mask_grow 3 → 4; mask_sources None → detect"}


def test_memory_workers_and_cluster_change_nothing(campaign):
    assert campaign.done(memory=1 << 20) == []
    assert campaign.done(workers=3) == []
    assert campaign.done(cluster="local", workers=1) == []


def test_a_program_that_was_moved_is_not_done_again(campaign):
    moved = campaign.program.with_name("elsewhere")
    campaign.program.rename(moved)
    campaign.program = moved
    assert campaign.done() == []


@pytest.mark.parametrize("how", ["link", "relative", "copy"])
def test_a_program_that_is_reached_in_another_way_is_not_done_again(
    how, plain, tmp_path, monkeypatch
):
    other = tmp_path / "other"
    if how == "link":
        other.symlink_to(plain.program)
    elif how == "copy":
        shutil.copytree(plain.program, other)  # with the times of the files
    else:
        monkeypatch.chdir(tmp_path)
        other = os.path.relpath(plain.program)
    assert plain.done(program=other) == []


def test_an_output_folder_that_was_moved_is_still_the_same_campaign(campaign):
    moved = campaign.out.with_name("moved")
    campaign.out.rename(moved)
    campaign.out = moved
    result = campaign.run()
    assert len(result.kept) == 4
    assert all(str(path).startswith(str(moved)) for path in result.products)


# Products.


def test_a_product_that_was_removed_is_made_again(campaign):
    (campaign.out / "t1_bsub.fits").unlink()
    assert campaign.why()[ALL[1]].endswith("t1_bsub.fits is missing")
    assert campaign.done() == [ALL[1]]


def test_a_product_that_was_cut_is_made_again(campaign):
    product = campaign.out / "t1_bsub.fits"
    whole = product.read_bytes()
    product.write_bytes(whole[:-1])
    assert f"has {len(whole) - 1} bytes, the ledger says {len(whole)}" in campaign.why()[ALL[1]]
    assert campaign.done() == [ALL[1]]
    assert product.stat().st_size == len(whole)


def test_a_product_of_the_same_size_and_time_is_taken_for_the_same_one(campaign):
    """Nobody reads every product at every start; whoever wants that asks for it otherwise."""
    change_bytes(campaign.out / "t1_bsub.fits")
    assert campaign.done() == []


def test_a_product_of_the_same_size_with_other_bytes_is_made_again(campaign):
    product = campaign.out / "t1_bsub.fits"
    before = product.read_bytes()
    change_bytes(product)
    touch(product)
    assert campaign.why()[ALL[1]].endswith("has other bytes than the ledger says")
    assert campaign.done() == [ALL[1]]
    assert len(product.read_bytes()) == len(before)


def test_a_product_with_another_time_but_its_own_bytes_stays_and_is_read_once(campaign):
    product = campaign.out / "t1_bsub.fits"
    touch(product)
    assert campaign.done() == []
    (file,) = campaign.kept()["t1_bsub.fits"].files
    assert file.mtime_ns == product.stat().st_mtime_ns


def test_a_product_that_the_ledger_does_not_know_is_made_by_the_run(tmp_path):
    made = Campaign(tmp_path)
    made.out.mkdir()
    (made.out / "t1_bsub.fits").write_bytes(b"somebody's")
    why = made.why()
    assert why[ALL[1]] == "do: unknown product: t1_bsub.fits is there, but not in the ledger"
    assert why[ALL[0]] == "do: new"
    assert made.done() == ALL
    assert made.kept()["t1_bsub.fits"].why.startswith(Cause.UNKNOWN)


def test_a_companion_that_is_asked_for_later_has_its_unit_done_again(campaign):
    assert campaign.done(save_combined_background=True) == ALL
    assert campaign.done(save_combined_background=True) == []
    (campaign.out / "t2_combinedbackground.fits").unlink()
    assert campaign.done(save_combined_background=True) == [ALL[2]]


# What is asked for.


def test_fresh_has_everything_done_anew(campaign):
    assert set(campaign.why(fresh=True).values()) == {"do: fresh"}
    assert campaign.done(fresh=True) == ALL


def test_only_some_units_are_done_and_the_others_stay_as_they_are(tmp_path):
    made = Campaign(tmp_path)
    assert made.done(only=["t0*", "p3"]) == [ALL[0], ALL[3]]
    assert made.why()[ALL[1]] == "do: not done before: it had not begun"
    touch(made.program / ALL[0])
    touch(made.program / ALL[3])
    result = made.run(only=["t3_bsub.fits"])
    assert [unit.name for unit, _ in result.pairs()] == [ALL[3]]
    assert made.begun(result.run) == ["t3_bsub.fits"]
    assert made.done() == ALL[:3]
    assert made.done(only=["2_asn.json"], fresh=True) == [ALL[2]]
    assert made.done(only=["nothing"]) == []
    assert made.done() == []


@pytest.mark.parametrize(
    ("counts", "done"), [(["inputs"], [ALL[0]]), (["settings"], ALL), (["references"], [])]
)
def test_only_changes_that_count_have_units_done_again(counts, done, campaign):
    touch(campaign.program / ALL[0])
    options = {"sigma": 2.0, "rerun_on": counts}
    why = campaign.why(**options)
    assert campaign.done(**options) == done
    if counts == ["references"]:
        assert why[ALL[1]] == "leave: complete and valid: sigma 3 → 2 (does not count: settings)"
    # What was excused is not forgotten: as soon as it counts, it is done.
    assert campaign.done(sigma=2.0) == [name for name in ALL if name not in done]
    assert campaign.done(sigma=2.0) == []


def test_what_counts_must_be_a_sort_of_change(campaign):
    with pytest.raises(UsageError, match="must be among: inputs, references, settings, version"):
        campaign.run(rerun_on=["weather"])


def spoiled(campaign, name=ALL[1]):
    """Make a target bad, in a way that its headers do not tell."""
    path = campaign.program / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - 8000])
    return whole


def test_an_input_that_becomes_bad_keeps_the_old_product_and_is_done_when_mended(campaign):
    product = campaign.out / "t1_bsub.fits"
    before = product.read_bytes()
    whole = spoiled(campaign)
    result = campaign.run()
    assert result.counts == {"COMPLETE": 3, "QUARANTINED": 1}
    assert product.read_bytes() == before
    assert len(campaign.kept()["t1_bsub.fits"].files) == 1
    assert campaign.run().counts == {"COMPLETE": 3, "QUARANTINED": 1}
    (campaign.program / ALL[1]).write_bytes(whole)
    assert campaign.done() == [ALL[1]]
    assert campaign.run().ok


def test_a_background_without_a_valid_pixel_is_tried_once_and_again_if_asked(campaign):
    """It is found bad while it is computed: its headers are in order."""
    exposure(campaign.program / "b1_rate.fits", float("nan"))
    assert campaign.run().counts == {"COMPLETE": 2, "QUARANTINED": 2}
    why = campaign.why()[ALL[2]]
    assert why == "leave: wrong for the same reason as before"
    result = campaign.run()
    assert result.counts == {"COMPLETE": 2, "QUARANTINED": 2} and not result.ok
    assert campaign.begun(result.run) == []
    assert campaign.why(retry_failed=True)[ALL[2]].startswith("do: retried: ")
    result = campaign.run(retry_failed=True)
    assert sorted(campaign.begun(result.run)) == ["t2_bsub.fits", "t3_bsub.fits"]
    exposure(campaign.program / "b1_rate.fits", 1.0)
    assert campaign.done() == LAST
    assert campaign.run().ok


def test_units_that_the_plan_refused_are_done_when_that_is_mended(tmp_path):
    made = Campaign(tmp_path)
    background = made.program / "b1_rate.fits"
    background.rename(away := tmp_path / "b1")
    assert made.run().counts == {"COMPLETE": 2, "QUARANTINED": 2}
    assert made.run().counts == {"COMPLETE": 2, "QUARANTINED": 2}
    away.rename(background)
    assert made.why()[ALL[2]].startswith("do: inputs: refused before: ")
    assert made.done() == LAST
    assert made.run().ok


def test_units_that_are_refused_for_a_while_are_not_done_again(campaign):
    """A background that is not there keeps no product from being valid when it is back."""
    background = campaign.program / "b1_rate.fits"
    background.rename(away := campaign.program.parent / "b1")
    assert campaign.run().counts == {"COMPLETE": 2, "QUARANTINED": 2}
    away.rename(background)
    assert campaign.done() == []
    assert campaign.run().ok


def test_two_associations_with_one_product_are_refused_until_one_is_gone(campaign):
    exposure(campaign.program / "b9_rate.fits", 1.0)
    other = campaign.program / "9_asn.json"
    other.write_text((campaign.program / "0_asn.json").read_text().replace("b0_", "b9_"))
    assert campaign.run().counts == {"COMPLETE": 3, "QUARANTINED": 2}
    assert (campaign.out / "t0_bsub.fits").exists()
    other.unlink()
    assert campaign.why()[ALL[0]].startswith("do: inputs: refused before: ")
    assert campaign.done() == [ALL[0]]
    assert campaign.done() == []


def test_two_associations_may_call_different_products_the_same(tmp_path):
    made = Campaign(tmp_path)
    for number in range(4):
        made.ask_for(number, product="same")
    assert made.done() == ALL
    touch(made.program / ALL[3])
    assert made.done() == [ALL[3]]


def test_a_unit_that_leaves_the_program_and_comes_back_is_as_it_was(campaign):
    path = campaign.program / "1_asn.json"
    asked = path.read_text()
    path.unlink()
    result = campaign.run()
    assert len(result.plan.units) == 3 and campaign.begun(result.run) == []
    assert (campaign.out / "t1_bsub.fits").exists()
    path.write_text(asked)
    assert campaign.done() == []
    path.unlink()
    campaign.run()
    touch(campaign.program / ALL[1])
    path.write_text(asked)
    assert campaign.done() == [ALL[1]]


# Checksums of inputs.


def test_with_checksums_an_input_that_was_only_written_again_is_unchanged(tmp_path):
    made = Campaign(tmp_path)
    assert made.done(checksum=True) == ALL
    touch(made.program / ALL[0])
    touch(made.program / "b1_rate.fits")
    assert made.done(checksum=True) == []
    # The new times are known now: nobody need read the files for that.
    assert made.done() == []
    change_bytes(made.program / ALL[0])
    touch(made.program / ALL[0])
    assert made.why(checksum=True)[ALL[0]] == "do: inputs: target: other bytes in t0_rate.fits"
    assert made.done(checksum=True) == [ALL[0]]


def test_checksums_are_learned_by_a_run_that_asks_for_them(campaign):
    assert campaign.done(checksum=True) == []
    touch(campaign.program / ALL[0])
    touch(campaign.program / "b1_rate.fits")
    assert campaign.done(checksum=True) == []


def test_checksums_once_known_are_not_forgotten_by_a_run_without(campaign):
    assert campaign.done(checksum=True) == []
    assert campaign.done() == []
    touch(campaign.program / ALL[0])
    assert campaign.done(checksum=True) == []


def test_an_input_whose_checksum_nobody_knew_counts_as_changed_and_that_is_said(campaign):
    touch(campaign.program / ALL[0])
    words = "t0_rate.fits was written again, and the checksum of the earlier one is not known"
    assert campaign.why(checksum=True)[ALL[0]] == f"do: inputs: target: {words}"
    assert campaign.done(checksum=True) == [ALL[0]]
