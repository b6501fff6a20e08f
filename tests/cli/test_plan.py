"""bkgflow plan, and what shows a plan."""

import pytest

import bkgflow
from bkgflow.errors import UsageError
from bkgflow.report.tables import as_text
from bkgflow.report.unit_tables import plan_table
from tests.helpers.commands import spoil
from tests.helpers.exposures import write_association


def test_plan_shows_the_sharing_and_writes_nothing(folder, bkgflow_):
    code, out, err = bkgflow_("plan", "program")
    assert (code, err) == (0, "")
    assert "Plan: 2 units (2 to do)" in out
    assert "combine 2 exposures over x 1–6, y 1–6, once, for 2 targets" in out
    assert out.count("subtract background 1") == 2
    assert "t1_bsub.fits" in out and "t2_bsub.fits" in out
    assert "reads " in out and "writes " in out
    assert not (folder / "bkgflow-out").exists()


def test_plan_is_saved(folder, bkgflow_):
    code, out, _ = bkgflow_("plan", "program", "--output=o", "--sigma=4", "--save=plans/p.json")
    plan = bkgflow.Plan.load("plans/p.json")
    assert code == 0
    assert as_text(plan_table(plan)) in out
    assert plan.settings.sigma == 4
    assert str(plan.output) == str(folder / "o")


def test_plan_of_several(folder, bkgflow_):
    code, out, _ = bkgflow_("plan", "program/1_asn.json", "program/2_asn.json")
    assert code == 0
    assert "Plan: 2 units" in out
    (folder / "more").mkdir()
    write_association(folder / "more" / "x_asn.json", [("p", "x_rate.fits", [])])
    (folder / "more" / "x_rate.fits").symlink_to(folder / "b1_rate.fits")
    code, out, _ = bkgflow_("plan", "program", "more")
    assert code == 0
    assert "Plan: 3 units (1 SKIPPED, 2 to do)" in out


def test_plan_with_a_bad_unit(folder, bkgflow_):
    spoil(folder)
    code, out, _ = bkgflow_("plan", "program")
    assert code == 1
    assert "QUARANTINED" in out
    assert "1 unit QUARANTINED: An exposure must be a readable file (found: No such file" in out
    assert f"File: {folder / 'program' / 'gone_rate.fits'}" in out
    assert "1 unit SKIPPED: no background exposure was given" in out


@pytest.mark.slow
def test_show_prints_tables(folder, capsys):
    plan = bkgflow.plan("program", "out")
    bkgflow.show(plan)
    assert "subtract background 1" in capsys.readouterr().out
    bkgflow.show(bkgflow.run(plan, cluster="threads"))
    assert "2 units: 2 COMPLETE" in capsys.readouterr().out
    with pytest.raises(UsageError, match="What is shown must be a plan"):
        bkgflow.show("program")
