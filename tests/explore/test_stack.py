"""Exposures and stacks as lazy Datasets, and the clip over them: lazy equals eager."""

import json

import dask
import numpy as np
import pytest
import xarray as xr
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stdatamodels.jwst.datamodels import dqflags

import bkgflow
from bkgflow.errors import FileError, SettingsError, ShapeError, WindowError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.methods import clip
from bkgflow.rules import ClipRule, StackRule
from tests.helpers.exposures import make_model, write_fits
from tests.helpers.pace import examples

LAYERS = {"sci": np.float32, "err": np.float32, "dq": np.uint32}

BYTES = 12  # of SCI, ERR and DQ of one pixel


def write_random(path, rng, shape, corner=(1, 1), bad=0.1, **keywords):
    """Write an exposure with outliers, NaN and flags; ``corner`` is 1-based."""
    sci = rng.normal(10, 2, shape).astype(np.float32)
    sci[rng.random(shape) < 0.05] += 300
    sci[rng.random(shape) < bad] = np.nan
    err = rng.uniform(0.5, 2, shape).astype(np.float32)
    dq = rng.integers(0, 2**32, shape, dtype=np.uint32)
    return write_fits(path, sci, err, dq, SUBSTRT1=corner[0], SUBSTRT2=corner[1], **keywords)


def read(path):
    """The arrays by astropy, and the 0-based corner."""
    with fits.open(path) as units:
        arrays = {name: np.array(units[name.upper()].data).astype(LAYERS[name]) for name in LAYERS}
        return arrays, (units[0].header["SUBSTRT1"] - 1, units[0].header["SUBSTRT2"] - 1)


def registered(path, window, depth=None):
    """An exposure's arrays on a window: NaN and 0 where it has no pixel or no integration."""
    arrays, (x, y) = read(path)
    out = {}
    for name, array in arrays.items():
        planes = array if array.ndim == 3 else array[None]
        missing = 0 if name == "dq" else np.nan
        frame = np.full((depth or len(planes), 300, 300), missing, LAYERS[name])
        frame[: len(planes), y : y + array.shape[-2], x : x + array.shape[-1]] = planes
        out[name] = frame[:, window.y0 : window.y1, window.x0 : window.x1]
    return out


def combined_by_hand(paths, window, **options):
    """The methods themselves on arrays that astropy read."""
    rule = StackRule(clip=ClipRule(**options))
    exposures = [registered(path, window) for path in paths]
    cubes = any(read(path)[0]["sci"].ndim == 3 for path in paths)
    if not cubes:
        stacked = [np.stack([each[name][0] for each in exposures]) for name in LAYERS]
        return clip.combine(*stacked, rule)
    means = [clip.collapse(*(each[name] for name in LAYERS), rule) for each in exposures]
    stacked = [np.stack([getattr(mean, name) for mean in means]) for name in LAYERS]
    return clip.combine(*stacked, rule)


def assert_combined(dataset, expected):
    for name in ("sci", "err", "dq", "n_used"):
        found = dataset[name].values
        assert found.dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(found, getattr(expected, name))


def assert_chunks(data, *sizes):
    """Check the chunks along the last axes, for all three variables."""
    for name in LAYERS:
        assert data[name].chunks == sizes


# One exposure.


def test_an_image(tmp_path):
    rng = np.random.default_rng(1)
    path = write_random(tmp_path / "a_rate.fits", rng, (7, 9), (33, 5))
    data = bkgflow.open_exposure(path)
    assert dict(data.sizes) == {"y": 7, "x": 9}
    np.testing.assert_array_equal(data.x, np.arange(32, 41))
    np.testing.assert_array_equal(data.y, np.arange(4, 11))
    arrays, _ = read(path)
    for name, dtype in LAYERS.items():
        assert data[name].dims == ("y", "x")
        assert dask.is_dask_collection(data[name])
        assert data[name].dtype == dtype
        computed = data[name].values
        assert computed.dtype == dtype
        assert computed.dtype.isnative
        np.testing.assert_array_equal(computed, arrays[name])


