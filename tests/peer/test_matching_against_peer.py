"""Pairs of exposures that differ in one keyword: refused where the docs' table says so, and equal
to the peer where they may differ."""

import os
import re
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwst.background.background_sub import background_sub

import bkgflow
from bkgflow.errors import BackgroundError
from bkgflow.io.exposures.setup import SETUP_KEYS
from bkgflow.matching import MAY_DIFFER, NAMES, TABLE
from tests.helpers.pace import examples
from tests.helpers.taken import SETUPS, sky, taken

DOCS = Path(__file__).parents[2] / "docs" / "backgrounds.md"

EVERY = tuple(SETUPS)


def rows(title):
    """The cells of the docs' table under a heading."""
    section = DOCS.read_text(encoding="utf-8").split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def documented():
    """By keyword, the instruments for which the docs say that it must agree."""
    return {
        keyword: EVERY if who == "all" else tuple(each.strip().upper() for each in who.split(","))
        for keyword, _, who, _ in rows("What must agree")
    }


VALUES = {
    "DETECTOR": ("instrument.detector", ["NRCA1", "NRCB2", "NRS2", "MIRIFULONG", "MIRIMAGE"]),
    "EXP_TYPE": ("exposure.type", ["MIR_IMAGE", "MIR_DARKIMG", "NRC_TSIMAGE", "NRS_IFU"]),
    "BUNIT": ("bunit_data", ["MJy/sr", "DN", "electron/s", "dn / s"]),
    "MODULE": ("instrument.module", ["A", "B"]),
    "CHANNEL": ("instrument.channel", ["SHORT", "LONG", "12", "34"]),
    "BAND": ("instrument.band", ["SHORT", "MEDIUM", "LONG"]),
    "FILTER": ("instrument.filter", ["F090W", "F770W", "CLEAR", "F170LP"]),
    "PUPIL": ("instrument.pupil", ["F090W", "CLEAR", "GRISMR"]),
    "GRATING": ("instrument.grating", ["G140H", "G395M", "PRISM"]),
    "FXD_SLIT": ("instrument.fixed_slit", ["S200A1", "S200A2", "S1600A1"]),
    "CORONMSK": ("instrument.coronagraph", ["NONE", "MASK210R", "LYOT_2300"]),
    "CCCSTATE": ("instrument.ccc_state", ["OPEN", "CLOSED"]),
    "PILIN": ("instrument.pupil_imaging_lens", [True, False]),
    "READPATT": ("exposure.readpatt", ["FASTR1", "SLOWR1", "NRS", "NRSIRS2", "BRIGHT2", "NIS"]),
    "GAINFACT": ("exposure.gain_factor", [1.0, 2.0]),
    "S_FLAT": ("cal_step.flat_field", ["COMPLETE", "SKIPPED"]),
    "NGROUPS": ("exposure.ngroups", [3, 30]),
    "NINTS": ("exposure.nints", [1, 7]),
    "NFRAMES": ("exposure.nframes", [1, 4]),
    "GROUPGAP": ("exposure.groupgap", [0, 2]),
    "EFFEXPTM": ("exposure.effective_exposure_time", [10.0, 100.0]),
    "NOUTPUTS": ("exposure.noutputs", [1, 4]),
    "OBSERVTN": ("observation.observation_number", ["005", "009"]),
    "VISIT": ("observation.visit_number", ["001", "003"]),
    "PROGRAM": ("observation.program_number", ["01234", "04321"]),
    "DATE-OBS": ("observation.date", ["2023-02-02", "2025-05-05"]),
    "TARGNAME": ("target.catalog_name", ["HERE", "THERE"]),
    "TARG_RA": ("target.ra", [10.0, 200.0]),
    "PATT_NUM": ("dither.position_number", [1, 3]),
    "BKGDTARG": ("observation.bkgdtarg", [True, False]),
    "IS_PSF": ("exposure.psf_reference", [True, False]),
    "SUBARRAY": ("subarray.name", ["FULL", "BRIGHTSKY"]),
    "CAL_VER": ("calibration_software_version", ["1.2.3", "3.0.0"]),
}
"""Of keywords that a test changes: the key of a data model, and some values."""

