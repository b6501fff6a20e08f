"""Products name what they were made with, in the keywords that the pipeline writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from jwst.background.background_step import BackgroundStep
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow import api
from bkgflow.errors import ReferenceFileError
from bkgflow.io.products.fits import FitsWriter
from bkgflow.io.products.writer import NAMED, Changes
from bkgflow.simulate import simulate_imaging, simulate_soss, simulate_wfss
from bkgflow.verdict import State
from tests.helpers.exposures import make_model
from tests.helpers.products import assert_opens_the_same, write


def peers_name(path, **overrides):
    """What the peer's step writes down for an override."""
    step = BackgroundStep()
    for name, value in overrides.items():
        setattr(step, name, value)
    with datamodels.open(str(path)) as model:
        step.get_reference_file(model, "bkg")
    return dict(step._reference_files_used)["bkg"]


def header_of(path):
    return fits.getheader(path, 0)


@pytest.mark.slow
def test_a_slitless_product_names_its_references_and_members(tmp_path):
    """As the pipeline does: R_BKG, R_WAVRAN, SCATFILE, SEGMFILE, DIRIMAGE, ASNTABLE."""
    made = simulate_wfss(tmp_path / "in", exposures=1, size=256)
    [association] = sorted((tmp_path / "in").rglob("*_asn.json"))
    [folder] = {path.parent for path in (tmp_path / "in").rglob("*wavelengthrange*")}
    plan = bkgflow.plan(association, tmp_path / "out", references=folder)
    [unit] = plan.units
    result = bkgflow.run(plan, "threads")
    header = header_of(tmp_path / "out" / unit.output)
    members = json.loads(association.read_text())["products"][0]["members"]
    names = {each["exptype"]: Path(each["expname"]).name for each in members}
    assert result.verdicts[0].state in (State.COMPLETE, State.FAILED)
    assert header["SCATFILE"] == names["sourcecat"]
    assert header.get("SEGMFILE") == names.get("segmap")
    assert header.get("DIRIMAGE") == names.get("direct_image")
    assert header["ASNTABLE"] == association.name
    sky = unit.references.background[0]
    assert header["R_BKG"] == peers_name(made.exposures[0], override_bkg=str(sky)) == str(sky)
    ranges = unit.references.wavelengthrange
    assert header["R_WAVRAN"] == str(ranges)
    # What is not used is not named, and of several nobody knows which is meant.
    given = {"references": folder, "output_dir": tmp_path / "out", "target": association}
    residual = header_of(api.subtract_to_file(**given, wfss_mask_mode="residual"))
    assert (residual["R_BKG"], "R_WAVRAN" in residual) == (str(sky), False)
    none = header_of(api.subtract_to_file(**given, override_wavelengthrange="N/A"))
    assert (none["S_BKDSUB"], none["R_WAVRAN"]) == ("SKIPPED", "N/A")
    with pytest.raises(ReferenceFileError, match="override_wavelengthrange must name one file"):
        api.subtract_to_file(**given, override_wavelengthrange=f"{ranges},{ranges}")


@pytest.mark.slow
@pytest.mark.parametrize("override", ["library", "N/A"])
def test_a_soss_product_names_its_library(tmp_path, override):
    made = simulate_soss(tmp_path / "in", integrations=2, segments=1, subarray="SUBSTRIP96")
    exposure = made.exposures[0]
    library = next(path for path in (tmp_path / "in").rglob("*bkg*.fits"))
    named = str(library) if override == "library" else "N/A"
    expected = peers_name(exposure, override_bkg=named)
    product = api.subtract_to_file(exposure, None, tmp_path / "out", override_bkg=named)
    assert header_of(product)["R_BKG"] == expected
    with bkgflow.subtract(exposure, override_bkg=named) as model:
        assert model.meta.ref_file.bkg.name == expected
    with (
        datamodels.open(exposure) as given,
        bkgflow.subtract(given, override_bkg=named) as model,
    ):
        assert model.meta.ref_file.bkg.name == expected


@pytest.mark.slow
def test_an_image_names_its_association_and_no_reference(tmp_path):
    simulate_imaging(tmp_path / "in", targets=1, backgrounds=2, size=32)
    [association] = sorted((tmp_path / "in").rglob("*_asn.json"))
    plan = bkgflow.plan(association, tmp_path / "out")
    bkgflow.run(plan, "threads")
    header = header_of(tmp_path / "out" / plan.units[0].output)
    assert header["ASNTABLE"] == association.name
    assert "R_BKG" not in header


@pytest.mark.slow
@pytest.mark.parametrize("there", [(), ("R_BKG", "SCATFILE"), ("R_DARK", "ASNPOOL"), ("CRDS_VER",)])
def test_named_in_place_and_through_the_model_alike(tmp_path, there):
    """Cards and nodes are where the data model would have them."""
    path = tmp_path / "t_rate.fits"
    with make_model(np.ones((6, 6))) as model:
        model.meta.cal_step.dq_init = "COMPLETE"
        if "R_BKG" in there:
            model.meta.ref_file.bkg.name = "N/A"
            model.meta.source_catalog = "old_cat.ecsv"
        if "R_DARK" in there:
            model.meta.ref_file.dark.name = "crds://dark.fits"
            model.meta.asn.pool_name = "pool"
        if "CRDS_VER" in there:
            model.meta.ref_file.crds.sw_version = "13"
        model.save(str(path))
    keywords = tuple((keyword, f"{keyword.lower()}{'_long' * 20}.fits") for keyword in NAMED)
    changes = Changes(keywords=keywords)
    ways = [write(path, tmp_path / f"{amend}.fits", changes, writer=FitsWriter(amend=amend))
            for amend in (True, False)]  # fmt: skip
    assert_opens_the_same(*ways)
    one, other = (list(map(str, header_of(way).cards)) for way in ways)
    dated = ("DATE  ", "FILENAME")
    assert [c for c in one if not c.startswith(dated)] == [
        c for c in other if not c.startswith(dated)
    ]