def test_a_cube(tmp_path):
    path = write_random(tmp_path / "a_rateints.fits", np.random.default_rng(2), (4, 7, 9))
    data = bkgflow.open_exposure(path)
    assert data["sci"].dims == ("integration", "y", "x")
    assert_chunks(data, (4,), (7,), (9,))
    for name, array in read(path)[0].items():
        np.testing.assert_array_equal(data[name], array)


def test_units_and_provenance(write_exposure):
    path = write_exposure("a_rate.fits", np.ones((4, 4)), gwa=(0.1, 0.2))
    data = bkgflow.open_exposure(str(path))
    assert data.attrs == {
        "path": str(path),
        "instrument": "MIRI",
        "detector": "MIRIMAGE",
        "exp_type": "MIR_IMAGE",
        "data_model": "ImageModel",
        "bkgflow_version": bkgflow.__version__,
    }
    assert data.sci.attrs == {"long_name": "science", "units": "DN/s"}
    assert data.err.attrs == {"long_name": "uncertainty", "units": "DN/s"}
    said = dict(data.dq.attrs)
    masks, words = said.pop("flag_masks"), said.pop("flag_meanings").split()
    assert said == {
        "long_name": "data quality", "_Unsigned": "true", "standard_name": "status_flag"
    }  # fmt: skip
    flags = dict(zip(words, masks.view(np.uint32).tolist(), strict=True))
    assert flags == {name: int(each) for name, each in dqflags.pixel.items() if name != "GOOD"}
    assert "from 0" in data.x.attrs["long_name"]
    json.dumps(data.attrs)


@pytest.mark.parametrize(
    ("memory", "rows"), [(1, 1), (9 * BYTES, 1), (3 * 9 * BYTES + 5, 3), (10**9, 8)]
)
def test_bands_follow_the_memory(tmp_path, memory, rows):
    rng = np.random.default_rng(3)
    path = write_random(tmp_path / "a_rate.fits", rng, (8, 9))
    cube = write_random(tmp_path / "c_rate.fits", rng, (2, 8, 9))
    bands = tuple(min(rows, 8 - y) for y in range(0, 8, rows))
    data = bkgflow.open_exposure(path, memory=memory)
    assert_chunks(data, bands, (9,))
    stack = bkgflow.open_stack([path, path, path], memory=3 * memory)
    assert_chunks(stack, (3,), bands, (9,))
    cubes = bkgflow.open_stack([cube, path], memory=4 * memory)
    assert_chunks(cubes, (2,), (2,), bands, (9,))
    np.testing.assert_array_equal(data["sci"], read(path)[0]["sci"])


def test_a_chunk_stays_within_the_memory_by_default(tmp_path):
    from bkgflow.explore.lazy import DEFAULT_CHUNK

    paths = [write_random(tmp_path / f"{i}.fits", np.random.default_rng(i), (6, 5)) for i in (1, 2)]
    assert_chunks(bkgflow.open_stack(paths), (2,), (6,), (5,))
    assert DEFAULT_CHUNK == 256 << 20


def test_nothing_is_read_before_it_is_computed(tmp_path):
    rng = np.random.default_rng(4)
    paths = [write_random(tmp_path / f"{i}_rate.fits", rng, (6, 5)) for i in range(3)]
    exposure, stack = bkgflow.open_exposure(paths[0]), bkgflow.open_stack(paths)
    combined = bkgflow.combine(stack)
    first = stack.isel(exposure=0).sci.copy()
    paths[2].unlink()
    np.testing.assert_array_equal(exposure.sci, read(paths[0])[0]["sci"])
    for lazy in (stack.sci, combined.sci, combined.n_used, first):
        with pytest.raises(FileError, match=r"2_rate\.fits"):
            lazy.compute()


