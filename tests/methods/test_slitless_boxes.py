"""Boxes of sources: edges of the rules, and the mask they make."""

import numpy as np
import pytest

from bkgflow.errors import ShapeError
from bkgflow.methods.slitless import boxes_to_mask, grism_boxes

SHAPE = (50, 100)


def one(x, y, axis=1):
    """The box of one source in one order whose extremes are x = (low, high), y = (low, high)."""
    xs = np.array([x[0], x[0], x[1], x[1]], float)
    ys = np.array([y[0], y[1], y[0], y[1]], float)
    return grism_boxes(
        np.stack([xs, xs])[None, None], np.stack([ys, ys])[None, None], SHAPE, axis
    ).tolist()


def test_a_box_is_rounded_to_pixels_and_holds_its_upper_edge():
    assert one((10.4, 20.5), (4.5, 7.49)) == [[10, 22, 5, 8]]
    assert one((-0.5, 0.6), (3, 3)) == [[0, 2, 3, 4]]


def test_a_box_is_cut_to_the_frame():
    assert one((-30, 200), (-7.2, 49.6)) == [[0, 100, 0, 50]]
    assert one((-1e300, 1e300), (3, 4)) == [[0, 100, 3, 5]]


@pytest.mark.parametrize(
    ("x", "y", "axis", "counts"),
    [
        ((-9, 1), (3, 4), 1, True),  # columns 0 and 1: two pixels along dispersion
        ((-9, 0), (3, 4), 1, False),  # one pixel
        ((98, 120), (3, 4), 1, True),
        ((99, 120), (3, 4), 1, False),
        ((3, 9), (-5, 0), 1, True),  # one row across is enough
        ((3, 9), (-5, -1), 1, False),
        ((3, 9), (49, 60), 1, True),
        ((3, 9), (50, 60), 1, False),
        ((-9, 0), (3, 9), 2, True),  # the same with spectra along y
        ((3, 9), (-5, 0), 2, False),
        ((3, 9), (48, 60), 2, True),
        ((3, 9), (49, 60), 2, False),
        ((3, 9), (-5, 0), None, False),  # as the reference step: unknown is y
    ],
)
def test_what_counts_at_the_edges(x, y, axis, counts):
    assert bool(one(x, y, axis)) is counts


def test_nan_corners_are_left_out_and_boxes_of_nan_are_dropped():
    assert one((np.nan, 20), (3, 4)) == [[20, 21, 3, 5]]
    assert one((np.nan, np.nan), (3, 4)) == []


def test_no_sources_leave_everything():
    empty = np.empty((0, 2, 2, 4))
    boxes = grism_boxes(empty, empty, SHAPE, 1)
    assert boxes.shape == (0, 4)
    assert boxes_to_mask(boxes, SHAPE).all()


def test_the_mask_is_false_within_any_box():
    rng = np.random.default_rng(5)
    x, y = rng.uniform(-40, 140, (2, 200, 3, 2, 4))
    x, y = x * 0.1 + x.mean(-1, keepdims=True), y * 0.05 + rng.uniform(-20, 60, (200, 3, 1, 1))
    boxes = grism_boxes(x, y, SHAPE, 1)
    expected = np.ones(SHAPE, bool)
    for x0, x1, y0, y1 in boxes:
        assert 0 <= x0 < x1 <= 100 and 0 <= y0 < y1 <= 50
        expected[y0:y1, x0:x1] = False
    assert 0 < expected.sum() < expected.size
    np.testing.assert_array_equal(boxes_to_mask(boxes, SHAPE), expected)
    np.testing.assert_array_equal(
        boxes_to_mask(boxes[:1], SHAPE), boxes_to_mask(np.repeat(boxes[:1], 9, axis=0), SHAPE)
    )


def test_x_and_y_must_fit():
    with pytest.raises(ShapeError, match="x as y"):
        grism_boxes(np.zeros((2, 1, 2, 4)), np.zeros((2, 1, 2, 3)), SHAPE, 1)
