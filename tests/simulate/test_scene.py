"""Simulated programs: the files are what they claim to be, and the truth is true of them."""

import json
import math

import numpy as np
import pytest
from asdf.exceptions import ValidationError
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st
from stdatamodels.jwst import datamodels

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL, Window
from bkgflow.errors import FileError, OutputError, SettingsError
from bkgflow.io.models import open_model, write_model
from bkgflow.simulate import (
    Truth,
    simulate_dithers,
    simulate_imaging,
    simulate_nods,
    simulate_soss,
    simulate_template,
    simulate_tso,
    simulate_wfss,
)
from bkgflow.simulate.instruments import load_instrument
from bkgflow.simulate.noise import defects, reference_pixels
from bkgflow.simulate.sky import Star, stars_image
from bkgflow.simulate.writer import build_model

PLANES = ("data", "err", "dq", "var_poisson", "var_rnoise")

PROGRAMS = {
    "nircam": lambda out: simulate_imaging(out, targets=2, backgrounds=2, size=128),
    "miri": lambda out: simulate_imaging(
        out, targets=1, backgrounds=2, size=96, instrument="MIRI", seed=2
    ),
    "subarrays": lambda out: simulate_imaging(
        out, targets=2, backgrounds=4, size=128, subarrays=True, seed=3
    ),
    "nodded": lambda out: simulate_imaging(
        out, targets=2, backgrounds=1, size=64, nod_points=3, seed=4
    ),
    "nods": lambda out: simulate_nods(out, points=3, size=512, seed=5),
    "tso": lambda out: simulate_tso(out, integrations=10, backgrounds=2, seed=6),
}


SCENES = {
    "dithers": (simulate_dithers, {"points": 2, "size": 16}),
    "imaging": (simulate_imaging, {"targets": 1, "backgrounds": 1, "size": 32}),
    "nods": (simulate_nods, {"points": 2, "size": 16}),
    "tso": (simulate_tso, {"integrations": 2, "backgrounds": 1, "size": 16}),
    "soss": (
        simulate_soss,
        {"integrations": 3, "segments": 2, "subarray": "SUBSTRIP96", "templates": 2},
    ),
    "slitless": (simulate_wfss, {"exposures": 2, "size": 32}),
    "template": (simulate_template, {"exposures": 2, "size": 32}),
    "templates of cubes": (simulate_template, {"exposures": 1, "integrations": 2, "size": 16}),
}
"""Every kind of scene, small."""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Programs of sources under one sky, simulated once."""
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in PROGRAMS.items()}


@pytest.fixture(params=list(PROGRAMS))
def program(request, programs):
    return programs[request.param]


@pytest.fixture(scope="module", params=list(SCENES))
def scene(request, tmp_path_factory):
    """A program of every kind of scene, and how to simulate it (again)."""
    simulate, arguments = SCENES[request.param]
    out = tmp_path_factory.mktemp(request.param)
    return simulate(out, **arguments, seed=7), simulate, arguments


def planes(path):
    """An exposure's arrays, by name."""
    with open_model(path) as model:
        return {name: np.array(model[name]) for name in PLANES}


def good(arrays):
    return (arrays["dq"] & DO_NOT_USE) == 0


def role(simulated, which):
    return [e.name for e in simulated.truth.exposures if e.role == which]


# The files


@pytest.mark.slow
def test_files_are_valid_models_of_their_kind(scene):
    program, *_ = scene
    for path in program.exposures:
        integrations = program.truth.exposure(path.name).integrations
        kind = datamodels.ImageModel if integrations is None else datamodels.CubeModel
        with datamodels.open(path, strict_validation=True) as model:
            model.validate()
            assert type(model) is kind
            assert model.meta.filename == path.name
            shape = model.data.shape
            for name in PLANES:
                assert model[name].shape == shape
                wanted = np.uint32 if name == "dq" else np.float32
                assert model[name].dtype.newbyteorder("=") == wanted


def test_nothing_but_the_program_is_left_in_the_folder(scene):
    program, *_ = scene
    files = {path for path in program.folder.rglob("*") if path.is_file()}
    truth = program.folder / "truth" / "truth.json"
    assert files == {*program.exposures, *program.associations, *program.extras.values(), truth}
    assert set(program.references) <= set(program.extras.values())