def test_bands_are_read_apart(tmp_path):
    """A band of rows needs its own rows alone: the rest of the file may be gone."""
    path = write_random(tmp_path / "a_rate.fits", np.random.default_rng(5), (40, 8))
    data = bkgflow.open_exposure(path, memory=4 * 8 * BYTES)
    expected = read(path)[0]["sci"][8:12]
    sci = inspect(path).source.sci
    with path.open("r+b") as stream:
        stream.truncate(sci.offset + 12 * 8 * 4)
    np.testing.assert_array_equal(data["sci"].isel(y=slice(8, 12)).compute(), expected)
    with pytest.raises(FileError, match="ended early"):
        data["sci"].isel(y=slice(12, 16)).compute()


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="No such file"):
        bkgflow.open_exposure(tmp_path / "no.fits")


# Stacks.


def test_a_stack_of_images(tmp_path):
    rng = np.random.default_rng(6)
    paths = [write_random(tmp_path / f"{i}_rate.fits", rng, (6, 5), (11, 21)) for i in range(3)]
    stack = bkgflow.open_stack(paths)
    assert stack["sci"].dims == ("exposure", "y", "x")
    assert list(stack.exposure.values) == ["0_rate.fits", "1_rate.fits", "2_rate.fits"]
    assert list(stack.n_integrations.values) == [0, 0, 0]
    assert (stack.x.values[0], stack.y.values[0]) == (10, 20)
    assert stack.attrs["paths"].splitlines() == [str(path) for path in paths]
    assert_chunks(stack, (3,), (6,), (5,))
    for name, dtype in LAYERS.items():
        expected = np.stack([read(path)[0][name] for path in paths])
        np.testing.assert_array_equal(stack[name], expected)
        assert stack[name].dtype == dtype


def test_one_path_is_a_stack_of_one(tmp_path):
    path = write_random(tmp_path / "a_rate.fits", np.random.default_rng(7), (6, 5))
    for given_paths in (path, str(path), [path], iter([path])):
        assert bkgflow.open_stack(given_paths).sizes["exposure"] == 1


def test_mixtures_are_registered_on_the_detector(tmp_path):
    rng = np.random.default_rng(8)
    paths = [
        write_random(tmp_path / "image.fits", rng, (6, 5), (11, 21)),
        write_random(tmp_path / "cube.fits", rng, (2, 9, 4), (8, 24)),
        write_random(tmp_path / "deep.fits", rng, (3, 2, 9), (13, 18)),
    ]
    stack = bkgflow.open_stack(paths)
    assert dict(stack.sizes) == {"exposure": 3, "integration": 3, "y": 15, "x": 14}
    assert list(stack.n_integrations.values) == [0, 2, 3]
    window = bkgflow.Window(7, 17, 14, 15)
    assert (stack.x.values[0], stack.y.values[0]) == (window.x0, window.y0)
    for i, path in enumerate(paths):
        expected = registered(path, window, depth=3)
        for name in LAYERS:
            np.testing.assert_array_equal(stack[name][i], expected[name])


@pytest.mark.parametrize(
    "window", [(12, 22, 3, 2), (0, 0, 40, 50), (10, 20, 5, 6), (15, 25, 9, 1), (13, 0, 1, 300)]
)
def test_a_window_cuts_and_fills(window, tmp_path):
    rng = np.random.default_rng(9)
    window = bkgflow.Window(*window)
    paths = [write_random(tmp_path / f"{i}.fits", rng, (6, 5), (11 + i, 21 + i)) for i in range(2)]
    stack = bkgflow.open_stack(paths, window, memory=5000)
    assert stack["sci"].shape == (2, *window.shape)
    np.testing.assert_array_equal(stack.x, np.arange(window.x0, window.x1))
    np.testing.assert_array_equal(stack.y, np.arange(window.y0, window.y1))
    for i, path in enumerate(paths):
        for name, array in registered(path, window).items():
            np.testing.assert_array_equal(stack[name][i], array[0])


