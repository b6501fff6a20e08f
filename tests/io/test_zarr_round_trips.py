"""From FITS to zarr and back, nothing changes: not a byte, whatever is in the file."""

from __future__ import annotations

import gzip
import io
import json
import shutil

import asdf
import numpy as np
import pytest
import zarr
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.fits.tree import read_wcs
from bkgflow.io.products.export import export_product
from bkgflow.io.products.zarr import to_group
from bkgflow.io.storage.location import Location
from bkgflow.io.zarr.reading import open_group
from bkgflow.io.zarr.stream import open_product
from bkgflow.io.zarr.trees import to_asdf, to_json, wcs_of
from bkgflow.simulate import simulate_wfss
from tests.helpers.products import add_extra, asdf_of

WINDOW = Window(3, 5, 8, 8)


def there_and_back(path, folder):
    """Put a file into a group and take it out again; return the group and the new file."""
    group, back = folder / "p.zarr", folder / "back.fits"
    shutil.rmtree(group, ignore_errors=True)
    to_group(Location.of(path), group, WINDOW, name="p.zarr")
    export_product(Location.of(group), Location.of(back))
    return group, back


def assert_whole(path, folder):
    group, back = there_and_back(path, folder)
    raw = path.read_bytes()
    whole = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    assert back.read_bytes() == whole
    with open_product(Location.of(group)) as stream:
        assert stream.read() == whole
    return group


TYPES = st.sampled_from(["f4", "f8", "i2", "i4", "i8", "u1", "u2", "u4"])


@st.composite
def images(draw, shape):
    dtype = np.dtype(draw(TYPES))
    raw = draw(hn.arrays(f"u{dtype.itemsize}", shape, fill=st.just(0)))
    return raw.view(dtype)  # every bit pattern: NaN of any kind, -0.0, the lowest whole number


@st.composite
def extensions(draw, shape):
    name = draw(st.sampled_from(["ERR", "DQ", "VAR_POISSON", "MASK", "X", "FITS", "y", "A B", "ERR",
                                 "BACKGROUND", "N_USED", "", "WAVELENGTH"]))  # fmt: skip
    match draw(st.sampled_from(["like", "plane", "other", "table", "packed", "scaled", "empty"])):
        case "like":
            return fits.ImageHDU(draw(images(shape)), name=name)
        case "plane":
            return fits.ImageHDU(draw(images(shape[-2:])), name=name)
        case "other":
            return fits.ImageHDU(draw(images((3, 2))), name=name)
        case "table":
            columns = [fits.Column("n", "J", array=np.arange(draw(st.integers(0, 5)))),
                       fits.Column("v", "PE()", array=[np.arange(2.0)])]  # fmt: skip
            return fits.BinTableHDU.from_columns(columns, name=name)
        case "packed":
            return fits.CompImageHDU(np.arange(64, dtype="i4").reshape(8, 8), name=name)
        case "scaled":
            unit = fits.ImageHDU(np.ones(shape, "f4"), name=name)
            unit.scale("int16", bscale=0.5, bzero=3)
            return unit
    return fits.ImageHDU(name=name)


@st.composite
def files(draw):
    shape = draw(st.sampled_from([(8, 8), (1, 7), (2, 8, 8), (3, 5, 6)]))
    primary = fits.PrimaryHDU()
    for number in range(draw(st.integers(0, 60))):
        primary.header[f"KEY{number}"] = draw(st.sampled_from([1, 2.5, "text", True, "it's " * 20]))
    units = [primary, fits.ImageHDU(draw(images(shape)), name="SCI")]
    units += draw(st.lists(extensions(shape), max_size=4))
    written = io.BytesIO()
    fits.HDUList(units).writeto(written, checksum=draw(st.booleans()))
    return written.getvalue()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch")


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(files(), st.booleans())
def test_any_file_comes_back_byte_by_byte(scratch, raw, packed):
    path = scratch / ("in.fits.gz" if packed else "in.fits")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    group = zarr.open_group(assert_whole(path, scratch), mode="r")
    with fits.open(io.BytesIO(raw)) as units:
        sci = units["SCI"].data
        if sci.dtype.kind != "f" or not units["SCI"].header.get("BSCALE"):
            found = group["sci"][...]
            assert found.dtype == sci.dtype.newbyteorder("=")
            # The bits are the same; values that are no numbers are not equal to themselves.
            assert found.tobytes() == sci.astype(found.dtype).tobytes()
        tables = group["fits"].attrs["hdus"]
        for i, each in enumerate(tables):
            named = units[i].header.get("EXTNAME", "PRIMARY" * (i == 0)).strip().upper()
            # What astropy writes of a packed image without a name, it hides when it reads it.
            unnamed = isinstance(units[i], fits.CompImageHDU) and not named
            assert each["name"] == ("COMPRESSED_IMAGE" if unnamed else named)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ImageModel", "CubeModel", "IFUImageModel"])
def test_files_of_data_models_come_back(write_exposure, tmp_path, kind):
    rng = np.random.default_rng(3)
    shape = (2, 30, 41) if kind == "CubeModel" else (30, 41)
    path = write_exposure("t_rate.fits", rng.normal(size=shape), dq=1 << 31, kind=kind)
    group = zarr.open_group(assert_whole(path, tmp_path), mode="r")
    assert group["dq"].dtype == np.uint32 and (group["dq"][...] == 1 << 31).all()
    assert group["sci"].dtype == group["err"].dtype == np.float32


