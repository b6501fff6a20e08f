"""Products in zarr open with plain xarray and zarr, as images of OME-NGFF, and are cheap to cut."""

from __future__ import annotations

import math
from collections import Counter

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import zarr
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from stdatamodels.jwst.datamodels import dqflags
from zarr.storage import LocalStore, WrapperStore

from bkgflow.detector import PIXEL_FLAGS, Window
from bkgflow.io.products.zarr import ZarrWriter, to_group
from bkgflow.io.storage.location import Location
from bkgflow.io.zarr.arrays import encoding_of
from bkgflow.io.zarr.layout import CHUNK_SIDE, SHARD_PIXELS, cut_of
from tests.helpers.products import LOWERED, SKY, write


@pytest.fixture
def group_of(write_exposure, tmp_path):
    def make(sci, **more):
        path = write_exposure("t_rate.fits", sci, **more)
        group = tmp_path / "t_bsub.zarr"
        write(path, group, LOWERED, writer=ZarrWriter())
        return group

    return make


@pytest.mark.slow
def test_plain_xarray_lists_coordinates_and_units(group_of):
    data = xr.open_zarr(group_of(np.ones((6, 8))))
    assert {"sci", "err", "dq"} <= set(data.data_vars)
    assert {name: each.dtype for name, each in data.coords.items()} == {
        "y": np.int32,
        "x": np.int32,
    }
    assert data.sci.dims == data.dq.dims == ("y", "x")
    assert data.sci.attrs["units"] == data.err.attrs["units"] == "DN/s"
    assert data.x.attrs["units"] == data.y.attrs["units"] == "pixel"
    assert all(each.attrs["long_name"] for each in data.variables.values())
    assert data.dq.dtype == np.uint32 and (data.dq.values & (1 << 31)).all()
    assert data.attrs["INSTRUME"] == "MIRI" and data.attrs["Conventions"].startswith("CF-")


@pytest.mark.slow
def test_a_cube_has_integrations(group_of):
    data = xr.open_zarr(group_of(np.ones((3, 6, 8))))
    assert data.sci.dims == ("integration", "y", "x")
    assert data.integration.values.tolist() == [1, 2, 3]
    assert data.sci.isel(y=0, x=0).values.tolist() == [0.0, -1.0, -2.0]


@pytest.mark.slow
def test_coordinates_count_the_detectors_pixels(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 8)), corner=(101, 41))
    to_group(Location.of(path), tmp_path / "g.zarr", Window(100, 40, 8, 6), name="g")
    data = xr.open_zarr(tmp_path / "g.zarr")
    assert (int(data.x[0]), int(data.y[0])) == (100, 40)


@pytest.mark.slow
def test_nothing_is_read_before_it_is_asked_for(group_of):
    group = group_of(np.ones((600, 700)))
    store = CountingStore(LocalStore(group, read_only=True))
    data = xr.open_datatree(store, engine="zarr", chunks={})
    assert isinstance(data["sci"].data, da.Array) and not store.pixels("sci")
    assert set(data.children) == {"fits"}
    assert {"cards", "data", "tree"} == set(data["fits"].data_vars)
    np.testing.assert_array_equal(data["sci"], np.zeros((600, 700)))
    assert store.pixels("sci")


@pytest.mark.slow
def test_flags_are_those_of_the_pipeline(group_of):
    attributes = xr.open_zarr(group_of(np.ones((6, 8)))).dq.attrs
    words = attributes["flag_meanings"].split()
    flags = dict(zip(words, attributes["flag_masks"], strict=True))
    assert len(flags) == len(PIXEL_FLAGS) == 32
    assert flags == {name: dqflags.pixel[name] for name in flags}


@pytest.mark.slow
def test_a_mask_is_an_array_as_well(tmp_path):
    from bkgflow.simulate import simulate_wfss

    exposure = simulate_wfss(tmp_path, exposures=1, size=128).exposures[0]
    write(exposure, tmp_path / "t_bsub.zarr", SKY, writer=ZarrWriter())
    data = xr.open_zarr(tmp_path / "t_bsub.zarr")
    np.testing.assert_array_equal(data["mask"], SKY.mask)
    assert {"var_poisson", "var_rnoise"} <= set(data.data_vars)
    assert data.var_poisson.attrs["units"] == "(DN/s)2"


# The cut.


class CountingStore(WrapperStore):
    """A store that takes down what is read."""

    def __init__(self, store):
        super().__init__(store)
        self.reads = Counter()

    def _with_store(self, store):
        return self

    async def get(self, key, prototype, byte_range=None):
        self.reads[key, str(byte_range)] += 1
        return await self._store.get(key, prototype, byte_range)

    async def get_partial_values(self, prototype, key_ranges):
        wanted = list(key_ranges)
        for key, byte_range in wanted:
            self.reads[key, str(byte_range)] += 1
        return await self._store.get_partial_values(prototype, wanted)

    def pixels(self, name):
        """Reads of an array's chunks, without those of the indices of shards."""
        return sum(
            number
            for (key, where), number in self.reads.items()
            if key.startswith(f"{name}/c/") and "Suffix" not in where
        )


