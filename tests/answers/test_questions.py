"""What a campaign answers: explain, verify, export, list."""

import json
import os
from dataclasses import replace

import pandas as pd
import pytest
from astropy.table import Table

import bkgflow
from bkgflow.campaign.answers.asked import asked
from bkgflow.campaign.answers.inputs_now import key_parts
from bkgflow.campaign.ledger.opening import open_database
from bkgflow.campaign.place import Place
from bkgflow.errors import LedgerError, OutputError, UsageError
from bkgflow.io.fits.hdus import walk
from bkgflow.io.storage.location import Location
from bkgflow.simulate import simulate_wfss
from tests.helpers.answers import ledger_of, make_campaign, plan_campaign, run_campaign
from tests.helpers.exposures import write_association
from tests.helpers.web import web_of


def spoil_pixels(path):
    """Change a byte among the pixels; size and time stay."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[walk(path)["SCI"].data.offset + 100] ^= 255
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_unit_is_explained_by_what_it_was_made_from(campaign):
    (unit,) = bkgflow.explain(campaign / "out", "t1_rate.fits").units
    assert (unit.unit, unit.state, unit.kind) == ("t1_bsub.fits", "COMPLETE", "image")
    assert "COMPLETE and valid" in unit.standing
    parts = {each.name: each.value for each in unit.parts}
    assert parts["target"].startswith("t1_rate.fits (")
    assert parts["background"].startswith("b_rate.fits (")
    assert parts["sigma"] == "3.0"
    assert parts["method"].startswith("image")
    assert "shared result" not in parts
    assert [each.file for each in unit.files] == ["t1_bsub.fits", "t1_combinedbackground.fits"]
    assert [each.event for each in unit.events] == ["begins", "ends"]
    assert unit.why == "new"
    for word in ("t1_rate.fits", "made from", "products:", "xxh3:", "events:"):
        assert word in str(unit)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["touched", "longer", "gone"])
@pytest.mark.parametrize("name", ["t0_rate.fits", "b_rate.fits"])
def test_inputs_that_have_changed_are_said_without_planning(change, name, tmp_path):
    out = make_campaign(tmp_path, 1)
    path = tmp_path / "program" / name
    if change == "touched":
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 60 * 10**9))
    elif change == "longer":
        path.write_bytes(path.read_bytes() + bytes(2880))
    else:
        path.unlink()
    (unit,) = bkgflow.explain(out, "t0").units
    now = {each.name: each for each in unit.parts if each.now or not each.looked_at}
    (part,) = now.values()
    assert part.value.startswith(name)
    expected = {"touched": "written again, 60 s later", "longer": "bytes", "gone": "not there"}
    assert expected[change] in part.now
    assert unit.stale
    assert "stale" in unit.standing
    assert f"now on disk: {part.now}" in str(unit)


@pytest.mark.slow
def test_references_that_were_named_by_relative_paths_are_looked_at(
    tmp_path, monkeypatch, bkgflow_
):
    """They count from the folder of the command, wherever it is asked."""
    monkeypatch.chdir(tmp_path)
    simulate_wfss(tmp_path / "program", exposures=1, size=256)
    [ranges] = (tmp_path / "program").rglob("*wavelengthrange*")
    folder = "--references=program/references"
    file = f"--override-wavelengthrange={ranges.relative_to(tmp_path)}"
    given = {"folder": [folder], "files": [file, folder]}
    for out, options in given.items():
        assert bkgflow_("run", "program", f"--output={out}", "--cluster=threads", *options)[0] == 0
    monkeypatch.chdir("/")
    for out in given:
        (unit,) = bkgflow.explain(tmp_path / out, "bsub").units
        assert unit.standing == "COMPLETE and valid"
    os.utime(ranges, ns=(0, ranges.stat().st_mtime_ns + 60 * 10**9))
    for out in given:
        (unit,) = bkgflow.explain(tmp_path / out, "bsub").units
        assert "reference wavelengthrange: written again, 60 s later" in unit.standing
    moved = ranges.rename(tmp_path / "elsewhere.asdf")
    for out in given:
        (unit,) = bkgflow.explain(tmp_path / out, "bsub").units
        words = f"nothing that was found has changed (not found, nor compared: {ranges.name}"
        assert words in unit.standing
        assert "it is not where it may lie" in str(unit)
    assert moved.exists()


def test_no_server_is_asked_but_those_that_have_inputs(campaign):
    out = Location.of(campaign / "out")
    with asked(out) as reader, web_of(campaign) as web:
        [run], kept = reader.runs(), reader.units()[0]
        command = ["run", "program", "--notify", f"{web.url}/a/b", f"--ledger={web.url}/c/d"]
        command += ["--fresh", f"{web.url}/e", "--cluster", "tcp://127.0.0.1:9"]
        given = {"folder": str(campaign), "cluster": {"settings": {"address": f"{web.url}/f"}}}
        given |= {"options": {"notify": f"{web.url}/g"}}
        for more in ([], ["--references", f"{web.url}/program"], [f"--data={web.url}/program"]):
            key_parts(kept, replace(run, asked=given | {"command": command + more}), {})
            paths = {path.rpartition("/")[0] for _, path, _ in web.requests}
            assert paths <= {"", "/program"} and bool(paths) == bool(more)
            web.requests.clear()


@pytest.mark.slow
def test_why_a_unit_was_done_again_is_told(campaign):
    run_campaign(campaign, sigma=2.0, save_combined_background=True)
    (unit,) = bkgflow.explain(campaign / "out", "t2_bsub.fits").units
    assert unit.why == "settings: sigma 3 → 2"


def test_products_that_are_not_as_the_ledger_says_are_told(campaign):
    (campaign / "out" / "t0_bsub.fits").unlink()
    (unit,) = bkgflow.explain(campaign / "out", "t0").units
    assert "t0_bsub.fits: missing" in unit.standing


def test_a_refused_unit_is_explained_by_its_error(campaign):
    write_association(campaign / "program" / "y_asn.json", [("q", "t0_rate.fits", ["gone.fits"])])
    (campaign / "program" / "x_asn.json").unlink()
    bkgflow.run(plan_campaign(campaign), "threads", workers=1, progress=False)
    found = bkgflow.explain(campaign / "out", "y_asn*")
    (unit,) = found.units
    assert unit.state == "QUARANTINED"
    assert unit.error["cure"] in str(unit)
    assert "gone.fits" in str(found)


def test_several_units_are_listed_and_none_is_refused(campaign, bkgflow_):
    found = bkgflow.explain(campaign / "out", "t*_bsub.fits")
    assert len(found.units) == 3
    assert "name one of them" in str(found)
    assert list(found.to_frame()["unit"]) == ["t0_bsub.fits", "t1_bsub.fits", "t2_bsub.fits"]
    with pytest.raises(UsageError, match="t0_bsub"):
        bkgflow.explain(campaign / "out", "t9_bsub.fits")
    code, said, _ = bkgflow_("explain", campaign / "out", "t0", "--json")
    assert code == 0
    assert json.loads(said)["units"][0]["unit"] == "t0_bsub.fits"


def test_attempts_are_told_where_the_ledger_has_them(campaign):
    out = Location.of(campaign / "out")
    database = open_database(Place.found(out).database, write=True)
    from sqlalchemy import insert

    from bkgflow.campaign.ledger.schema import attempts

    (unit,) = bkgflow.explain(out, "t0").units
    row = {
        "campaign": Place.found(out).campaign, "unit": unit.unit, "run": unit.run, "number": 2,
        "worker": "tcp://w1", "host": "node7", "started": 1.0, "seconds": 2.5, "read": 2048,
        "written": 1024, "peak_memory": 3 << 20, "state": "BLOCKED", "reason": "its worker died",
        "log": "w1.log",
    }  # fmt: skip
    with database.engine.begin() as connection:
        connection.execute(insert(attempts), [row])
    database.close()
    (unit,) = bkgflow.explain(out, "t0").units
    done, attempt = sorted(unit.attempts, key=lambda each: each.number)
    assert done.state == "COMPLETE" and done.seconds > 0 and done.started
    assert (attempt.worker, attempt.seconds, attempt.peak_memory) == ("tcp://w1", 2.5, 3 << 20)
    for word in ("tcp://w1", "(node7)", "2.5 s", "peak 3.0 MiB", "its worker died", "w1.log"):
        assert word in str(unit)


def test_a_whole_campaign_verifies(campaign, bkgflow_):
    code, said, err = bkgflow_("verify", campaign / "out")
    assert (code, err) == (0, "")
    assert said.startswith("6 of 6 files are as the ledger says, and open")
    found = bkgflow.verify(campaign / "out", quick=True)
    assert found.ok
    assert set(found.to_frame()["checksum"]) == {""}


@pytest.mark.slow
@pytest.mark.parametrize("quick", [False, True])
def test_each_wrong_product_is_named_with_why_and_the_cure(quick, campaign, bkgflow_):
    out = campaign / "out"
    (out / "t0_bsub.fits").unlink()
    (out / "t0_combinedbackground.fits").unlink()
    (out / "t0_combinedbackground.fits").mkdir()
    data = (out / "t1_bsub.fits").read_bytes()
    (out / "t1_bsub.fits").write_bytes(data[:-2880])
    (out / "t2_bsub.fits").write_bytes(bytes(len((out / "t2_bsub.fits").read_bytes())))
    spoil_pixels(out / "t1_combinedbackground.fits")
    code, said, _ = bkgflow_("verify", out, *(["--quick"] if quick else []))
    assert code == 1
    why = {each.file: each.why for each in bkgflow.verify(out, quick=quick).wrong}
    assert why["t0_bsub.fits"] == "it is missing"
    assert why["t0_combinedbackground.fits"] == "it is a folder"
    assert "the ledger says" in why["t1_bsub.fits"]
    assert "cannot be opened" in why["t2_bsub.fits"]
    assert ("t1_combinedbackground.fits" in why) is not quick
    for file in why:
        assert file in said
    assert said.count("bkgflow run") + said.count("bkgflow.run(") == len(why)
    assert run_campaign(campaign, save_combined_background=True).counts["COMPLETE"] >= 2


def test_files_that_no_ledger_knows_are_named(campaign):
    out = campaign / "out"
    (out / "notes.txt").write_text("mine")
    (out / "t9_bsub.fits").write_bytes(b"SIMPLE")
    found = bkgflow.verify(out)
    assert found.ok
    assert found.unknown == ("notes.txt", "t9_bsub.fits")
    assert "notes.txt" in str(found)


def test_progress_counts_every_file(campaign):
    told = []
    bkgflow.verify(campaign / "out", tell=lambda done, total: told.append((done, total)))
    assert told == [(number, 6) for number in range(1, 7)]


def test_a_folder_without_a_campaign_is_said(tmp_path, bkgflow_):
    for command in (("explain", tmp_path, "x"), ("verify", tmp_path), ("clean", tmp_path),
                    ("export", tmp_path, "--to", tmp_path / "x.csv")):  # fmt: skip
        code, said, err = bkgflow_(*command)
        assert (code, said) == (2, "")
        assert "A campaign must have been run in the output folder" in err
    assert list(tmp_path.iterdir()) == []


READERS = {
    "csv": lambda path: pd.read_csv(path, keep_default_na=False),
    "parquet": pd.read_parquet,
    "ecsv": lambda path: Table.read(path).to_pandas(),
}


@pytest.mark.parametrize("form", READERS)
def test_an_export_is_read_by_others_as_it_was(form, campaign, bkgflow_):
    path = campaign / f"table.{form}"
    code, said, err = bkgflow_("export", campaign / "out", "--to", path)
    assert (code, err) == (0, "")
    assert str(path) in said
    frame = bkgflow.export(campaign / "out").to_frame()
    read = READERS[form](path)
    assert list(read.columns) == list(frame.columns)
    assert list(read["unit"]) == ["t0_bsub.fits", "t1_bsub.fits", "t2_bsub.fits"]
    assert list(read["state"]) == ["COMPLETE"] * 3
    assert list(read["size"].astype(int)) == list(frame["size"])
    assert read["seconds"].astype(float).tolist() == pytest.approx(frame["seconds"].tolist())
    assert list(read["checksum"]) == list(frame["checksum"])


@pytest.mark.slow
def test_an_export_has_the_last_of_a_unit_that_was_mended(campaign):
    background, away = campaign / "program" / "b_rate.fits", campaign / "b"
    asked = campaign / "program" / "more_asn.json"
    write_association(asked, [("late", "t0_rate.fits", ["late_rate.fits"])])
    plan = bkgflow.plan(asked, campaign / "new")
    assert bkgflow.run(plan, "threads", progress=False).counts == {"QUARANTINED": 1}
    frame = bkgflow.export(campaign / "new").to_frame()
    assert list(frame["unit"]) == ["more_asn.json: late"] and list(frame["listed"]) == [True]
    (campaign / "program" / "late_rate.fits").write_bytes(background.read_bytes())
    assert bkgflow.run(bkgflow.plan(asked, campaign / "new"), "threads", progress=False).ok
    frame = bkgflow.export(campaign / "new").to_frame()
    assert list(frame["unit"]) == ["t0_bsub.fits"] and list(frame["state"]) == ["COMPLETE"]
    (campaign / "program" / "late_rate.fits").rename(away)
    bkgflow.run(bkgflow.plan(asked, campaign / "new"), "threads", progress=False)
    # The product is still there, and so is its row.
    states = bkgflow.export(campaign / "new").to_frame().set_index("unit")["state"].to_dict()
    assert states == {"t0_bsub.fits": "COMPLETE", "more_asn.json: late": "QUARANTINED"}


@pytest.mark.slow
def test_an_export_has_scales_and_errors(tmp_path):
    from bkgflow.simulate import simulate_wfss

    made = simulate_wfss(tmp_path / "in", size=256)
    plan = bkgflow.plan(made.folder, tmp_path / "out", references=made.folder / "references")
    assert any(unit.kind == "slitless" for unit in plan.units)
    bkgflow.run(plan, "threads", workers=1, progress=False)
    frame = bkgflow.export(tmp_path / "out").to_frame()
    done = frame[frame["state"] == "COMPLETE"]
    assert len(done) > 0
    for _, row in done.iterrows():
        assert json.loads(row["scales"])[0] == row["scale"] > 0
    assert set(frame["kind"]) == {"slitless"}


def test_a_format_that_is_none_is_refused_before_anything_is_read(campaign, bkgflow_):
    code, _, err = bkgflow_("export", campaign / "out", "--to", campaign / "table.xlsx")
    assert code == 2
    assert "csv, parquet, ecsv" in err
    assert not (campaign / "table.xlsx").exists()
    bkgflow.export(campaign / "out", campaign / "table.xlsx", format="csv")
    assert (campaign / "table.xlsx").read_text().startswith("unit,state")


def test_without_pyarrow_the_extra_is_named(campaign, bkgflow_, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    code, _, err = bkgflow_("export", campaign / "out", "--to", campaign / "table.parquet")
    assert code == 2
    assert "bkgflow[export]" in err


def test_an_export_that_cannot_be_written_leaves_nothing(campaign, bkgflow_):
    (campaign / "file").touch()
    code, _, err = bkgflow_("export", campaign / "out", "--to", campaign / "file" / "x.csv")
    assert code == 2
    assert "must be possible to write" in err


@pytest.mark.slow
def test_campaigns_below_a_folder_are_listed(campaign, bkgflow_):
    other = campaign / "below" / "deep"
    bkgflow.run(bkgflow.plan(campaign / "program", other), "threads", workers=1, progress=False)
    ledger_of(other).write_bytes(b"nonsense")
    code, said, err = bkgflow_("list", campaign)
    assert (code, err) == (0, "")
    assert "2 campaigns" in said
    assert "operator=ada" in said
    assert "3 COMPLETE" in said
    assert "cannot be read" in said
    assert "bkgflow rebuild" in said
    good = {each.folder: each for each in bkgflow.list_campaigns(campaign).found}
    assert good[str(campaign / "out")].counts == {"COMPLETE": 3}
    assert good[str(campaign / "out")].size > 10_000
    assert good[str(other)].trouble
    assert len(json.loads(bkgflow_("list", campaign, "--json")[1])["campaigns"]) == 2


def test_a_folder_without_campaigns_lists_none(tmp_path, bkgflow_):
    assert bkgflow_("list", tmp_path) == (0, f"0 campaigns in {tmp_path}\n", "")
    code, _, err = bkgflow_("list", tmp_path / "none")
    assert code == 2
    assert "must be looked for in a folder" in err


def test_a_ledger_can_be_asked_while_a_run_writes_it(campaign):
    out = Location.of(campaign / "out")
    database = open_database(Place.found(out).database, write=True)
    with database.engine.begin() as connection:
        from sqlalchemy import update

        from bkgflow.campaign.ledger.schema import units

        connection.execute(update(units).values(why="another"))
        assert bkgflow.verify(out).ok
        assert bkgflow.explain(out, "t0").units[0].why == "new"
    database.close()


def test_answers_do_not_hide_an_unknown_campaign(campaign):
    place = campaign / "out" / "bkgflow-campaign.json"
    parts = json.loads(place.read_text())
    place.write_text(json.dumps(parts | {"campaign": "000000000000"}))
    with pytest.raises(LedgerError, match="must have the campaign"):
        bkgflow.verify(campaign / "out")


@pytest.mark.slow
def test_what_the_program_has_no_more_is_no_error_once_it_was_cleaned(campaign):
    out, association = campaign / "out", campaign / "program" / "x_asn.json"
    text = association.read_text()
    left = [(f"p{i}", f"t{i}_rate.fits", ["b_rate.fits"]) for i in (0, 2)]
    write_association(association, left)
    run_campaign(campaign, save_combined_background=True)
    assert len(bkgflow.verify(out).files) == 6
    bkgflow.clean(out, yes=True)
    assert not (out / "t1_bsub.fits").exists()
    found = bkgflow.verify(out)
    assert found.ok
    assert {each.unit for each in found.files} == {"t0_bsub.fits", "t2_bsub.fits"}
    (unit,) = bkgflow.explain(out, "t1_rate.fits").units
    assert unit.standing == "COMPLETE; the program has no such unit any more"
    (out / "t0_bsub.fits").unlink()  # that one is wanted
    assert [each.unit for each in bkgflow.verify(out).wrong] == ["t0_bsub.fits"]
    association.write_text(text)
    assert run_campaign(campaign, save_combined_background=True).ok
    assert bkgflow.verify(out).ok


@pytest.mark.slow
def test_a_product_with_other_bytes_of_the_same_size_is_not_valid(campaign):
    out = campaign / "out"
    (out / "t1_bsub.fits").write_bytes(bytes((out / "t1_bsub.fits").stat().st_size))
    os.utime(out / "t0_bsub.fits")  # only written again
    (unit,) = bkgflow.explain(out, "t1_rate.fits").units
    assert "t1_bsub.fits: other bytes than the ledger says" in unit.standing
    (unit,) = bkgflow.explain(out, "t0_rate.fits").units
    assert unit.standing == "COMPLETE and valid"


@pytest.mark.parametrize(
    "name",
    ["out/bkgflow-ledger.sqlite", "out/bkgflow-run.json", "out/t1_bsub.fits",
     "program/t1_rate.fits"],
)  # fmt: skip
def test_a_table_replaces_nothing_that_the_campaign_needs(campaign, name):
    before = (campaign / name).read_bytes()
    with pytest.raises(OutputError, match="must not replace a file of the campaign"):
        bkgflow.export(campaign / "out", campaign / name, format="csv")
    assert (campaign / name).read_bytes() == before
    for _ in range(2):
        bkgflow.export(campaign / "out", campaign / "out" / "bkgflow-units.csv")