@pytest.mark.slow
def test_extensions_of_a_users_own_come_back(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    add_extra(path, np.arange(12, dtype="i2").reshape(3, 4), {"OWN": "card"})
    with fits.open(path, mode="update") as units:
        table = fits.BinTableHDU.from_columns([fits.Column("a", "3D", array=np.eye(3))], name="INT")
        units.insert(2, table)
    assert_whole(path, tmp_path)


@pytest.mark.slow
def test_bytes_that_pad_an_array_come_back(write_exposure, tmp_path):
    path = write_exposure("t_rate.fits", np.ones((6, 6)))
    raw = bytearray(path.read_bytes())
    with fits.open(path) as units:
        info = units["ERR"].fileinfo()
    raw[info["datLoc"] + 6 * 6 * 4] = 7  # nobody should write that; a copy has it all the same
    path.write_bytes(raw)
    assert_whole(path, tmp_path)


@pytest.mark.slow
def test_arrays_of_several_shards_come_back(write_exposure, tmp_path):
    rng = np.random.default_rng(5)
    path = write_exposure("t_rateints.fits", rng.normal(size=(2, 1300, 1032)))
    group = zarr.open_group(assert_whole(path, tmp_path), mode="r")
    assert len(list((tmp_path / "p.zarr" / "sci" / "c").rglob("0"))) > 2
    np.testing.assert_array_equal(group["sci"][...], fits.getdata(path, "SCI"))


# The tree.


@pytest.mark.slow
def test_a_tree_in_json_says_all_that_the_tree_says(tmp_path):
    path = simulate_wfss(tmp_path, exposures=1, size=64).exposures[0]
    content = asdf_of(path)
    told = to_json(content)
    assert to_json(to_asdf(told)) == told
    tree = json.loads(told)["!value"]
    assert tree["meta"]["instrument"]["name"] == "NIRISS"
    assert tree["meta"]["wcs"]["!tag"].startswith("tag:stsci.edu:gwcs/wcs")
    points = np.meshgrid(np.arange(5.0), np.arange(5.0))
    more = [np.full((5, 5), each) for each in (1.5, 1.0)]
    one, other = wcs_of(told), read_wcs(Location.of(path))
    frames = one.available_frames
    assert frames == other.available_frames
    sky = one.get_transform("world", frames[0])
    wanted = other.get_transform("world", frames[0])
    ra, dec = 53.1 + points[0] * 1e-4, -27.8 + points[1] * 1e-4
    for a, b in zip(sky(ra, dec, *more), wanted(ra, dec, *more), strict=True):
        np.testing.assert_array_equal(a, b)


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.text(max_size=9) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), trees, max_size=4))
def test_any_tree_comes_back(tree):
    written = io.BytesIO()
    tree = {key: value for key, value in tree.items() if key not in {"history", "asdf_library"}}
    asdf.AsdfFile(tree).write_to(written)
    told = to_json(written.getvalue())
    with asdf.open(io.BytesIO(to_asdf(told))) as file:
        back = {key: file.tree[key] for key in tree}
    np.testing.assert_equal(back, tree)


@pytest.mark.parametrize("compression", [None, "zlib", "bzp2"])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i2", "u1", "bool"])
def test_arrays_behind_a_tree_stand_in_it(compression, dtype):
    array = np.linspace(0, 9, 300).astype(dtype).reshape(3, 100)
    written = io.BytesIO()
    file = asdf.AsdfFile({"a": array, "part": array[1:, ::2], "twice": [array[0], {"x": array}]})
    file.write_to(written, all_array_compression=compression)
    told = to_json(written.getvalue())
    with asdf.open(io.BytesIO(to_asdf(told))) as back:
        np.testing.assert_array_equal(back["a"], array)
        np.testing.assert_array_equal(back["part"], array[1:, ::2])
        np.testing.assert_array_equal(back["twice"][1]["x"], array)


def test_an_array_that_nobody_can_unpack_stays_in_its_block():
    written = io.BytesIO()
    asdf.AsdfFile({"a": np.arange(300)}).write_to(written, all_array_compression="zlib")
    told = to_json(written.getvalue().replace(b"zlib", b"odd!"))
    assert json.loads(told)["!value"]["a"]["!value"]["source"] == 0


# Groups that are none.


def test_what_is_no_product_says_so(tmp_path):
    zarr.create_group(tmp_path / "g.zarr")
    (tmp_path / "half.zarr").mkdir()
    (tmp_path / "half.zarr" / "zarr.json").write_text("{")
    for name in ("g.zarr", "half.zarr", "none.zarr"):
        with pytest.raises(FileError, match=r"must be a whole group .* Make it again"):
            open_group(Location.of(tmp_path / name))


def test_a_group_of_a_later_layout_is_not_misread(write_exposure, tmp_path):
    group, _ = there_and_back(write_exposure("t_rate.fits", np.ones((6, 6))), tmp_path)
    zarr.open_group(group).update_attributes({"bkgflow_layout": 99})
    with pytest.raises(FileError, match=r"layout 99"):
        open_group(Location.of(group))


def test_a_shard_that_is_gone_is_no_product(write_exposure, tmp_path):
    group, _ = there_and_back(write_exposure("t_rate.fits", np.ones((6, 6))), tmp_path)
    (group / "fits" / "cards" / "c" / "0" / "0").unlink()
    with pytest.raises(FileError, match="must be a whole group"):
        export_product(Location.of(group), Location.of(tmp_path / "x.fits"))
    assert not (tmp_path / "x.fits").exists()
