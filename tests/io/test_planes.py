"""Rows out of FITS files, read from many places of one plane."""

import io

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from bkgflow.detector import Window
from bkgflow.errors import FileError
from bkgflow.io.fits import planes
from bkgflow.io.fits.hdus import ByteRange
from tests.helpers.pace import examples

KINDS = {
    "float32": (-32, ">f4", 1.0, 0.0),
    "float64": (-64, ">f8", 1.0, 0.0),
    "uint32": (32, ">i4", 1.0, float(2**31)),
    "uint16": (16, ">i2", 1.0, float(2**15)),
    "scaled": (16, ">i2", 0.5, -3.0),
    "bytes": (8, ">u1", 1.0, 0.0),
}


def stored(kind, shape, seed):
    """Return a file with one array, where the array lies, and its values as astropy has them."""
    bitpix, dtype, bscale, bzero = KINDS[kind]
    rng = np.random.default_rng(seed)
    if dtype[1] == "f":
        raw = rng.normal(0, 1e3, shape).astype(dtype)
    else:
        limits = np.iinfo(dtype[1:])
        raw = rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    file = io.BytesIO()
    hdu = fits.PrimaryHDU(raw)
    hdu.header["BSCALE"], hdu.header["BZERO"] = bscale, bzero
    file.write(hdu.header.tostring().encode() + raw.tobytes())
    file.write(bytes(-len(file.getvalue()) % 2880))
    offset = len(hdu.header.tostring())
    with fits.open(io.BytesIO(file.getvalue()), uint=True) as opened:
        values = np.array(opened[0].data)
    return file, ByteRange(offset, shape, bitpix, bscale, bzero), values


@settings(max_examples=examples(200), deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 2**32 - 1))
def test_whatever_is_read_is_what_astropy_reads(data, kind, seed):
    ny, nx = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 60))
    file, where, values = stored(kind, (ny, nx), seed)
    plane = planes.PlaneReader(file, where)
    for _ in range(4):
        y0, x0 = data.draw(st.integers(0, ny - 1)), data.draw(st.integers(0, nx - 1))
        window = Window(
            x0, y0, data.draw(st.integers(1, nx - x0)), data.draw(st.integers(1, ny - y0))
        )
        native = np.uint32 if kind.startswith("uint") else np.float64
        out = np.full(window.shape, 77, native)
        plane.read(window, out)
        np.testing.assert_array_equal(out, values[window.slices_in(Window(0, 0, nx, ny))])


def test_more_rows_than_are_read_at_a_time(monkeypatch):
    file, where, values = stored("float32", (50, 30), 1)
    for at_once in (1, 30 * 4, 7 * 30 * 4, 1 << 20):
        monkeypatch.setattr(planes, "SCRATCH_BYTES", at_once)
        monkeypatch.setattr(planes, "WHOLE_BYTES", at_once)
        out = np.zeros((31, 30), np.float32)
        planes.read_rows(file, where, Window(0, 9, 30, 31), out)
        np.testing.assert_array_equal(out, values[9:40])


def test_a_file_that_ends_early_says_so():
    file, where, _ = stored("float32", (50, 300), 1)
    file.truncate(where.offset + 40 * 300 * 4)
    plane = planes.PlaneReader(file, where)
    plane.read(Window(0, 0, 300, 40), np.zeros((40, 300), np.float32))
    with pytest.raises(FileError, match="ended early"):
        plane.read(Window(0, 30, 300, 11), np.zeros((11, 300), np.float32))