@pytest.mark.slow
def test_the_unit_of_a_stack_is_that_of_all(write_exposure, tmp_path):
    first = write_exposure("a_rate.fits", np.ones((4, 4)))
    second = write_exposure("b_rate.fits", np.ones((4, 4)))
    with make_model(np.ones((4, 4))) as model:
        model.meta.bunit_data = "MJy/sr"
        model.save(str(tmp_path / "c_rate.fits"))
    assert bkgflow.open_stack([first, second]).sci.attrs["units"] == "DN/s"
    with pytest.raises(bkgflow.BkgflowError, match="BUNIT"):
        bkgflow.open_stack([first, tmp_path / "c_rate.fits"])
    mixed = bkgflow.open_stack([first, tmp_path / "c_rate.fits"], allow_mismatch="bunit")
    assert "units" not in mixed.sci.attrs
    assert bkgflow.combine(bkgflow.open_stack([first])).err.attrs["units"] == "DN/s"


def test_stacks_that_cannot_be(tmp_path):
    path = write_random(tmp_path / "a_rate.fits", np.random.default_rng(10), (6, 5), (11, 21))
    for empty in ([], (), iter([])):
        with pytest.raises(SettingsError, match="at least one exposure") as caught:
            bkgflow.open_stack(empty)
        assert caught.value.cure
    with pytest.raises(WindowError, match="x 11–15, y 21–26") as caught:
        bkgflow.open_stack([path], bkgflow.Window(15, 20, 4, 4))
    assert "x 16–19, y 21–24" in caught.value.value
    with pytest.raises(FileError, match=r"no_rate\.fits"):
        bkgflow.open_stack([path, tmp_path / "no_rate.fits"])


# The clip as a transform.


@pytest.fixture(scope="module")
def exposures(tmp_path_factory):
    """Images and cubes, full and partial, to pick from."""
    folder = tmp_path_factory.mktemp("exposures")
    rng = np.random.default_rng(11)
    shapes = [
        ((9, 8), (11, 21), 0.0),
        ((9, 8), (11, 21), 0.3),
        ((9, 8), (11, 21), 0.9),
        ((12, 5), (9, 20), 0.1),
        ((3, 11), (12, 27), 0.1),
        ((4, 9, 8), (11, 21), 0.2),
        ((2, 5, 9), (13, 19), 0.5),
        ((7, 12, 12), (8, 19), 0.05),
        ((1, 9, 8), (11, 21), 1.0),
    ]
    return [
        write_random(folder / f"{i}.fits", rng, shape, corner, bad)
        for i, (shape, corner, bad) in enumerate(shapes)
    ]


WINDOW = bkgflow.Window(10, 20, 8, 9)

chosen = st.lists(st.integers(0, 8), min_size=1, max_size=14)
images = st.lists(st.integers(0, 4), min_size=1, max_size=14)
sizes = st.integers(2, 9)
clips = {
    "sigma": st.sampled_from([0.8, 1.5, 3.0]),
    "maxiters": st.sampled_from([None, 0, 1, 2]),
}


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    picked=st.one_of(chosen, images),
    memory=st.integers(1000, 30_000),
    rows=sizes,
    columns=sizes,
    deep=sizes,
    **clips,
)
def test_lazy_equals_eager_for_any_chunks(
    exposures, picked, memory, rows, columns, deep, sigma, maxiters
):
    paths = [exposures[i] for i in picked]
    expected = combined_by_hand(paths, WINDOW, sigma=sigma, maxiters=maxiters)
    stack = bkgflow.open_stack(paths, WINDOW, memory=memory)
    chunks = {"y": rows, "x": columns, "exposure": deep, "integration": deep}
    rechunked = stack.chunk({dim: n for dim, n in chunks.items() if dim in stack.dims})
    options = {"sigma": sigma, "maxiters": maxiters}
    with dask.config.set(scheduler="synchronous"):
        first = bkgflow.combine(stack, **options)
        assert first["sci"].chunks == stack["sci"].chunks[-2:]
        assert_combined(first.compute(), expected)
        second = bkgflow.combine(rechunked, **options)
        assert second["sci"].chunks == rechunked["sci"].chunks[-2:]
        assert_combined(second.compute(), expected)
        in_memory = bkgflow.combine(stack.compute(), **options)
    assert not dask.is_dask_collection(in_memory)
    assert_combined(in_memory, expected)


