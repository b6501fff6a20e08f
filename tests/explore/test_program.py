"""A whole program as a tree: found, listed, selected, stacked, on a cluster as well."""

import json

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client

import bkgflow
from bkgflow.errors import PlanError, SettingsError
from bkgflow.simulate import simulate_imaging, simulate_nods, simulate_wfss
from tests.helpers.exposures import write_association, write_fits


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imaging")
    return simulate_imaging(folder, targets=2, backgrounds=3, size=64)


def names(tree):
    return {each.name for each in tree.leaves}


@pytest.mark.slow
def test_every_exposure_is_a_node_with_what_its_headers_say(program):
    tree = bkgflow.open_program(program.folder)
    assert names(tree) == {path.stem for path in program.exposures}
    assert [each.name for each in tree.children.values()] == ["nrcalong-f356w"]
    for path, exposure in zip(program.exposures, program.truth.exposures, strict=True):
        node = tree[f"nrcalong-f356w/{path.stem}"]
        assert dask.is_dask_collection(node["sci"].data)
        assert node["role"].item() == exposure.role
        assert node["target"].item() == exposure.target
        assert node["observation"].item() == f"{exposure.observation:03d}"
        assert node["filter"].item() == "F356W"
        assert (node["ra"].item(), node["dec"].item()) == (exposure.ra, exposure.dec)
        assert node["time"].values == np.datetime64(exposure.start, "ns")
        expected = bkgflow.open_exposure(path)
        xr.testing.assert_identical(node.to_dataset().drop_vars("role"), expected)


def test_the_table_lists_them(program):
    table = bkgflow.open_program(program.folder).bkgflow.table()
    assert len(table) == len(program.exposures)
    assert set(table["role"]) == {"target", "background"}
    assert table.loc[table["role"] == "background", "target"].unique().tolist() == ["SKY"]


def test_what_is_selected_is_stacked(program):
    tree = bkgflow.open_program(program.folder)
    backgrounds = tree.bkgflow.select(role="background", filter="f3*")
    paths = [path for path, each in zip(program.exposures, program.truth.exposures, strict=True)
             if each.role == "background"]  # fmt: skip
    assert names(backgrounds) == {path.stem for path in paths}
    stack = bkgflow.open_stack(backgrounds)
    xr.testing.assert_identical(stack, bkgflow.open_stack(paths))
    xr.testing.assert_identical(stack, bkgflow.open_stack(backgrounds.bkgflow.exposures()))
    assert stack.observation.dims == ("exposure",)
    late = tree.bkgflow.select(time=lambda time: time > stack.time.values[0])
    assert names(late) == {path.stem for path in paths[1:]}
    assert names(tree.bkgflow.select(target=["FIELD-1", "SKY"])) < names(tree)


def test_selections_that_cannot_be(program):
    tree = bkgflow.open_program(program.folder)
    with pytest.raises(SettingsError, match="a coordinate that it has") as caught:
        tree.bkgflow.select(filtre="F356W")
    assert "filter" in caught.value.cure
    with pytest.raises(SettingsError, match=r"none of \d has filter='F277W'"):
        tree.bkgflow.select(filter="F277W")
    with pytest.raises(SettingsError, match="must be one exposure"):
        bkgflow.open_stack([bkgflow.open_stack(program.exposures[:1])])


@pytest.mark.slow
def test_a_nod_is_target_and_background(tmp_path):
    program = simulate_nods(tmp_path, points=3)
    tree = bkgflow.open_program(program.associations)
    assert {each["role"].item() for each in tree.leaves} == {"target, background"}
    assert names(tree.bkgflow.select(role="background")) == names(tree)


@pytest.mark.slow
def test_what_is_no_exposure_is_passed_over_with_its_reason(tmp_path):
    program = simulate_wfss(tmp_path, exposures=1, size=64)
    (tmp_path / "broken.fits").write_bytes(b"nothing")
    tree = bkgflow.open_program(tmp_path)
    assert {path.stem for path in program.exposures} <= names(tree)
    passed = tree.attrs["passed_over"]
    assert "broken.fits: An exposure must be a FITS file" in passed
    references = {path.stem for path in program.references if path.suffix == ".fits"}
    assert references
    assert not references & names(tree)
    assert tree.bkgflow.select(exp_type="*WFSS").bkgflow.exposures()[0].bkgflow.wcs is not None


def test_programs_without_associations_and_single_files(tmp_path, program):
    for i in range(2):
        write_fits(
            tmp_path / f"{i}_rate.fits", np.ones((4, 4)), EXP_TYPE="MIR_IMAGE", FILTER="F770W"
        )
    tree = bkgflow.open_program(tmp_path)
    assert names(tree) == {"0_rate", "1_rate"}
    assert {each["role"].item() for each in tree.leaves} == {""}
    assert names(bkgflow.open_program(tmp_path / "0_rate.fits")) == {"0_rate"}
    assert names(bkgflow.open_program(f"{tmp_path}/*_rate.fits")) == {"0_rate", "1_rate"}
    assert names(bkgflow.open_program(program.associations[0])) < {
        path.stem for path in program.exposures
    }
    (tmp_path / "below").mkdir()
    write_fits(tmp_path / "below" / "0_rate.fits", np.ones((4, 4)), EXP_TYPE="MIR_IMAGE",
               FILTER="F770W")  # fmt: skip
    assert names(bkgflow.open_program(tmp_path)) == {"0_rate", "1_rate", "0_rate~2"}


def test_there_must_be_something(tmp_path):
    with pytest.raises(PlanError):
        bkgflow.open_program(tmp_path / "no")
    with pytest.raises(PlanError, match="must hold exposures"):
        bkgflow.open_program(tmp_path)
    write_association(tmp_path / "a_asn.json", [("a", "a_rate.fits", ["b_rate.fits"])])
    with pytest.raises(PlanError, match=r"a_rate\.fits"):
        bkgflow.open_program(tmp_path)


@pytest.mark.slow
def test_a_cluster_gives_the_same(program, cluster):
    tree = bkgflow.open_program(program.folder)
    target = tree.bkgflow.select(role="target").bkgflow.exposures()[0]
    background = bkgflow.combine(bkgflow.open_stack(tree.bkgflow.select(role="background")))
    lazy = bkgflow.subtract_background(target, background, propagate_errors=True)
    here = lazy.compute(scheduler="synchronous")
    with Client(cluster) as client:
        assert len(client.scheduler_info()["workers"]) == 2
        there = lazy.compute()
    xr.testing.assert_identical(here, there)


def test_the_tree_is_small(program):
    """A graph carries byte ranges and no pixels."""
    tree = bkgflow.open_program(program.folder)
    node = tree.leaves[0].to_dataset()
    assert len(json.dumps(node.attrs)) < 1000
    import cloudpickle

    assert len(cloudpickle.dumps(node.sci.data)) < 5000
