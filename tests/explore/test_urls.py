"""Behind a URL everything is as on a disk: exposures, stacks, programs, the backend."""

from pathlib import Path

import dask
import fsspec
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bkgflow
from bkgflow.errors import FileError, PlanError
from bkgflow.explore.backend import BkgflowBackend
from bkgflow.simulate import simulate_imaging
from tests.helpers.pace import examples


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A program on a disk, and the same behind a URL."""
    folder = tmp_path_factory.mktemp("program")
    simulated = simulate_imaging(folder, targets=1, backgrounds=3, size=48)
    url = f"memory://explored-{folder.name}"
    store = fsspec.filesystem("memory")
    for path in filter(Path.is_file, folder.rglob("*")):
        store.pipe(f"{url}/{path.relative_to(folder)}", path.read_bytes())
    yield simulated, url
    store.rm(url, recursive=True)


def without_places(data):
    """Without what says where it was read from."""
    data = data.compute().drop_vars("path", errors="ignore")
    data.attrs = {name: each for name, each in data.attrs.items() if name not in ("path", "paths")}
    return data


@pytest.mark.slow
@settings(max_examples=examples(20), suppress_health_check=list(HealthCheck))
@given(data=st.data(), memory=st.integers(1000, 100_000), sigma=st.sampled_from([1.0, 3.0]))
def test_it_equals_what_lies_on_a_disk(program, data, memory, sigma):
    simulated, url = program
    x, y = (data.draw(st.integers(0, 40)) for _ in range(2))
    whole = bkgflow.open_exposure(simulated.exposures[0])
    corner = int(whole.x[0]), int(whole.y[0])
    window = bkgflow.Window(corner[0] + x, corner[1] + y, data.draw(st.integers(1, 30)), 9)
    with dask.config.set(scheduler="synchronous"):
        found = []
        for paths in (
            simulated.exposures,
            [f"{url}/{path.name}" for path in simulated.exposures],
        ):
            target, *backgrounds = paths
            stack = bkgflow.open_stack(backgrounds, window, memory=memory)
            combined = bkgflow.combine(stack, sigma=sigma)
            opened = xr.open_dataset(str(target), engine=BkgflowBackend)
            part = opened.isel(x=slice(x, None), y=slice(y, None))
            result = bkgflow.subtract_background(part, combined, propagate_errors=True)
            result.attrs.pop("backgrounds")
            found.append([without_places(each) for each in (stack, combined, result)])
    for one, other in zip(*found, strict=True):
        xr.testing.assert_identical(one, other)


def test_a_program_behind_a_url(program):
    simulated, url = program
    here, there = bkgflow.open_program(simulated.folder), bkgflow.open_program(url)
    assert [each.path for each in there.leaves] == [each.path for each in here.leaves]
    for one, other in zip(here.leaves, there.leaves, strict=True):
        assert other.attrs["path"].startswith(url)
        xr.testing.assert_identical(
            without_places(one.to_dataset()), without_places(other.to_dataset())
        )
    assert len(there.bkgflow.select(role="background").leaves) == 3


@pytest.mark.slow
def test_a_product_of_what_lies_behind_a_url(program, tmp_path):
    simulated, url = program
    target, *backgrounds = [f"{url}/{path.name}" for path in simulated.exposures]
    combined = bkgflow.combine(bkgflow.open_stack(backgrounds))
    result = bkgflow.subtract_background(bkgflow.open_exposure(target), combined)
    path = result.bkgflow.to_fits(tmp_path / "a_bsub.fits")
    expected = bkgflow.subtract(simulated.exposures[0], list(simulated.exposures[1:]))
    np.testing.assert_array_equal(bkgflow.open_exposure(path).sci, expected.data)


def test_what_is_not_there(program):
    _, url = program
    with pytest.raises(FileError):
        bkgflow.open_exposure(f"{url}/no_rate.fits")
    with pytest.raises(PlanError):
        bkgflow.open_program(f"{url}-not")