@pytest.mark.parametrize("picked", [[0, 1, 2, 3, 4], [5, 6, 7, 8], [0, 1, 4, 5, 7]])
@pytest.mark.parametrize("target_shape", [(9, 8), (2, 9, 8)])
def test_the_same_background_as_subtract_uses(exposures, picked, target_shape, tmp_path):
    paths = [exposures[i] for i in picked]
    rng = np.random.default_rng(12)
    target = make_model(rng.normal(50, 5, target_shape), corner=(11, 21))
    result = bkgflow.subtract(target, paths, sigma=2.0, propagate_errors=True)
    combined = bkgflow.combine(bkgflow.open_stack(paths, WINDOW), sigma=2.0).compute()
    used = combined.n_used.values > 0
    assert used.any()
    removed = np.where(used, combined.sci, np.float32(0))
    np.testing.assert_array_equal(result.data, target.data - removed)
    np.testing.assert_array_equal(result.dq, target.dq | combined.dq.values)
    grown = np.hypot(target.err, np.where(used, combined.err, np.float32(0)))
    np.testing.assert_array_equal(result.err, grown)
    assert result.meta.bkgflow.unsubtracted_pixels == (~used).sum()


def test_what_is_combined_says_how(exposures):
    stack = bkgflow.open_stack(exposures[:3])
    combined = bkgflow.combine(stack, sigma=2.5, maxiters=4)
    assert set(combined) == {"sci", "err", "dq", "n_used"}
    assert (combined.attrs["sigma"], combined.attrs["maxiters"]) == (2.5, 4)
    assert combined.attrs["paths"] == stack.attrs["paths"]
    assert combined.n_used.attrs == {"long_name": "exposures kept"}
    xr.testing.assert_equal(combined.x, stack.x)
    # netCDF and zarr take no None.
    assert bkgflow.combine(stack).attrs["maxiters"] == 0


def test_the_stack_is_left_as_it_is(exposures):
    stack = bkgflow.open_stack(exposures[5:8]).compute()
    before = stack.copy(deep=True)
    bkgflow.combine(stack)
    xr.testing.assert_identical(stack, before)


def test_a_part_of_a_stack(exposures):
    stack = bkgflow.open_stack(exposures[:3])
    whole = bkgflow.combine(stack).sel(x=slice(12, 14), y=[25])
    part = bkgflow.combine(stack.sel(x=slice(12, 14), y=[25]))
    assert part.sizes == {"y": 1, "x": 3}
    xr.testing.assert_equal(part.compute(), whole.compute())


def test_a_cube_alone_is_clipped_along_its_integrations(exposures):
    cube = bkgflow.open_exposure(exposures[7])
    combined = bkgflow.combine(cube, sigma=2.0).compute()
    arrays, _ = read(exposures[7])
    assert_combined(combined, clip.combine(*arrays.values(), StackRule(clip=ClipRule(sigma=2.0))))


def test_masked_everywhere_is_nan_and_none(exposures):
    combined = bkgflow.combine(bkgflow.open_stack([exposures[8]])).compute()
    assert np.isnan(combined.sci).all()
    assert np.isnan(combined.err).all()
    assert (combined.n_used == 0).all()
    np.testing.assert_array_equal(combined.dq, read(exposures[8])[0]["dq"][0])


@pytest.mark.parametrize(
    "bad", [{"sigma": 0}, {"sigma": -1.0}, {"sigma": np.nan}, {"maxiters": -1}, {"maxiters": 1.5}]
)
def test_bad_clips_are_refused_before_anything_is_computed(exposures, bad):
    (name,) = bad
    with pytest.raises(SettingsError, match=name):
        bkgflow.combine(bkgflow.open_stack(exposures[:2]), **bad)


def test_an_image_alone_is_no_stack(exposures):
    with pytest.raises(ShapeError, match="A stack must have the shape"):
        bkgflow.combine(bkgflow.open_exposure(exposures[0])).compute()
