"""References that are replaced, and other kinds of units that are resumed."""

import shutil

import numpy as np
import pytest
from astropy.io import fits

import bkgflow
from bkgflow.api.programs import choices
from bkgflow.campaign.causes import Cause
from bkgflow.simulate import simulate_soss, simulate_wfss

pytestmark = pytest.mark.slow


@pytest.fixture(params=["wfss", "soss"])
def made(request, tmp_path):
    """A simulated program, and a folder of its references."""
    if request.param == "wfss":
        found = simulate_wfss(tmp_path / "in", exposures=2, size=256)
    else:
        found = simulate_soss(tmp_path / "in", integrations=4, segments=2, subarray="SUBSTRIP96")
    references = tmp_path / "references"
    references.mkdir()
    for path in found.references:
        shutil.copy2(path, references)
    return found.folder, references


def run(made, out):
    program, references = made
    plan = bkgflow.plan(program, out, references=references)
    result = bkgflow.run(plan, "threads", workers=2, progress=False)
    assert result.ok
    return plan, result


def test_a_reference_that_is_replaced_has_its_units_done_again(made, tmp_path):
    out, (program, references) = tmp_path / "out", made
    plan, result = run(made, out)
    assert not result.kept
    assert len(run(made, out)[1].kept) == len(plan.units)
    reference = next(u.references for u in plan.units if u.references).background[0].path
    with fits.open(reference, mode="update") as hdus:
        hdus[0].header["HISTORY"] = "delivered again"
        hdus["SCI"].data = hdus["SCI"].data * np.float32(1.01)
    found = choices(bkgflow.plan(program, out, references=references))
    assert {each.cause for each in found.units} == {Cause.REFERENCES}
    assert all(reference.name in each.why for each in found.units)
    assert not run(made, out)[1].kept
    assert len(run(made, out)[1].kept) == len(plan.units)


def test_references_that_were_moved_have_nothing_done_again(made, tmp_path):
    out, (program, references) = tmp_path / "out", made
    plan, _ = run(made, out)
    moved = references.rename(tmp_path / "moved")
    assert len(run((program, moved), out)[1].kept) == len(plan.units)
