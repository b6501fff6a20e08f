"""Bytes out of FITS files, against astropy; and every way in which a file can be bad."""

import gzip
import shutil

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bkgflow.detector import Window
from bkgflow.errors import FileError, MetadataError, ShapeError, WindowError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.source import read_window
from tests.helpers.exposures import write_fits
from tests.helpers.pace import examples

INTEGERS = {np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32}


def read_all(path, part=None):
    facts = inspect(path)
    source = facts.source
    part = part or facts.window
    depth = (facts.n_integrations,) if facts.n_integrations else ()
    out = {}
    with source.reader() as reader:
        for layer, kind in (("sci", np.float32), ("err", np.float32), ("dq", np.uint32)):
            out[layer] = np.empty((*depth, *part.shape), kind)
            read_window(source, reader, layer, part, out[layer])
    return out


shapes = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=shapes,
    seed=st.integers(0, 999),
    sci_type=st.sampled_from([np.float32, np.float64, np.int16, np.int32]),
    dq_type=st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.uint32]),
    part=st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 12), st.integers(1, 12)),
)
def test_reads_what_astropy_reads(tmp_path, shape, seed, sci_type, dq_type, part):
    rng = np.random.default_rng(seed)
    sci = rng.normal(0, 100, shape).astype(sci_type)
    err = rng.normal(0, 100, shape).astype(np.float32)
    top = np.iinfo(dq_type).max
    dq = rng.integers(0, top, shape, dtype=np.int64, endpoint=True).astype(dq_type)
    path = write_fits(tmp_path / "x.fits", sci, err, dq, SUBSTRT1=3, SUBSTRT2=2)
    window = Window(*part)
    got = read_all(path, window)
    frame = {
        "sci": np.full((*shape[:-2], 40, 40), np.nan, np.float32),
        "err": np.full((*shape[:-2], 40, 40), np.nan, np.float32),
        "dq": np.zeros((*shape[:-2], 40, 40), np.uint32),
    }
    with fits.open(path) as units:
        for layer, array in frame.items():
            data = units[layer.upper()].data
            array[..., 1 : 1 + shape[-2], 2 : 2 + shape[-1]] = data
    rows, columns = window.slices_in(Window(0, 0, 40, 40))
    for layer, array in frame.items():
        np.testing.assert_array_equal(got[layer], array[..., rows, columns])


def test_reads_large_images_in_pieces(tmp_path):
    rng = np.random.default_rng(1)
    sci = rng.normal(0, 1, (700, 900)).astype(np.float32)
    dq = rng.integers(0, 2**32, sci.shape, dtype=np.uint32)
    got = read_all(write_fits(tmp_path / "x.fits", sci, dq=dq))
    np.testing.assert_array_equal(got["sci"], sci)
    np.testing.assert_array_equal(got["dq"], dq)


def test_reads_scaled_integers(tmp_path):
    sci = np.arange(12.0).reshape(3, 4) * 0.25 - 1
    path = write_fits(tmp_path / "x.fits", sci.astype(np.float32))
    with fits.open(path, mode="update") as units:
        units["SCI"].scale("int16", bscale=0.25, bzero=-1)
    np.testing.assert_array_equal(read_all(path)["sci"], sci)


def test_reads_gzip(tmp_path):
    sci = np.arange(12, dtype=np.float32).reshape(3, 4)
    path = write_fits(tmp_path / "x.fits", sci)
    packed = tmp_path / "x.fits.gz"
    with path.open("rb") as plain, gzip.open(packed, "wb") as out:
        shutil.copyfileobj(plain, out)
    np.testing.assert_array_equal(read_all(packed)["sci"], sci)


@pytest.mark.real
def test_real_layouts_are_understood(real_data):
    cube = inspect(real_data / "layouts/ERS_NGTS10_2022_new_drift_041_rateints.fits")
    assert cube.n_integrations == 4
    assert cube.window == Window(0, 528, 72, 416)
    for path in sorted((real_data / "layouts").glob("*.gz")):
        facts = inspect(path)
        assert facts.window.shape in ((2048, 2048), (1024, 1032))
    slit = inspect(sorted((real_data / "nirspec_nods").glob("*.fits"))[0])
    assert slit.window == Window(0, 658, 341, 25)


# Bad files: the error names the file, the rule, what was found, and the cure.


