"""Flight data: the figures that the reference step gives on the same input."""

from __future__ import annotations

import numpy as np
import pytest
from stdatamodels.jwst import datamodels

import bkgflow

pytestmark = pytest.mark.real

BEFORE = (0.10451, 0.10303, 0.09972)
AFTER = (0.00245, -0.00140, -0.00294)
"""Medians of the three nods of one slitlet, MJy/sr, from jwst 3.0.0; see the data's README."""


def median_of_usable(sci, dq):
    """The median of the pixels that are not DO_NOT_USE."""
    return np.nanmedian(np.asarray(sci)[(np.asarray(dq) & 1) == 0])


@pytest.fixture(scope="module")
def nods(real_data):
    paths = sorted((real_data / "nirspec_nods").glob("*.fits"))
    assert len(paths) == 3
    return paths


@pytest.mark.parametrize("number", [0, 1, 2])
def test_nirspec_nods_meet_their_figures(nods, number):
    target = nods[number]
    others = [path for path in nods if path != target]
    with datamodels.open(target) as before:
        assert median_of_usable(before.data, before.dq) == pytest.approx(BEFORE[number], abs=1e-5)
        with bkgflow.subtract(target, others) as after:
            assert after.meta.cal_step.bkg_subtract == "COMPLETE"
            assert type(after) is type(before)
            found = median_of_usable(after.data, after.dq)
            np.testing.assert_array_equal(after.err, before.err)
    assert found == pytest.approx(AFTER[number], abs=2e-5)


@pytest.mark.slow
def test_nirspec_nods_in_a_run(nods, tmp_path):
    """The same figures from products on disk, every nod the background of the others."""
    from tests.helpers.exposures import write_association

    for path in nods:
        (tmp_path / path.name).symlink_to(path)
    names = [path.name for path in nods]
    for i, name in enumerate(names):
        write_association(
            tmp_path / f"nod{i}_asn.json", [(f"nod{i}", name, names[:i] + names[i + 1 :])]
        )
    result = bkgflow.run(bkgflow.plan(tmp_path, tmp_path / "out"), "threads")
    assert [str(verdict.state) for verdict in result.verdicts] == ["COMPLETE"] * 3
    for verdict, figure in zip(result.verdicts, AFTER, strict=True):
        with datamodels.open(verdict.products[0]) as product:
            assert median_of_usable(product.data, product.dq) == pytest.approx(figure, abs=2e-5)