PRIMARY = """
    PROGRAM OBSERVTN VISIT VISITGRP SEQ_ID ACT_ID EXPOSURE OBS_ID VISIT_ID DATE-OBS TIME-OBS
    BKGDTARG TSOVISIT TARGPROP TARGNAME TARG_RA TARG_DEC INSTRUME DETECTOR FILTER EXP_TYPE
    EXPSTART EXPMID EXPEND READPATT NINTS NGROUPS NFRAMES GROUPGAP TFRAME TGROUP EFFINTTM
    EFFEXPTM DURATION SUBARRAY SUBSTRT1 SUBSTRT2 SUBSIZE1 SUBSIZE2 FASTAXIS SLOWAXIS PATT_NUM
    NUMDTHPT XOFFSET YOFFSET APERNAME S_DQINIT S_SATURA S_LINEAR S_DARK S_JUMP S_RAMP TELESCOP
"""
SCIENCE = """
    BUNIT RADESYS WCSAXES CRPIX1 CRPIX2 CRVAL1 CRVAL2 CTYPE1 CUNIT1 CDELT1 PC1_1 PC2_2 V2_REF
    V3_REF VPARITY V3I_YANG RA_REF DEC_REF ROLL_REF PA_V3
"""
OWN = {
    "NRC_IMAGE": {"PUPIL": "CLEAR", "MODULE": "A", "CHANNEL": "LONG", "S_SUPERB": "COMPLETE"},
    "MIR_IMAGE": {"FILTER": "F770W", "S_RESET": "COMPLETE"},
    "NRS_FIXEDSLIT": {"GRATING": "G395M", "FXD_SLIT": "S200A1", "SUBARRAY": "GENERIC"},
    "MIR_LRS-SLITLESS": {"SUBARRAY": "SLITLESSPRISM", "SUBSTRT2": 529, "TSOVISIT": True},
}


@pytest.mark.slow
def test_headers_hold_what_the_next_stage_needs(program):
    instrument = load_instrument(program.truth.exp_type)
    for path in program.exposures:
        exposure = program.truth.exposure(path.name)
        with fits.open(path) as hdus:
            primary, science = hdus["PRIMARY"].header, hdus["SCI"].header
            assert [key for key in PRIMARY.split() if key not in primary] == []
            assert [key for key in SCIENCE.split() if key not in science] == []
            assert {key: primary[key] for key in OWN[instrument.exp_type]} == OWN[
                instrument.exp_type
            ]
            assert primary["EXP_TYPE"] == instrument.exp_type
            assert science["BUNIT"] == "DN/s"
            assert primary["BKGDTARG"] == (exposure.role == "background")
            assert primary["SUBSIZE1"] == exposure.window.nx == science["NAXIS1"]
            assert primary["SUBSIZE2"] == exposure.window.ny == science["NAXIS2"]
            assert primary["SUBSTRT1"] == exposure.window.x0 + 1
            assert primary["SUBSTRT2"] == exposure.window.y0 + 1
            assert primary["NINTS"] == (exposure.integrations or 1)
            assert primary["EXPSTART"] < primary["EXPMID"] < primary["EXPEND"]
            assert "S_BKDSUB" not in primary
            assert path.name.startswith(f"jw{primary['VISIT_ID']}_{primary['VISITGRP']}")


def test_exposures_follow_each_other_and_point_apart(programs):
    headers = [fits.getheader(path) for path in programs["nodded"].exposures]
    ends = [header["EXPEND"] for header in headers]
    starts = [header["EXPSTART"] for header in headers]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    pointings = {(h["RA_REF"], h["DEC_REF"]) for h in map(_science, programs["nodded"].exposures)}
    assert len(pointings) == len(headers)


def _science(path):
    return fits.getheader(path, "SCI")


def test_a_star_keeps_its_place_in_the_sky_when_the_telescope_nods(programs):
    """The world coordinates of the header follow the stars over the detector."""
    simulated = programs["nodded"]
    places = []
    for exposure in simulated.truth.exposures[:3]:
        header = _science(simulated.folder / exposure.name)
        star = exposure.stars[0]
        dx = star.x - exposure.window.x0 + 1 - header["CRPIX1"]
        dy = star.y - exposure.window.y0 + 1 - header["CRPIX2"]
        scale = header["CDELT1"]
        east = scale * (header["PC1_1"] * dx + header["PC1_2"] * dy)
        north = scale * (header["PC2_1"] * dx + header["PC2_2"] * dy)
        dec = header["CRVAL2"]
        places.append((header["CRVAL1"] + east / math.cos(math.radians(dec)), dec + north))
    pixel = scale
    assert np.ptp(places, axis=0).max() < 0.01 * pixel
    assert len({exposure.stars[0] for exposure in simulated.truth.exposures[:3]}) == 3


