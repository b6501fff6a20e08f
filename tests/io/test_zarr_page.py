"""docs/zarr.md says what a product in zarr is: its tables are held against products."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import zarr
from astropy.io import fits

from bkgflow.io.products.writer import EXTRA
from bkgflow.io.products.zarr import ZarrWriter
from bkgflow.io.zarr.layout import cut_of
from bkgflow.simulate import simulate_wfss
from tests.helpers.products import SKY, write
from tests.helpers.sources import ROOT

PAGE = (ROOT / "docs" / "zarr.md").read_text(encoding="utf-8")


def table(first):
    """The rows of the table whose first column is called so."""
    lines = PAGE[PAGE.index(f"| {first} |") :].splitlines()
    rows = []
    for line in lines[2:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def no_edit(pixels, integration, rows):
    pixels[...] = 1


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    exposure = simulate_wfss(folder, exposures=1, size=128).exposures[0]
    with fits.open(exposure) as units:
        flat = fits.ImageHDU(np.ones((128, 128), "f4"), name="VAR_FLAT")
        units.insert(len(units) - 1, flat)
        units.writeto(folder / "t_rate.fits")
    changes = replace(SKY, extras=dict.fromkeys(EXTRA, no_edit))
    write(folder / "t_rate.fits", folder / "t.zarr", changes, writer=ZarrWriter())
    return zarr.open_group(folder / "t.zarr", mode="r")


@pytest.mark.slow
def test_every_array_is_in_the_table_with_its_type_axes_and_units(group):
    said = {row[0].strip("`"): row[1:] for row in table("array")}
    found = dict(group.arrays())
    assert set(said) == {*found, "integration"}
    for name, array in found.items():
        dtype, axes, units, _ = said[name]
        assert str(array.dtype) == dtype, name
        names = re.findall(r"\w+", axes)
        assert list(array.metadata.dimension_names) == [n for n in names if n != "integration"]
        told = array.attrs["units"]
        assert told == units if units in {"1", "pixel"} else "DN/s" in told, name
        assert array.attrs["long_name"]


def test_the_groups_attributes_are_those_of_the_table(group):
    rows = table("attribute of the group")
    named = {name for row in rows for name in re.findall(r"`(.+?)`", row[0])}
    assert named <= set(group.attrs)
    assert {name for name in group.attrs if name.islower() or name == "Conventions"} <= named


def test_all_else_is_where_the_page_says(group):
    said = {row[0].strip("`"): row[1:3] for row in table("`fits/`")}
    found = dict(group["fits"].arrays())
    assert set(said) == set(found)
    for name, (dtype, axes) in said.items():
        assert str(found[name].dtype) == dtype
        assert list(found[name].metadata.dimension_names) == re.findall(r"\w+", axes)
    assert found["cards"].shape[1] == 80
    for hdu in group["fits"].attrs["hdus"]:
        assert set(hdu) == {"name", "cards", "array", "data"} <= set(re.findall(r"`(\w+)`", PAGE))
        first, stop = hdu["cards"]
        assert found["cards"][stop - 1].tobytes() == b"END".ljust(80)
        assert found["cards"][first].tobytes().startswith((b"SIMPLE", b"XTENSION"))


def test_arrays_are_cut_as_the_page_says():
    rows = table("shape of SCI")
    assert len(rows) >= 4
    for row in rows:
        shape, chunks, shards = (tuple(map(int, cell.split(" × "))) for cell in row)
        assert (cut_of(shape).chunks, cut_of(shape).shards) == (chunks, shards)