ALIKE = [{"DN/s", "dn / s"}]
"""Values that the docs call the same."""

SAMPLED = {
    "NRS": "one", "NRSRAPID": "one", "NRSIRS2": "two", "NRSIRS2RAPID": "two",
    "FASTR1": "three", "SLOWR1": "four",
}  # fmt: skip
"""Readout patterns that the docs tell apart, by how they sample a pixel."""


def agree(keyword, instrument, one, other):
    """Whether two values agree by the docs."""
    if keyword not in documented() or instrument not in documented()[keyword]:
        return True
    if one == other or any({one, other} <= each for each in ALIKE):
        return True
    if keyword == "READPATT":
        return len({SAMPLED.get(one), SAMPLED.get(other)} - {None}) < 2
    if keyword == "S_FLAT":
        return {one, other} <= {"SKIPPED", None}
    return one is None or other is None


def value_of(model, key):
    found = model
    for name in ("meta", *key.split(".")):
        found = getattr(found, name)
    return found


@pytest.mark.slow
@settings(max_examples=examples(250), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    instrument=st.sampled_from(EVERY),
    keyword=st.sampled_from(sorted(VALUES)),
    pick=st.integers(0, 5),
    seed=st.integers(0, 1000),
    changed=st.booleans(),
)
def test_one_keyword_decides_as_the_table_says(instrument, keyword, pick, seed, changed):
    key, values = VALUES[keyword]
    target = taken(sky(seed, 15), instrument, 1)
    background = taken(sky(seed + 1), instrument, 2)
    model = target if changed else background
    model[f"meta.{key}"] = values[pick % len(values)]
    one, other = value_of(target, key), value_of(background, key)
    if target.meta.exposure.type in ("NIS_SOSS", "NRC_WFSS"):
        return
    if not agree(keyword, instrument, one, other):
        with pytest.raises(BackgroundError, match=keyword):
            bkgflow.subtract(target, [background])
        result = bkgflow.subtract(target, [background], allow_mismatch=keyword.lower())
        assert keyword in result.meta.bkgflow.mismatches[0]
    else:
        result = bkgflow.subtract(target, [background])
    unchecked = mock.patch.dict(os.environ, VALIDATE_ON_ASSIGNMENT="false")
    with warnings.catch_warnings(), unchecked:
        warnings.simplefilter("ignore")
        _, expected = background_sub(target.copy(), [background], 3.0, None)
    np.testing.assert_allclose(result.data, expected.data, rtol=3e-6, atol=3e-5)


def test_the_docs_have_the_table_of_the_code():
    names = {"NIRCAM": "NIRCam", "NIRISS": "NIRISS", "NIRSPEC": "NIRSpec", "MIRI": "MIRI"}
    wanted = [
        [each.keyword, f"`{each.name}`", ", ".join(map(names.get, each.instruments)) or "all",
         each.why]
        for each in TABLE
    ]  # fmt: skip
    assert rows("What must agree") == wanted
    assert rows("What may differ") == [list(each) for each in MAY_DIFFER]
    assert len(set(NAMES)) == len(NAMES)


def test_every_keyword_of_the_table_is_read_and_every_one_is_tried():
    assert {each.keyword for each in TABLE} <= {*SETUP_KEYS, "BUNIT"}
    elsewhere = {"INSTRUME", "MSAMETFL", "FRMDIVSR", "MSTR_RD1"}  # tests/cases/test_backgrounds.py
    assert {each.keyword for each in TABLE} - elsewhere <= set(VALUES)
    free = re.findall(r"[A-Z][A-Z_-]{3,}", " ".join(words for words, _ in MAY_DIFFER))
    assert not set(free) & {each.keyword for each in TABLE} - {"READPATT"}


def test_the_keys_of_data_models_are_those_of_the_keywords():
    from stdatamodels.jwst.datamodels import ImageModel

    with ImageModel((2, 2)) as model:
        for each in TABLE:
            keywords = model.find_fits_keyword(each.keyword)
            assert f"meta.{each.key}" in keywords, each.keyword
        for keyword, key in SETUP_KEYS.items():
            assert f"meta.{key}" in model.find_fits_keyword(keyword), keyword