# The associations


def test_associations_name_files_that_lie_beside_them(scene):
    program, *_ = scene
    science = []
    for path in program.associations:
        (product,) = json.loads(path.read_text())["products"]
        kinds = [member["exptype"] for member in product["members"]]
        names = [member["expname"] for member in product["members"]]
        assert kinds[0] == "science"
        assert len(set(names)) == len(names)
        assert all((path.parent / name).is_file() for name in names)
        assert names[0].startswith(product["name"] + "_rate")
        science.append(names[0])
    # Dithers are a folder of exposures alone.
    assert science == (role(program, "target") if program.associations else [])
    assert len(set(program.associations)) == len(science)


def test_backgrounds_are_members(program):
    for path in program.associations:
        (product,) = json.loads(path.read_text())["products"]
        _, *others = product["members"]
        assert {member["exptype"] for member in others} == {"background"}
        assert set(role(program, "background")) <= {member["expname"] for member in others}


@pytest.mark.slow
def test_nods_are_backgrounds_for_each_other(programs):
    for name, group in (("nods", 3), ("nodded", 3)):
        simulated = programs[name]
        targets = role(simulated, "target")
        for i, path in enumerate(simulated.associations):
            members = json.loads(path.read_text())["products"][0]["members"]
            first = i - i % group
            nods = [m["expname"] for m in members if m["expname"] in targets]
            assert nods[0] == targets[i]
            assert sorted(nods) == targets[first : first + group]


def test_the_peer_reads_the_associations(scene):
    from jwst.associations import load_asn

    program, *_ = scene
    for path in program.associations:
        with path.open() as file:
            content = load_asn(file)
        assert content["program"] == program.truth.program
        assert path.name.startswith(f"jw{content['program']}-{content['asn_id']}_")
        assert f"_{content['asn_type']}_" in path.name


# The noise


def residual(simulated, name):
    """Standardised residuals of an exposure's good pixels, and its arrays."""
    arrays, truth = planes(simulated.folder / name), simulated.truth
    model = truth.sky(truth.exposure(name).window) + truth.sources(name) + truth.rays(name)
    return ((arrays["data"] - model) / arrays["err"])[good(arrays)], arrays


@pytest.mark.slow
def test_noise_is_what_err_says(program):
    for path in program.exposures:
        z, _ = residual(program, path.name)
        assert z.size > 1000
        assert np.isfinite(z).all()
        assert abs(np.mean(z)) < 5 / math.sqrt(z.size)
        # The variance of z² is 2 for Gaussian noise, and about that for these counts.
        assert abs(np.mean(z**2) - 1) < 5 * math.sqrt(2 / z.size)


@pytest.mark.slow
def test_the_two_variances_make_up_err(program):
    for path in program.exposures:
        arrays = planes(path)
        total = arrays["var_poisson"] + arrays["var_rnoise"]
        np.testing.assert_allclose(arrays["err"] ** 2, total, rtol=1e-6)
        assert np.nanmin(arrays["var_rnoise"]) > 0
        dark = np.isnan(arrays["data"])
        for name in ("err", "var_poisson", "var_rnoise"):
            np.testing.assert_array_equal(np.isnan(arrays[name]), dark)


@pytest.mark.slow
def test_bad_pixels_are_flagged_and_some_are_nan(program):
    for path in program.exposures:
        arrays = planes(path)
        bad = ~good(arrays)
        dark = np.isnan(arrays["data"])
        defective = bad & ((arrays["dq"] & REFERENCE_PIXEL) == 0)
        assert (bad | ~dark).all()
        assert 0 < dark.sum() < defective.sum() < 0.02 * bad.size
        flagged_but_good = good(arrays) & (arrays["dq"] != 0)
        assert flagged_but_good.any()


@pytest.mark.slow
def test_a_detector_has_the_same_defects_in_every_window(programs):
    instrument, simulated = load_instrument("NRC_IMAGE"), programs["subarrays"]
    whole = defects(instrument.frame, instrument.frame, instrument.name, simulated.truth.seed)
    for path in simulated.exposures:
        window = simulated.truth.exposure(path.name).window
        expected = whole[window.slices_in(instrument.frame)]
        np.testing.assert_array_equal(~good(planes(path)), (expected & DO_NOT_USE) != 0)


