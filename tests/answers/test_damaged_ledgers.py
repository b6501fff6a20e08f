"""Ledgers that are lost, cut short, full of noise or not ours: a clear word, and made again."""

import json
import random
import shutil
import sqlite3

import pytest

import bkgflow
from bkgflow.errors import BkgflowError, LedgerError
from tests.helpers.answers import copy_campaign, ledger_of, plan_campaign, run_campaign

CUTS = (1, 15, 16, 99, 100, 4095, 4096, 4097, 20_480, 33_333)


def rows(out):
    """All that a ledger holds, as text."""
    connection = sqlite3.connect(ledger_of(out))
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def cut(length):
    def damage(out):
        data = ledger_of(out).read_bytes()
        assert length < len(data)
        ledger_of(out).write_bytes(data[:length])

    return damage


def empty(out):
    ledger_of(out).write_bytes(b"")


def text(out):
    ledger_of(out).write_text("This is no database, and was never one.\n" * 50)


def zeros(out):
    ledger_of(out).write_bytes(bytes(ledger_of(out).stat().st_size))


def noise_at_the_begin(out):
    data = bytearray(ledger_of(out).read_bytes())
    data[:2048] = random.Random(1).randbytes(2048)
    ledger_of(out).write_bytes(data)


def folder_in_its_place(out):
    ledger_of(out).unlink()
    ledger_of(out).mkdir()
    (ledger_of(out) / "inside").write_text("somebody's")


def another_program(out):
    ledger_of(out).unlink()
    with sqlite3.connect(ledger_of(out)) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
        connection.execute("INSERT INTO songs VALUES ('one')")
    connection.close()