def refused(kind, path, word):
    with pytest.raises(kind) as caught:
        inspect(path)
    error = caught.value
    assert error.file == str(path)
    assert word in f"{error.rule} {error.value}"
    assert error.cure


def image(shape=(4, 5)):
    return np.zeros(shape, np.float32)


def test_missing(tmp_path):
    refused(FileError, tmp_path / "no.fits", "No such file")


def test_a_folder(tmp_path):
    refused(FileError, tmp_path, "directory")


def test_not_fits(tmp_path):
    path = tmp_path / "x.fits"
    path.write_text("nonsense " * 1000)
    refused(FileError, path, "FITS")


def test_empty(tmp_path):
    path = tmp_path / "x.fits"
    path.touch()
    refused(FileError, path, "empty")


def test_cut_gzip(tmp_path):
    path = tmp_path / "x.fits.gz"
    path.write_bytes(gzip.compress(b"SIMPLE  =" + b" " * 100000)[:60])
    refused(FileError, path, "FITS")


def test_spoiled_gzip(tmp_path):
    path = tmp_path / "x.fits.gz"
    packed = bytearray(gzip.compress(np.random.default_rng(1).bytes(10_000)))
    packed[10] ^= 0xFF  # the first block's type
    path.write_bytes(packed)
    refused(FileError, path, "FITS")


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("BITPIX", "7"),
        ("BITPIX", "'abc'"),
        ("NAXIS", "9"),
        ("NAXIS1", "-5"),
        ("NAXIS1", "'wide'"),
        ("BSCALE", "'much'"),
    ],
)
def test_headers_without_sense(tmp_path, keyword, value):
    path = write_fits(tmp_path / "x.fits", image())
    raw = path.read_bytes()
    start = raw.index(b"XTENSION")
    replaced = "GCOUNT" if keyword == "BSCALE" else keyword
    start = raw.index(f"{replaced:<8}=".encode(), start)
    card = f"{keyword:<8}= {value:>20}".ljust(80).encode()
    path.write_bytes(raw[:start] + card + raw[start + 80 :])
    refused(FileError, path, "extension SCI")


@pytest.mark.parametrize("keep", [100, 2880, 5800, 0.5, 0.9, -1])
def test_truncated_anywhere(tmp_path, keep):
    path = write_fits(tmp_path / "x.fits", image((60, 60)))
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.truncate(int(size * keep) if 0 < keep < 1 else keep % size)
    with pytest.raises(FileError) as caught:
        inspect(path)
    assert caught.value.file == str(path)


def test_no_sci(tmp_path):
    path = write_fits(tmp_path / "x.fits", image())
    with fits.open(path, mode="update") as units:
        del units["SCI"]
    refused(FileError, path, "no SCI")


@pytest.mark.parametrize("name", ["ERR", "DQ"])
def test_no_err_or_no_dq(tmp_path, name):
    path = write_fits(tmp_path / "x.fits", image())
    with fits.open(path, mode="update") as units:
        del units[name]
    facts = inspect(path)
    assert facts.absent == (name,)
    out = np.full(facts.window.shape, 7, np.uint32)
    with facts.source.reader() as reader:
        if name == "DQ":
            reader.read("dq", facts.window, out)
            assert not out.any()
        else:
            with pytest.raises(FileError, match="no ERR"):
                reader.read("err", facts.window, out)


def test_an_extension_without_data(tmp_path):
    path = write_fits(tmp_path / "x.fits", image())
    with fits.open(path) as units:
        units["DQ"].data = None
        units.writeto(tmp_path / "y.fits")
    refused(FileError, tmp_path / "y.fits", "DQ has no array")


def test_a_table_for_an_image(tmp_path):
    table = fits.BinTableHDU.from_columns([fits.Column("x", "E", array=[1])], name="SCI")
    with fits.open(write_fits(tmp_path / "y.fits", image((32, 32)))) as units:
        units["SCI"] = table
        units.writeto(tmp_path / "x.fits")
    refused(FileError, tmp_path / "x.fits", "SCI is a BINTABLE")