def test_reference_pixels_lie_at_the_detectors_edges():
    near = load_instrument("NRC_IMAGE").frame
    inner = np.zeros(near.shape, dtype=bool)
    inner[4:-4, 4:-4] = True
    np.testing.assert_array_equal(reference_pixels(near, near, "NIRCAM"), ~inner)
    miri = load_instrument("MIR_IMAGE").frame
    inner = np.zeros(miri.shape, dtype=bool)
    inner[:, 4:-4] = True
    np.testing.assert_array_equal(reference_pixels(miri, miri, "MIRI"), ~inner)
    assert not reference_pixels(Window(4, 4, 2040, 2040), near, "NIRSPEC").any()


def test_reference_pixels_see_no_light(programs):
    for name in ("nircam", "miri", "tso"):
        simulated = programs[name]
        arrays = planes(simulated.exposures[0])
        blind = (arrays["dq"] & REFERENCE_PIXEL) != 0
        assert blind.any()
        assert (arrays["dq"][blind] & DO_NOT_USE).all()
        noise = simulated.truth.detector.read_variance**0.5
        assert np.abs(arrays["data"][blind]).max() < 7 * noise
        assert (arrays["var_poisson"][blind] == 0).all()


def test_only_dedicated_backgrounds_have_unnoticed_rays(program):
    truth = program.truth
    for exposure in truth.exposures:
        rays = truth.rays(exposure.name)
        struck = rays != 0
        if exposure.role == "target":
            assert not struck.any()
            continue
        share = struck.mean()
        assert share == pytest.approx(1e-3, abs=1.5 / (exposure.window.nx * exposure.window.ny))
        arrays = planes(program.folder / exposure.name)
        seen = struck & good(arrays)
        quiet = truth.sources(exposure.name) < truth.plane.level / 10
        seen &= quiet
        height = (arrays["data"] - truth.sky(exposure.window))[seen] / arrays["err"][seen]
        assert height.size > 0
        assert 80 < height.min() <= height.max() < 600


# Where the light is


@pytest.mark.slow
def test_the_brightest_star_is_seen_where_the_truth_has_it(programs):
    for name in ("nircam", "miri", "subarrays", "nodded"):
        simulated = programs[name]
        for exposure in simulated.truth.exposures:
            arrays, window = planes(simulated.folder / exposure.name), exposure.window
            data = arrays["data"] - simulated.truth.rays(exposure.name)
            usable = good(arrays)
            stars = [
                (star.flux, row, column)
                for star in exposure.stars
                if 0 <= (row := round(star.y) - window.y0) < window.ny
                if 0 <= (column := round(star.x) - window.x0) < window.nx
                if usable[row, column]
            ]
            _, row, column = max(stars)
            peak = data[row, column] - simulated.truth.sky(window)[row, column]
            expected = simulated.truth.sources(exposure.name)[row, column]
            sigma = arrays["err"][row, column]
            assert expected > 5 * sigma
            assert abs(peak - expected) < 5 * sigma


def test_each_exposure_has_its_own_stars_but_nods_share_theirs(programs):
    fields = [exposure.stars for exposure in programs["nircam"].truth.exposures]
    assert len(set(fields)) == len(fields)
    one, two, three, other, *_ = programs["nodded"].truth.exposures
    assert [star.flux for star in one.stars] == [star.flux for star in two.stars]
    assert [star.flux for star in one.stars] == [star.flux for star in three.stars]
    assert [star.flux for star in one.stars] != [star.flux for star in other.stars]


def test_subarrays_begin_inside_the_target_and_see_the_same_sky(programs):
    simulated = programs["subarrays"]
    truth = simulated.truth
    target = truth.exposures[0].window
    backgrounds = [e.window for e in truth.exposures if e.role == "background"]
    smaller = [window for window in backgrounds if window != target]
    assert len(smaller) == 2
    assert len(set(smaller)) == 2
    for window in smaller:
        assert target.x0 < window.x0 < target.x1
        assert target.y0 < window.y0 < target.y1
        shared = target.overlap(window)
        np.testing.assert_array_equal(
            truth.sky(window)[shared.slices_in(window)],
            truth.sky(target)[shared.slices_in(target)],
        )
    assert not target.contains(smaller[1])