@pytest.mark.slow
@pytest.mark.parametrize("corner", [(0, 0), (100, 200), (224, 224), (1000, 1500), (1984, 1984)])
def test_a_cut_out_of_a_full_frame_reads_four_chunks_at_most(full_frame, corner):
    y, x = corner
    store = CountingStore(LocalStore(full_frame, read_only=True))
    group = zarr.open_group(store, mode="r")
    cut = group["sci"][y : y + 64, x : x + 64]
    np.testing.assert_array_equal(cut, expected()[y : y + 64, x : x + 64])
    assert 1 <= store.pixels("sci") <= 4
    opened = xr.open_zarr(store).sci.isel(y=slice(y, y + 64), x=slice(x, x + 64))
    store.reads.clear()
    np.testing.assert_array_equal(opened, cut)
    assert 1 <= store.pixels("sci") <= 4


def expected():
    return np.arange(2048 * 2048, dtype="f4").reshape(2048, 2048) % 4099


@pytest.fixture(scope="module")
def full_frame(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    units = [fits.PrimaryHDU(), fits.ImageHDU(expected(), name="SCI")]
    fits.HDUList(units).writeto(folder / "t.fits")
    to_group(Location.of(folder / "t.fits"), folder / "t.zarr", Window(0, 0, 2048, 2048), name="t")
    return folder / "t.zarr"


def test_a_full_frame_is_one_object_for_each_array(full_frame):
    assert [each.name for each in (full_frame / "sci" / "c").rglob("*") if each.is_file()] == ["0"]
    assert len([each for each in full_frame.rglob("*") if each.is_file()]) < 30


sides = st.integers(1, 5000)


@given(sides, sides, st.none() | st.integers(1, 9000))
def test_however_large_an_array_is_its_cut_is_sound(ny, nx, integrations):
    shape = (ny, nx) if integrations is None else (integrations, ny, nx)
    cut = cut_of(shape)
    assert len(cut.chunks) == len(cut.shards) == len(shape)
    assert all(shard % chunk == 0 for shard, chunk in zip(cut.shards, cut.chunks, strict=True))
    assert cut.shards[-1] >= nx  # whole rows
    assert max(cut.chunks[-2:]) <= CHUNK_SIDE * 1.5
    for side, chunk in zip(shape[-2:], cut.chunks[-2:], strict=True):
        assert chunk == side or chunk >= CHUNK_SIDE / 1.5  # 64 pixels lie in two at most
        assert math.ceil(side / chunk) * chunk - side < chunk / 2 or side < 3 * CHUNK_SIDE
    assert math.prod(cut.shards) <= max(SHARD_PIXELS, math.prod(cut.chunks[:-1]) * cut.shards[-1])


@pytest.mark.slow
def test_dask_chunks_of_whole_shards_are_written_and_others_refused(tmp_path):
    shape = (5, 1300, 1032)
    cut, encoding = cut_of(shape), {"sci": encoding_of(shape)}
    pixels = np.arange(math.prod(shape), dtype="f4").reshape(shape)

    def dataset(chunks):
        data = da.from_array(pixels, chunks=chunks)
        return xr.Dataset({"sci": (("integration", "y", "x"), data)})

    whole = dataset(tuple(min(a, b) for a, b in zip(cut.shards, shape, strict=True)))
    whole.to_zarr(tmp_path / "a.zarr", encoding=encoding, zarr_format=3)
    np.testing.assert_array_equal(zarr.open_group(tmp_path / "a.zarr")["sci"][...], pixels)
    assert zarr.open_group(tmp_path / "a.zarr")["sci"].shards == cut.shards
    misaligned = dataset((cut.shards[0], cut.chunks[1], cut.shards[2] // 2))
    with pytest.raises(ValueError, match=r"(?i)overlap|align|chunk"):
        misaligned.to_zarr(tmp_path / "b.zarr", encoding=encoding, zarr_format=3)


# OME-NGFF 0.5: what its specification says "MUST" (ngff.openmicroscopy.org/0.5).


@pytest.mark.parametrize("shape", [(6, 8), (3, 6, 8)])
def test_the_group_is_an_image_of_ome_ngff(group_of, shape):
    group = zarr.open_group(group_of(np.ones(shape)), mode="r")
    assert group.metadata.zarr_format == 3
    ome = group.attrs["ome"]
    assert ome["version"] == "0.5"
    [multiscale] = ome["multiscales"]
    axes, datasets = multiscale["axes"], multiscale["datasets"]
    names, types = [each["name"] for each in axes], [each["type"] for each in axes]
    assert 2 <= len(axes) <= 5 and len(set(names)) == len(names)
    assert types.count("space") in {2, 3}
    assert types == ["time"] * types.count("time") + ["space"] * types.count("space")
    assert types.count("time") <= 1
    previous = None
    for each in datasets:
        array = group[each["path"]]
        assert array.ndim == len(axes) and array.dtype == np.float32
        assert list(array.metadata.dimension_names) == names
        assert previous is None or array.shape < previous  # the largest first
        previous = array.shape
        kinds = [t["type"] for t in each["coordinateTransformations"]]
        assert kinds in (["scale"], ["scale", "translation"])
        for t in each["coordinateTransformations"]:
            assert len(t[t["type"]]) == len(axes)
            assert all(isinstance(number, float) for number in t[t["type"]])
    assert datasets[0]["path"] == "sci"  # the same array: there is no copy


def test_the_image_lies_where_it_is_on_the_detector(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 8)), corner=(101, 41))
    to_group(Location.of(path), tmp_path / "g.zarr", Window(100, 40, 8, 6), name="g")
    [scale] = zarr.open_group(tmp_path / "g.zarr").attrs["ome"]["multiscales"]
    [_, translation] = scale["datasets"][0]["coordinateTransformations"]
    assert translation == {"type": "translation", "translation": [40.0, 100.0]}
