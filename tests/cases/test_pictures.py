"""Pictures that explain themselves: nothing left out, the sky seen, what is what."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest

import bkgflow
from bkgflow.io.storage.location import Location
from bkgflow.plot.panels import Panel, fit_panels, picture_of
from bkgflow.plot.products import panels_of
from bkgflow.report.drawing import save_picture
from bkgflow.simulate import simulate_wfss

TRACES = 20


def white_runs(image, path):
    """Draw an image; count what is white along a line across the picture, margins too."""
    save_picture(picture_of([Panel("traces", image, (0.0, 1.0), "DN/s")], "traces"), path)
    drawn = matplotlib.image.imread(path)[..., :3].mean(axis=-1)
    line = drawn[:, int(0.3 * drawn.shape[1])] > 0.5
    return np.count_nonzero(np.diff(line.astype(int)) == 1)


@pytest.mark.slow
def test_every_trace_of_a_full_frame_shows(tmp_path):
    """Rows of a spectrum between those that a smaller picture would take."""
    image = np.zeros((2048, 2048), np.float32)
    without = white_runs(image, tmp_path / "dark.png")
    image[np.linspace(60, 1990, TRACES).astype(int)] = 20
    assert white_runs(image, tmp_path / "traces.png") == without + TRACES


def test_the_sky_decides_about_the_stretch_where_stars_fill_the_frame():
    image = np.full((64, 64), 1000.0)
    image[:8] = np.linspace(4, 6, 64)
    exposure, _, _, residual = fit_panels(
        image, Panel("where", image, (0.0, 1.0), ""), image, image - 5, "DN/s", image < 10
    )
    assert 0 < exposure.limits[0] < 5 < exposure.limits[1] < 10
    assert residual.limits[1] < 5


@pytest.mark.slow
def test_a_mask_has_no_unit_of_brightness(tmp_path):
    folder = tmp_path / "program"
    simulate_wfss(folder, exposures=1, size=64)
    plan = bkgflow.plan(folder, tmp_path / "out", references=folder / "references")
    result = bkgflow.run(plan, "threads")
    [(unit, verdict)] = result.pairs()
    panels, _ = panels_of(unit.target, Location.of(verdict.products[0]))
    assert [panel.unit for panel in panels] == [
        "DN/s", "0: source, 1: background", "DN/s", "DN/s",
    ]  # fmt: skip