windows = st.builds(
    Window, st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 48), st.integers(1, 48)
)


@pytest.mark.slow
@given(windows)
def test_light_in_a_window_is_a_slice_of_the_light_on_the_detector(window):
    for exp_type in ("NRC_IMAGE", "NRS_FIXEDSLIT"):
        plane = load_instrument(exp_type).sky
        around = Window(window.x0, window.y0, window.nx + 30, window.ny + 20)
        np.testing.assert_array_equal(
            plane.image(window), plane.image(around)[window.slices_in(around)]
        )
    stars = [Star(window.x0 + 3.3, window.y0 - 2.6, 50.0), Star(window.x1 + 5.5, window.y1, 9.0)]
    np.testing.assert_array_equal(
        stars_image(stars, window), stars_image(stars, around)[window.slices_in(around)]
    )


def test_a_star_holds_its_flux():
    image = stars_image([Star(40.3, 39.8, 7.0)], Window(0, 0, 81, 81))
    assert image.sum() == pytest.approx(7.0, rel=0.01)
    rows, columns = np.indices(image.shape)
    assert (image * columns).sum() / image.sum() == pytest.approx(40.3, abs=0.02)
    assert (image * rows).sum() / image.sum() == pytest.approx(39.8, abs=0.02)
    assert stars_image([], Window(0, 0, 5, 4)).shape == (4, 5)


def test_the_sky_is_a_plane_about_its_level():
    plane = load_instrument("NRC_IMAGE").sky
    sky = plane.image(plane.frame)
    assert sky.mean() == pytest.approx(plane.level)
    assert sky[0, -1] - sky[0, 0] == pytest.approx(plane.slope_x, rel=1e-3)
    assert sky[-1, 0] - sky[0, 0] == pytest.approx(plane.slope_y, rel=1e-3)


@pytest.mark.slow
def test_nods_lie_apart_in_the_slit(programs):
    simulated = programs["nods"]
    rows, tilts = [], set()
    for exposure in simulated.truth.exposures:
        arrays, window = planes(simulated.folder / exposure.name), exposure.window
        light = np.where(good(arrays), arrays["data"] - simulated.truth.sky(window), 0.0)
        profile = np.clip(light.sum(axis=1), 0.0, None)
        profile[profile < 0.1 * profile.max()] = 0.0
        seen = (profile * np.arange(window.y0, window.y1)).sum() / profile.sum()
        middle = window.x0 + window.nx / 2
        trace = exposure.trace
        expected = trace.centre + trace.tilt * (middle - (trace.start + trace.stop) / 2)
        assert seen == pytest.approx(expected, abs=0.3)
        rows.append(seen)
        header = fits.getheader(simulated.folder / exposure.name)
        tilts.add((header["GWA_XTIL"], header["GWA_YTIL"]))
    assert np.diff(rows).min() > 5
    assert len(tilts) == 1
    sky = simulated.truth.sky(simulated.truth.exposures[0].window)
    assert (sky[:10] == 0).all()
    assert (sky[20:44] > 0).all()


def test_the_time_series_shows_its_transit(programs):
    simulated = programs["tso"]
    target, *backgrounds = simulated.truth.exposures
    assert target.integrations == 10
    counts = [exposure.integrations for exposure in backgrounds]
    assert len({10, *counts}) == 3
    arrays = planes(simulated.exposures[0])
    light = arrays["data"] - simulated.truth.sky(target.window)
    usable = good(arrays) & (simulated.truth.sources(target.name) > 50)
    flux = np.array(
        [
            plane[ok].sum()
            for plane, ok in zip(light, usable.all(0)[None].repeat(10, 0), strict=True)
        ]
    )
    curve = target.light_curve()
    assert curve.min() == pytest.approx(0.98)
    np.testing.assert_allclose(flux / flux[0], curve, atol=1e-3)


def test_integrations_are_drawn_and_struck_apart(programs):
    simulated = programs["tso"]
    arrays = planes(simulated.exposures[1])
    rays = simulated.truth.rays(simulated.exposures[1].name)
    assert not np.array_equal(arrays["data"][0], arrays["data"][1], equal_nan=True)
    assert not ((rays[0] != 0) & (rays[1] != 0)).all()
    np.testing.assert_array_equal(rays[1], simulated.truth.rays(simulated.exposures[1].name, 1))
    name = simulated.exposures[0].name
    np.testing.assert_array_equal(
        simulated.truth.sources(name)[4], simulated.truth.sources(name, 4)
    )