@pytest.mark.parametrize("shape", [(32, 40), (3, 32, 40)])
def test_a_compressed_image(tmp_path, shape):
    values = np.random.default_rng(1).normal(size=shape).astype("f4")
    packed = fits.CompImageHDU(values, compression_type="GZIP_2", quantize_level=0, name="SCI")
    with fits.open(write_fits(tmp_path / "y.fits", values)) as units:
        units["SCI"] = packed
        units.writeto(tmp_path / "x.fits")
    facts = inspect(tmp_path / "x.fits")
    part = Window(5, 3, 20, 11)
    out = np.empty((*shape[:-2], *part.shape), np.float32)
    with facts.source.reader() as reader:
        reader.read("sci", part, out)
    np.testing.assert_array_equal(out, values[..., 3:14, 5:25])


@pytest.mark.parametrize("name", ["a\0b.fits", "a\ud800.fits", "a" * 5000])
def test_names_that_no_file_can_have(tmp_path, name):
    refused(FileError, tmp_path / name, "readable file")


def test_shapes_differ(tmp_path):
    path = write_fits(tmp_path / "x.fits", image(), dq=np.zeros((4, 6), np.uint32))
    refused(ShapeError, path, "DQ (4, 6)")


def test_a_ramp(tmp_path):
    refused(ShapeError, write_fits(tmp_path / "x.fits", image((2, 2, 4, 5))), "(2, 2, 4, 5)")


def test_subsize_contradicts_the_array(tmp_path):
    path = write_fits(tmp_path / "x.fits", image(), SUBSIZE1=4, SUBSIZE2=5)
    refused(ShapeError, path, "5×4")


@pytest.mark.parametrize("keyword", ["SUBSTRT1", "SUBSTRT2", "SUBSIZE1"])
def test_no_place_on_a_subarray(tmp_path, keyword):
    path = write_fits(tmp_path / "x.fits", image(), **{keyword: None})
    refused(WindowError, path, keyword)


def test_a_place_outside_the_detector(tmp_path):
    path = write_fits(tmp_path / "x.fits", image(), SUBSTRT1=0)
    refused(WindowError, path, "0, 1")


@pytest.mark.parametrize("value", ["left", 1.5])
def test_a_place_that_is_no_whole_number(tmp_path, value):
    refused(WindowError, write_fits(tmp_path / "x.fits", image(), SUBSTRT1=value), "SUBSTRT1")


def test_full_frames_need_no_place(tmp_path):
    none = dict.fromkeys(("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2"))
    path = write_fits(tmp_path / "x.fits", image((1024, 1032)), **none)
    assert inspect(path).window == Window(0, 0, 1032, 1024)


@pytest.mark.parametrize("tilt", [None, "NaN", "wide"])
def test_tilt_missing_or_not_a_number(tmp_path, tilt):
    path = write_fits(tmp_path / "x.fits", image(), GWA_XTIL=0.1, GWA_YTIL=tilt)
    with pytest.raises(MetadataError, match="GWA_YTIL"):
        inspect(path).gwa_tilt()


def test_a_slit_that_does_not_say_where_it_is(write_exposure):
    path = write_exposure("slit_rate.fits", np.ones((4, 5)))
    with fits.open(path, mode="update") as units:
        units["SCI"].header["SLTSTRT1"], units["SCI"].header["SLTSTRT2"] = "left", 1
        units["SCI"].header["SLTSIZE1"], units["SCI"].header["SLTSIZE2"] = 5, 4
    with pytest.raises(WindowError, match="left"):
        inspect(path)


def test_bytes_behind_the_last_extension(tmp_path):
    """They are not searched to the end of the file for a header's END."""
    path = write_fits(tmp_path / "x.fits", image())
    size = path.stat().st_size
    with path.open("ab") as stream:
        stream.write(b"\1" * 2880)
    refused(FileError, path, f"byte {size} begins an extension with")


def test_slits_cut_out_of_an_exposure_are_no_exposure(write_exposure):
    path = write_exposure("t_cal.fits", np.ones((4, 4)))
    fits.setval(path, "DATAMODL", value="MultiSlitModel")
    with pytest.raises(FileError, match="one image or one cube"):
        inspect(path)


def test_a_number_that_stands_for_no_value_is_refused(write_exposure):
    path = write_exposure("t_rate.fits", np.ones((4, 4)))
    with fits.open(path, mode="update") as units:
        units["SCI"].data = np.arange(16, dtype="i4").reshape(4, 4)
        units["SCI"].header["BLANK"] = 5
    with pytest.raises(FileError, match="BLANK"):
        inspect(path)