def another_program_with_alembic(out):
    another_program(out)
    with sqlite3.connect(ledger_of(out)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('ffae31')")
    connection.close()


def without_version(out):
    with sqlite3.connect(ledger_of(out)) as connection:
        connection.execute("DROP TABLE alembic_version")
    connection.close()


def nonsense_in_rows(out):
    with sqlite3.connect(ledger_of(out)) as connection:
        connection.execute("UPDATE units SET key = '{\"', verdict = 'x', state = 'GREEN'")
    connection.close()


def bytes_that_are_no_text(out):
    with sqlite3.connect(ledger_of(out)) as connection:
        connection.execute("UPDATE units SET why = CAST(x'fffe80' AS TEXT)")
    connection.close()


DAMAGES = {f"cut to {length}": cut(length) for length in CUTS} | {
    each.__name__: each
    for each in (
        empty,
        text,
        zeros,
        noise_at_the_begin,
        folder_in_its_place,
        another_program,
        another_program_with_alembic,
        without_version,
        nonsense_in_rows,
        bytes_that_are_no_text,
    )
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_ledger_is_said_and_made_again(damage, campaign, bkgflow_):
    out = campaign / "out"
    damage(out)
    for command in (("explain", out, "t0"), ("verify", out)):
        code, said, err = bkgflow_(*command)
        assert (code, said) == (2, "")
        assert "A ledger must be whole" in err
        assert "bkgflow rebuild" in err
    with pytest.raises(LedgerError, match="bkgflow rebuild"):
        run_campaign(campaign, save_combined_background=True)
    code, said, err = bkgflow_("rebuild", out)
    assert (code, err) == (0, "")
    assert "3 units (3 COMPLETE) with 6 files" in said
    beside = [each for each in out.iterdir() if each.name.startswith("bkgflow-ledger.damaged-")]
    (kept,) = (each for each in beside if not each.name.endswith(("-wal", "-shm")))
    assert str(kept) in said
    choices = bkgflow.choices(plan_campaign(campaign, save_combined_background=True))
    assert choices.summary() == "3 left as they are (3 complete and valid)"
    assert bkgflow.verify(out).ok
    assert "rebuilt from its product" in str(bkgflow.explain(out, "t0_bsub.fits"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_noise_anywhere_in_a_ledger_never_ends_in_a_traceback(seed, made, tmp_path, bkgflow_):
    """What noise leaves readable may have changed a word: units are done again at worst."""
    out = copy_campaign(made, tmp_path)
    chance = random.Random(seed)
    data = bytearray(ledger_of(out).read_bytes())
    for _ in range(chance.choice((1, 4, 40))):
        begin = chance.randrange(len(data))
        piece = chance.randbytes(chance.choice((1, 30, 3000)))[: len(data) - begin]
        data[begin : begin + len(piece)] = piece
    ledger_of(out).write_bytes(data)
    for command in (("explain", out, "*"), ("verify", "--quick", out), ("clean", out)):
        code, _, err = bkgflow_(*command)
        assert code in (0, 1, 2)
        assert code != 2 or "A ledger must" in err or "A unit must" in err
    code, said, err = bkgflow_("rebuild", out)
    assert (code, err) == (0, "")
    if "is made again" in said:
        choices = bkgflow.choices(plan_campaign(tmp_path, save_combined_background=True))
        assert choices.summary() == "3 left as they are (3 complete and valid)"
    else:
        assert run_campaign(tmp_path, save_combined_background=True).ok


def test_a_ledger_that_is_lost_is_made_again(campaign, bkgflow_):
    out = campaign / "out"
    ledger_of(out).unlink()
    code, _, err = bkgflow_("verify", out)
    assert code == 2
    assert "must have its ledger" in err
    code, said, _ = bkgflow_("rebuild", out)
    assert code == 0
    assert "3 units" in said
    assert bkgflow.choices(plan_campaign(campaign, save_combined_background=True)).to_do == []


def test_a_ledger_that_is_whole_stays_as_it_is(campaign):
    out = campaign / "out"
    before = rows(out)
    found = bkgflow.rebuild(out)
    assert found.was_whole
    assert found.counts == {"COMPLETE": 3}
    assert rows(out) == before
    assert bkgflow.list_campaigns(out).found[0].labels == {"operator": "ada"}


def test_a_ledger_of_a_newer_version_is_kept_unless_it_is_asked_for(campaign, bkgflow_):
    out = campaign / "out"
    with sqlite3.connect(ledger_of(out)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = rows(out)
    for command in ("verify", "rebuild"):
        code, _, err = bkgflow_(command, out)
        assert code == 2
        assert "Use the newer bkgflow" in err
    assert rows(out) == before
    code, said, _ = bkgflow_("rebuild", "--anew", out)
    assert code == 0
    assert "3 units" in said
    assert bkgflow.verify(out).ok


@pytest.mark.parametrize("content", [None, "", "{", '{"layout": 1}', "[1, 2]", "\ufeffnothing"])
def test_a_campaign_file_that_is_lost_or_damaged_is_written_again(content, campaign, bkgflow_):
    out = campaign / "out"
    place = out / "bkgflow-campaign.json"
    before = json.loads(place.read_text())["campaign"]
    place.unlink()
    if content is not None:
        place.write_text(content)
    code, _, err = bkgflow_("verify", out)
    assert code == 2
    assert "bkgflow rebuild" in err
    code, said, err = bkgflow_("rebuild", out)
    assert (code, err) == (0, "")
    assert "is whole" in said
    assert json.loads(place.read_text())["campaign"] == before
    assert bkgflow.verify(out).ok


def test_both_lost_are_both_made_again(campaign):
    out = campaign / "out"
    ledger_of(out).unlink()
    (out / "bkgflow-campaign.json").unlink()
    with pytest.raises(LedgerError, match="rebuild"):
        bkgflow.verify(out)
    assert bkgflow.rebuild(out).counts == {"COMPLETE": 3}
    assert bkgflow.verify(out).ok


@pytest.mark.slow
def test_files_that_are_no_products_are_left_out_with_the_reason(campaign):
    out = campaign / "out"
    ledger_of(out).unlink()
    whole = (out / "t1_bsub.fits").read_bytes()
    (out / "t1_bsub.fits").write_bytes(whole[: len(whole) // 2])
    shutil.copy(out / "t2_bsub.fits", out / "mine_bsub.fits")
    shutil.copy(campaign / "program" / "b_rate.fits", out / "b_rate.fits")
    found = bkgflow.rebuild(out)
    why = {each.file: each.why for each in found.left_out}
    assert "damaged" in why["t1_bsub.fits"]
    assert "a copy, or renamed: it was written as t2_bsub.fits" in why["mine_bsub.fits"]
    assert "bkgflow did not write it" in why["b_rate.fits"]
    assert "it belongs to a product that is not here" in why["t1_combinedbackground.fits"]
    assert found.counts == {"COMPLETE": 2}
    choices = bkgflow.choices(plan_campaign(campaign, save_combined_background=True))
    assert [each.unit.output for each in choices.to_do] == ["t1_bsub.fits"]
    assert run_campaign(campaign, save_combined_background=True).ok


def test_what_a_plan_wants_otherwise_is_done_again_after_a_rebuild(campaign):
    bkgflow.rebuild(campaign / "out", anew=True)
    choices = bkgflow.choices(plan_campaign(campaign, save_combined_background=True, sigma=2.0))
    assert len(choices.to_do) == 3
    assert "made from something else" in choices.units[0].why


def test_states_and_what_was_found_come_back(campaign):
    out = campaign / "out"
    before = bkgflow.export(out).to_frame()
    ledger_of(out).write_bytes(b"")
    bkgflow.rebuild(out)
    after = bkgflow.export(out).to_frame()
    same = ["unit", "state", "reason", "kind", "target_path", "size", "checksum", "key", "warnings"]
    assert after[same].equals(before[same])


def test_a_folder_that_a_run_holds_is_refused(campaign, bkgflow_):
    from bkgflow.io.storage.location import Location
    from bkgflow.io.storage.lock import hold

    out = campaign / "out"
    with hold(Location.of(out), "0123abcd"):
        for command in (("rebuild", out), ("clean", out), ("clean", "--yes", out)):
            code, _, err = bkgflow_(*command)
            assert code == 2
            assert "0123abcd" in err
        assert "a run goes on" in bkgflow_("verify", out)[1]


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(BkgflowError, match="must be made again from products"):
        bkgflow.rebuild(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_empty_file_becomes_a_ledger_where_nothing_was_made_yet(campaign):
    out = campaign / "new"
    out.mkdir()
    (out / "bkgflow-ledger.sqlite").touch()
    plan = bkgflow.plan(campaign / "program", out)
    assert bkgflow.run(plan, "threads", workers=1, progress=False).ok