@pytest.mark.slow
def test_integration_times_follow_each_other(programs):
    for path in programs["tso"].exposures:
        with open_model(path) as model:
            times = np.array(model.int_times)
            nints, begin, end = (
                model.meta.exposure.nints,
                model.meta.exposure.start_time,
                model.meta.exposure.end_time,
            )
        assert times["integration_number"].tolist() == list(range(1, nints + 1))
        np.testing.assert_allclose(
            times["int_start_MJD_UTC"][1:], times["int_end_MJD_UTC"][:-1], rtol=0, atol=1e-9
        )
        assert times["int_start_MJD_UTC"][0] == pytest.approx(begin, abs=1e-9)
        assert times["int_end_MJD_UTC"][-1] == pytest.approx(end, abs=1e-9)


# The truth


def test_truth_comes_back_from_its_file(scene):
    program, *_ = scene
    loaded = type(program.truth).load(program.folder)
    assert loaded == program.truth
    name = program.exposures[-1].name
    np.testing.assert_array_equal(loaded.sources(name), program.truth.sources(name))


@pytest.mark.slow
def test_the_peers_product_is_off_by_sky_minus_combined(programs):
    """The truth says what a subtraction left behind: the peer's, with backgrounds in place."""
    from jwst.background.background_sub import background_sub

    simulated = programs["nircam"]
    truth, name = simulated.truth, simulated.exposures[0].name
    window = truth.exposure(name).window
    arrays = planes(simulated.exposures[0])
    backgrounds = [str(simulated.folder / each) for each in role(simulated, "background")]
    with open_model(simulated.exposures[0]) as model:
        combined, product = background_sub(model, backgrounds, 3.0, None)
        left = product.data - truth.sources(name)
        error = np.hypot(arrays["err"], combined.err)
    # Two backgrounds have no outliers that could be clipped: leave out their rays and stars.
    quiet = good(arrays)
    for each in role(simulated, "background"):
        quiet &= (truth.rays(each) == 0) & (truth.sources(each) < 1e-3 * truth.plane.level)
    z = left[quiet] / error[quiet]
    assert z.size > 0.8 * window.nx * window.ny
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
def test_same_seed_same_pixels_other_seed_others(scene, tmp_path):
    first, simulate, arguments = scene
    again = simulate(tmp_path / "again", **arguments, seed=7)
    other = simulate(tmp_path / "other", **arguments, seed=8)
    assert again.truth == first.truth != other.truth
    for one, two, three in zip(first.exposures, again.exposures, other.exposures, strict=True):
        assert one.name == two.name
        left, right, unlike = planes(one), planes(two), planes(three)
        for plane in PLANES:
            np.testing.assert_array_equal(left[plane], right[plane])
        assert not np.array_equal(left["data"], unlike["data"], equal_nan=True)
    if "sourcecat" in first.extras:
        catalogs = [each.extras["sourcecat"].read_text() for each in (first, again, other)]
        assert catalogs[0] == catalogs[1] != catalogs[2]


@pytest.mark.slow
def test_an_exposure_does_not_depend_on_how_many_there_are(tmp_path):
    few = simulate_imaging(tmp_path / "few", targets=1, backgrounds=1, size=32)
    many = simulate_imaging(tmp_path / "many", targets=3, backgrounds=2, size=32)
    for which in ("target", "background"):
        left = planes(few.folder / role(few, which)[0])
        right = planes(many.folder / role(many, which)[0])
        for plane in PLANES:
            np.testing.assert_array_equal(left[plane], right[plane])


@pytest.mark.slow
def test_progress_is_told_of_every_exposure_when_it_is_there(scene, tmp_path):
    _, simulate, arguments = scene
    seen = []

    def tell(path):
        assert path.is_file()
        seen.append(path)

    simulated = simulate(tmp_path, **arguments, on_exposure=tell)
    assert tuple(seen) == simulated.exposures


# What is refused


