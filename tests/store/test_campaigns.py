"""Campaigns whose program and output lie in a bucket, by the commands that people type."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.io import fits

import bkgflow
from bkgflow.campaign.ledger.opening import LEDGER
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.mirror import own_folder
from tests.helpers.clusters import ROOT
from tests.helpers.programs import write_program
from tests.helpers.stores import SECRET

pytestmark = pytest.mark.slow


def call(*words, **more):
    done = subprocess.run(
        [sys.executable, "-c", "from bkgflow.cli import main; main()", *map(str, words)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def campaign(store, tmp_path):
    """A campaign that was run by threads: its program's URL, its output's."""
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", "prog"), f"{store.url}/out"
    assert bkgflow.run(bkgflow.plan(url, out), "threads").ok
    return url, out


def test_two_worker_processes_do_what_is_done_on_a_disk_and_keep_the_secret(store, tmp_path):
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", "prog"), f"{store.url}/out"
    assert bkgflow.run(bkgflow.plan(str(tmp_path / "p"), tmp_path / "local"), "threads").ok
    words = ("run", url, "--output", out, "--cluster", "local", "--workers", 2)
    code, said, err = call(*words, "--pictures")
    assert code == 0, said + err
    names = {name.removeprefix("out/") for name in store.names("out")}
    assert names == {
        "bkgflow-campaign.json", "bkgflow-events.jsonl", "bkgflow-facts.jsonl",
        "bkgflow-run.json", "bkgflow.log",
        *(f"t{n}_bsub.fits" for n in range(3)), *(f"pictures/t{n}_bsub.png" for n in range(3)),
    }  # fmt: skip
    for n in range(3):
        (tmp_path / "x.fits").write_bytes(store.get(f"out/t{n}_bsub.fits"))
        ours, theirs = tmp_path / "x.fits", tmp_path / "local" / f"t{n}_bsub.fits"
        ignored = ["DATE", "FILENAME", "HISTORY", "ASNTABLE"]
        compared = fits.FITSDiff(ours, theirs, ignore_keywords=ignored, ignore_hdus=["ASDF"])
        assert compared.identical, compared.report()
    assert_kept(SECRET, store, Path(os.environ["XDG_STATE_HOME"]), tmp_path, said, err)


def assert_kept(secret, store, home, folder, *texts):
    """Nothing that a run leaves behind has the secret in it."""
    kept = [store.get(name) for name in store.names()]
    kept += [
        each.read_bytes() for top in (home, folder) for each in top.rglob("*") if each.is_file()
    ]
    assert len(kept) > 10
    assert not [data for data in kept if secret.encode() in data]
    assert not [text for text in texts if secret in text]


def test_the_ledger_lies_with_its_user_and_is_found_by_the_url(store, campaign):
    _, out = campaign
    folder = own_folder(Location.of(out))
    assert str(folder).startswith(f"{os.environ['XDG_STATE_HOME']}/bkgflow/out-")
    assert (folder / LEDGER).is_file()
    assert own_folder(Location.of(f"{out}/")) == folder
    assert bkgflow.Campaign.open(out).status().counts == {"COMPLETE": 3}


def test_every_question_is_answered_of_a_url(store, campaign, bkgflow_, tmp_path):
    _, out = campaign
    code, said, _ = bkgflow_("status", out)
    assert code == 0 and "is complete" in said and out in said
    code, said, _ = bkgflow_("explain", out, "t1_rate.fits")
    assert code == 0 and "COMPLETE" in said
    code, said, _ = bkgflow_("verify", out)
    assert code == 0, said
    code, said, _ = bkgflow_("list", store.url)
    assert code == 0 and "1 campaign" in said
    code, said, _ = bkgflow_("export", out, "--to", tmp_path / "t.csv")
    assert code == 0 and (tmp_path / "t.csv").read_text().count("COMPLETE") == 3
    code, said, _ = bkgflow_("export", out, "--to", f"{store.url}/tables/t.csv")
    assert code == 0 and store.get("tables/t.csv").count(b"COMPLETE") == 3
    code, said, _ = bkgflow_("cancel", out)
    assert code == 0
    code, said, _ = bkgflow_("diff", out, out)
    assert code == 0, said


def test_damage_is_found_and_done_again(store, campaign, bkgflow_):
    url, out = campaign
    data = bytearray(store.get("out/t1_bsub.fits"))
    data[-5000] ^= 255
    store.put("out/t1_bsub.fits", bytes(data))
    store.client.delete_object(Bucket=store.bucket, Key="out/t2_bsub.fits")
    code, said, _ = bkgflow_("verify", out)
    assert code == 1 and "t1_bsub.fits" in said and "t2_bsub.fits" in said
    result = bkgflow.run(bkgflow.plan(url, out), "threads")
    assert result.ok and len(result.kept) == 1
    assert bkgflow_("verify", out)[0] == 0


def test_a_lost_ledger_is_made_again_from_the_objects(store, campaign, bkgflow_):
    url, out = campaign
    ledger = (own_folder(Location.of(out)) / LEDGER).path
    ledger.unlink()
    code, said, err = bkgflow_("status", out)
    assert code == 2 and LEDGER in err
    code, said, _ = bkgflow_("rebuild", out)
    assert code == 0 and "3 units" in said
    assert len(bkgflow.run(bkgflow.plan(url, out), "threads").kept) == 3


def test_what_nobody_wants_is_cleaned(store, campaign, bkgflow_):
    _, out = campaign
    store.put("out/.bkgflow-0123abcd-x/a.zarr/zarr.json", b"x" * 1000)
    code, said, _ = bkgflow_("clean", out)
    assert code == 0 and ".bkgflow-0123abcd-x" in said
    assert any(".bkgflow-0123abcd" in name for name in store.names())
    assert bkgflow_("clean", out, "--yes")[0] == 0
    assert not any(".bkgflow-0123abcd" in name for name in store.names())
    assert len([name for name in store.names("out") if name.endswith(".fits")]) == 3


def test_a_single_exposure_goes_from_bucket_to_bucket(store, tmp_path, bkgflow_):
    write_program(tmp_path / "p", targets=1)
    url = store.upload(tmp_path / "p", "prog")
    words = (f"{url}/t0_rate.fits", "--bkg-list", f"{url}/b_rate.fits")
    code, said, err = bkgflow_("subtract", *words, "--output-dir", f"{store.url}/one")
    assert (code, said.strip()) == (0, f"{store.url}/one/t0_bsub.fits"), err
    (tmp_path / "x.fits").write_bytes(store.get("one/t0_bsub.fits"))
    assert fits.getdata(tmp_path / "x.fits", "SCI")[0, 0] == 2.0
    assert store.names("one") == ["one/t0_bsub.fits"]


def test_a_ledger_may_lie_where_it_is_told(store, tmp_path):
    write_program(tmp_path / "p")
    url, out = store.upload(tmp_path / "p", "prog"), f"{store.url}/out"
    result = bkgflow.run(bkgflow.plan(url, out), "threads", ledger=tmp_path / "l.sqlite")
    assert result.ok and (tmp_path / "l.sqlite").is_file()
    assert json.loads(store.get("out/bkgflow-campaign.json"))["ledger"] == str(
        tmp_path / "l.sqlite"
    )
    assert bkgflow.Campaign.open(out).status().counts == {"COMPLETE": 3}
