"""Nothing of a picture is cut by its edges, and no label lies on another image."""

import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib.image import imread

import bkgflow
from bkgflow.plot.panels import Panel, picture_of
from bkgflow.plot.products import product_picture
from bkgflow.simulate import simulate_imaging, simulate_nods, simulate_tso, simulate_wfss

PROGRAMS = {
    "time series": (simulate_tso, {"size": 32, "integrations": 3}),
    "time series in its subarray": (simulate_tso, {"integrations": 2}),
    "imaging": (simulate_imaging, {"targets": 1, "backgrounds": 3, "size": 48}),
    "nods": (simulate_nods, {"points": 2, "size": 256}),
    "slitless": (simulate_wfss, {"exposures": 1, "size": 96}),
}


def assert_all_is_seen(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    image = imread(io.BytesIO(stream.getvalue()))[..., :3]
    for side in (image[0], image[-1], image[:, 0], image[:, -1]):
        np.testing.assert_array_equal(side, 1.0)
    boxes = [axis.get_tightbbox() for axis in figure.axes]
    half = len(boxes) // 2  # each image has a colour bar, which may stand below a wide title
    for i, j in combinations(range(len(boxes)), 2):
        assert j - i == half or not boxes[i].overlaps(boxes[j])


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROGRAMS)
def test_a_product_is_seen_with_all_its_labels(kind, tmp_path):
    simulate, options = PROGRAMS[kind]
    written = simulate(tmp_path / "program", **options)
    references = {"references": tmp_path / "program" / "references"} if written.references else {}
    plan = bkgflow.plan(tmp_path / "program", tmp_path / "products", **references)
    unit, verdict = bkgflow.run(plan, "threads").pairs()[0]
    assert_all_is_seen(product_picture(unit.target, verdict.products[0]))
    assert_all_is_seen(bkgflow.plot.residual(unit.target, verdict.products[0]))
    assert_all_is_seen(bkgflow.plot.exposure(unit.target))


@pytest.mark.parametrize("shape", [(32, 32), (20, 200)])
def test_a_long_title_is_broken_into_lines(shape):
    title = f"a_bsub.fits\nsubtracted: {', '.join(f'0.1234 × template {i}' for i in range(12))}"
    image = np.random.default_rng(1).normal(40, 2, shape)
    figure = picture_of([Panel("before", image, (33.0, 47.6), "DN/s")], title)
    assert_all_is_seen(figure)
    assert "".join(figure.get_suptitle().split()) == "".join(title.split())