@pytest.mark.parametrize(
    ("simulate", "arguments", "name"),
    [
        (simulate_imaging, {"targets": 0}, "targets"),
        (simulate_imaging, {"targets": 1000}, "targets"),
        (simulate_imaging, {"targets": 1.5}, "targets"),
        (simulate_imaging, {"targets": True}, "targets"),
        (simulate_imaging, {"backgrounds": 0}, "backgrounds"),
        (simulate_imaging, {"size": 15}, "size"),
        (simulate_imaging, {"size": 2049}, "size"),
        (simulate_imaging, {"size": 1025, "instrument": "MIRI"}, "size"),
        (simulate_imaging, {"seed": -1}, "seed"),
        (simulate_imaging, {"nod_points": 1}, "nod_points"),
        (simulate_imaging, {"instrument": "NIRISS"}, "instrument"),
        (simulate_nods, {"points": 1}, "points"),
        (simulate_nods, {"size": 4096}, "size"),
        (simulate_tso, {"integrations": 0}, "integrations"),
        (simulate_tso, {"backgrounds": 0}, "backgrounds"),
        (simulate_tso, {"size": 8}, "size"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, simulate, arguments, name):
    out = tmp_path / "out"
    with pytest.raises(SettingsError, match=name) as caught:
        simulate(out, **arguments)
    assert str(arguments[name]) in caught.value.value
    assert caught.value.cure
    assert not out.exists()


@pytest.mark.slow
def test_smallest_programs_hold_together(tmp_path):
    tiny = simulate_tso(tmp_path / "tso", integrations=1, backgrounds=1, size=16)
    assert planes(tiny.exposures[0])["data"].shape == (1, 16, 16)
    bare = simulate_imaging(tmp_path / "nod", targets=1, backgrounds=0, nod_points=2, size=16)
    assert role(bare, "background") == []
    whole = simulate_nods(tmp_path / "nods", points=2)
    header = fits.getheader(whole.exposures[0])
    assert header["SUBARRAY"] == "SUBS200A1"
    assert (header["SUBSTRT1"], header["SUBSTRT2"]) == (1, 1041)


@pytest.mark.slow
def test_the_whole_detector_is_the_default(tmp_path):
    simulated = simulate_imaging(tmp_path, targets=1, backgrounds=1, instrument="MIRI")
    for path in simulated.exposures:
        header = fits.getheader(path)
        assert header["SUBARRAY"] == "FULL"
        assert [header[f"SUBSTRT{i}"] for i in (1, 2)] == [1, 1]
        assert [header[f"SUBSIZE{i}"] for i in (1, 2)] == [1032, 1024]
        assert planes(path)["data"].shape == (1024, 1032)


def test_out_must_be_a_folder(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    for out in (file, file / "below"):
        with pytest.raises(OutputError) as caught:
            simulate_nods(out, points=2, size=16)
        assert caught.value.file == str(out)


@pytest.mark.slow
def test_two_programs_do_not_share_a_folder(scene, tmp_path):
    _, simulate, arguments = scene
    first = simulate(tmp_path, **arguments)
    assert simulate(tmp_path, **arguments) == first
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match="no more than one"):
        simulate(tmp_path, **arguments, seed=99)
    with pytest.raises(OutputError, match="no more than one"):
        simulate_nods(tmp_path, points=3, size=16)
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "truth" / "truth.json").write_text("{")
    with pytest.raises(OutputError, match="no more than one"):
        simulate(tmp_path, **arguments)


def test_truth_that_is_missing_or_unknown_is_an_error(tmp_path, programs):
    with pytest.raises(FileError, match=r"truth\.json"):
        Truth.load(tmp_path)
    with pytest.raises(SettingsError, match=r"none\.fits"):
        programs["nods"].truth.sources("none.fits")


# The models


def test_models_refuse_values_their_schema_forbids():
    with pytest.raises(ValidationError):
        build_model("ImageModel", {}, {"instrument.name": "HUBBLE"})


def test_models_are_written_whole_or_not_at_all(tmp_path):
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    model = build_model("IFUImageModel", {"data": image}, {"exposure.type": "NRS_IFU"})
    path = write_model(model, tmp_path / "jw1_rate.fits")
    assert list(tmp_path.iterdir()) == [path]
    with open_model(path) as again:
        assert isinstance(again, datamodels.IFUImageModel)
        assert again.meta.filename == "jw1_rate.fits"
        np.testing.assert_array_equal(again.data, image)
    with pytest.raises(OutputError):
        write_model(model, path / "below_a_file" / "jw1_rate.fits")
    assert list(tmp_path.iterdir()) == [path]
    model.close()


def test_files_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(FileError):
        open_model(tmp_path / "missing.fits")
    text = tmp_path / "text.fits"
    text.write_text("no FITS file")
    with pytest.raises(FileError):
        open_model(text)
