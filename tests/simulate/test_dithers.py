"""Simulated dithers: a crowded field that is its own background, and its truth."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from bkgflow.detector import DO_NOT_USE, Window
from bkgflow.errors import SettingsError
from bkgflow.simulate import DitherTruth, simulate_dithers
from bkgflow.simulate.dithers import LYOT, Structure
from bkgflow.simulate.instruments import load_instrument


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cut-out of a program whose level drifts."""
    folder = tmp_path_factory.mktemp("dithers")
    return simulate_dithers(folder, points=6, size=96, seed=5, drift=0.05)


@pytest.mark.slow
def test_there_are_exposures_and_their_truth_and_nothing_else(made):
    files = {path.name for path in made.folder.rglob("*") if path.is_file()}
    assert files == {path.name for path in made.exposures} | {"truth.json"}
    assert made.associations == ()
    assert DitherTruth.load(made.folder) == made.truth


def test_what_is_left_without_the_truth_is_the_noise_that_err_says(made):
    for path in made.exposures:
        with fits.open(path) as hdus:
            left = hdus["SCI"].data - made.truth.sources(path.name)
            left -= made.truth.background(path.name)
            pulls = (left / hdus["ERR"].data)[(hdus["DQ"].data & DO_NOT_USE) == 0]
        assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)
        assert pulls.std() == pytest.approx(1, abs=0.03)


@pytest.mark.slow
def test_the_level_drifts_from_one_exposure_to_another(made, tmp_path):
    levels = [made.truth.sky_course(path.name)[0] for path in made.exposures]
    assert 0.01 < np.std(levels) < 0.1
    steady = simulate_dithers(tmp_path, points=2, size=16, seed=5)
    assert set(steady.truth.levels.values()) == {1.0}


@pytest.mark.filterwarnings("ignore:'datfix'")
def test_sources_stay_on_the_sky_and_move_on_the_detector(made):
    """Every exposure's WCS leads from its stars to the same places."""
    places = []
    for path in made.exposures:
        with fits.open(path) as hdus:
            world = WCS(hdus["SCI"].header)
        exposure = made.truth.exposure(path.name)
        stars, window = exposure.stars[:50], exposure.window
        x, y = np.array([(star.x - window.x0, star.y - window.y0) for star in stars]).T
        places.append(SkyCoord(*world.pixel_to_world_values(x, y), unit="deg"))
    for each in places[1:]:
        assert places[0].separation(each).max() < 2 * u.mas
    moved = [each.dither for each in made.truth.exposures]
    apart = [np.hypot(a.x - b.x, a.y - b.y) for a in moved for b in moved if a != b]
    assert min(apart) > 2 * 0.25  # arcsec: two widths of a star, at 96 pixels
    assert max(apart) > 2.5


def test_the_field_is_crowded(made):
    name = made.exposures[0].name
    lit = made.truth.sources(name) > made.truth.detector.sigma(made.truth.plane.level)
    assert 0.05 < lit.mean() < 0.3


def test_the_structure_belongs_to_the_detector():
    frame = load_instrument("MIR_IMAGE").frame
    structure = Structure()
    whole, part = structure.image(frame, frame, 3), Window(200, 700, 120, 80)
    rows, columns = part.slices_in(frame)
    np.testing.assert_array_equal(structure.image(part, frame, 3), whole[rows, columns])
    assert not np.array_equal(structure.image(frame, frame, 4), whole)
    corner = whole[LYOT.y0 :, : LYOT.x1].mean() - whole[LYOT.y0 :, LYOT.x1 : 600].mean()
    assert corner == pytest.approx(structure.lyot, abs=0.02)
    assert whole[205, 825] > whole[205, 100] + 0.03  # the glow


@pytest.mark.parametrize("wrong", [{"points": 1}, {"points": 13}, {"drift": -0.1}, {"size": 3}])
def test_arguments_out_of_bounds_are_refused(wrong, tmp_path):
    with pytest.raises(SettingsError):
        simulate_dithers(tmp_path, **wrong)
