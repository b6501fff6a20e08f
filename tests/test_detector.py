"""Windows on the detector."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL, Window, enclosing, full_frame

windows = st.builds(
    Window, st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20)
)


def painted(window):
    frame = np.zeros((60, 60), bool)
    frame[window.y0 : window.y1, window.x0 : window.x1] = True
    return frame


@given(windows, windows)
def test_overlap_is_the_pixels_of_both(a, b):
    both = painted(a) & painted(b)
    overlap = a.overlap(b)
    assert (overlap is None) == (not both.any())
    if overlap is not None:
        assert (painted(overlap) == both).all()
        assert b.overlap(a) == overlap
        assert a.contains(overlap)


@given(windows, windows)
def test_enclosing_is_the_smallest_that_holds_both(a, b):
    whole = enclosing([a, b])
    rows, columns = np.nonzero(painted(a) | painted(b))
    assert (whole.x0, whole.y0) == (columns.min(), rows.min())
    assert (whole.x1, whole.y1) == (columns.max() + 1, rows.max() + 1)


@given(windows, st.integers(1, 25))
def test_bands_cover_every_row_once(window, rows):
    bands = list(window.bands(rows))
    assert [y for band in bands for y in range(band.y0, band.y1)] == list(
        range(window.y0, window.y1)
    )
    assert all(band.ny <= rows and (band.x0, band.nx) == (window.x0, window.nx) for band in bands)


def test_slices_in():
    frame = Window(10, 20, 8, 6)
    array = np.arange(48).reshape(frame.shape)
    assert array[Window(12, 21, 2, 1).slices_in(frame)].tolist() == [[10, 11]]


@pytest.mark.parametrize(
    ("instrument", "shape", "full"),
    [
        ("MIRI", (1024, 1032), True),
        ("miri", (1024, 1032), True),
        ("NIRCAM", (2048, 2048), True),
        ("NIRCAM", (1024, 1032), False),
        ("MIRI", (2048, 2048), False),
    ],
)
def test_full_frame(instrument, shape, full):
    assert (full_frame(instrument, shape) is not None) == full


def test_flags_are_the_pipelines():
    from stdatamodels.jwst.datamodels.dqflags import pixel

    assert pixel["DO_NOT_USE"] == DO_NOT_USE
    assert pixel["REFERENCE_PIXEL"] == REFERENCE_PIXEL
