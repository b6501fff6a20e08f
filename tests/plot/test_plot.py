"""Pictures: what they show, what they return, and what they leave alone."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

import bkgflow
from bkgflow.errors import ShapeError, UsageError
from bkgflow.plot.stretch import limits_of, norm_of
from bkgflow.simulate import simulate_imaging, simulate_soss, simulate_tso, simulate_wfss


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imaging")
    program = simulate_imaging(folder, targets=1, backgrounds=5, size=48)
    paths = zip(program.exposures, program.truth.exposures, strict=True)
    return bkgflow.open_stack([path for path, each in paths if each.role == "background"])


def images(figure):
    """What is drawn as images, axis by axis."""
    return [[each.get_array() for each in axis.get_images()] for axis in figure.axes]


def titles(figure):
    return [axis.get_title() for axis in figure.axes if axis.get_title()]


def assert_png(figure):
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")


@pytest.mark.slow
def test_an_exposure_with_its_flags_on_detector_pixels(stack):
    path = stack.attrs["paths"].splitlines()[0]
    data = bkgflow.open_exposure(path)
    figure = bkgflow.plot.exposure(path)
    assert_png(figure)
    (sci, overlay), *_ = images(figure)
    np.testing.assert_array_equal(sci.filled(np.nan), data.sci.values.astype("f8"))
    np.testing.assert_array_equal(overlay[..., 3] > 0, data.dq.values % 2 == 1)
    left, right = figure.axes[0].get_xlim()
    assert (left, right) == (data.x.values[0] - 0.5, data.x.values[-1] + 0.5)
    assert figure.axes[1].get_ylabel() == "DN/s"
    assert "F356W" in figure.axes[0].get_title()
    assert "orange: flagged" in figure.axes[0].get_title()
    assert len(images(bkgflow.plot.exposure(data, flags=0))[0]) == 1


def test_axes_of_ones_own_are_drawn_into_and_returned(stack):
    figure = Figure()
    axes = figure.subplots(1, 2)
    one = bkgflow.plot.exposure(stack.isel(exposure=0), ax=axes[0], title="mine")
    assert one is axes[0]
    assert axes[0].get_title() == "mine"
    assert not axes[1].get_images()


@pytest.mark.parametrize("stretch", ["linear", "asinh", "zscale"])
def test_every_stretch_goes_from_black_to_white(stretch):
    rng = np.random.default_rng(1)
    image = rng.normal(10, 1, (80, 80))
    image[3:6, 3:6] = 1e4
    low, high = limits_of(image, stretch)
    norm = norm_of((low, high), stretch, image)
    shades = norm(np.array([low, 10.0, 12.0, high]))
    np.testing.assert_allclose(shades[[0, 3]], [0, 1], atol=1e-6)
    # Of noise, one sees something, whatever shines beside it.
    assert 0.1 < shades[1] < 0.9
    assert shades[2] - shades[1] > 0.02
    assert (high > 1000) == (stretch == "asinh")


@pytest.mark.slow
def test_images_without_contrast_and_without_values():
    import xarray as xr

    for value in (np.nan, 0.0, 3.0):
        array = xr.DataArray(np.full((4, 5), value), dims=("y", "x"))
        for stretch in ("linear", "asinh", "zscale"):
            assert_png(bkgflow.plot.exposure(array, stretch=stretch))


@pytest.mark.slow
def test_a_stack_in_one_grey_scale(stack):
    figure = bkgflow.plot.stack(stack)
    assert_png(figure)
    drawn = [axis.get_images()[0] for axis in figure.axes if axis.get_images()]
    assert len(drawn) == 5
    assert len({each.get_clim() for each in drawn}) == 1
    assert_png(bkgflow.plot.stack(stack, columns=9, stretch="asinh"))
    many = stack.isel(exposure=[0, 1, 2, 3, 4] * 8)
    shown = bkgflow.plot.stack(many)
    assert len([axis for axis in shown.axes if axis.get_images()]) == 16
    assert "40 exposures, 16 of them" in shown.get_suptitle()


def test_a_title_says_what_red_is_where_there_is_some(stack):
    one = stack.isel(exposure=0).compute()
    one["dq"][:] = 0
    one["sci"][:] = 1.0
    assert "red" not in bkgflow.plot.exposure(one).axes[0].get_title()
    one["sci"][3, 4] = np.inf
    assert bkgflow.plot.exposure(one).axes[0].get_title().endswith("\nred: no valid value")
    one["dq"][3, 4] = 1  # orange lies over it
    assert "red" not in bkgflow.plot.exposure(one).axes[0].get_title()
    assert "red: no valid value" in bkgflow.plot.exposure(one, flags=0).axes[0].get_title()
    alone = one.expand_dims("exposure")
    assert bkgflow.plot.stack(alone).get_suptitle() == "1 exposure\nred: no valid value"
    alone["sci"][:] = 1.0
    assert bkgflow.plot.stack(alone).get_suptitle() == "1 exposure"


def test_a_title_says_that_a_cube_is_drawn_as_a_mean(tmp_path):
    simulated = simulate_tso(tmp_path, integrations=3, backgrounds=2, size=32)
    target, *backgrounds = simulated.exposures
    assert "mean of 3 integrations" in bkgflow.plot.exposure(target).axes[0].get_title()
    title = bkgflow.plot.exposure(target, integration=1).axes[0].get_title()
    assert "integration 1" in title
    assert "mean" not in title
    assert "mean of 3 integrations" in bkgflow.plot.residual(target, target).get_suptitle()
    cubes = bkgflow.open_stack(backgrounds)
    drawn = bkgflow.plot.stack(cubes).get_suptitle()
    assert drawn.startswith("2 exposures, means of their integrations, one grey scale")
    drawn = bkgflow.plot.stack(cubes.isel(exposure=[0])).get_suptitle()
    assert drawn.startswith("1 exposure, mean of its integrations")
    shorter = bkgflow.plot.exposure(cubes.isel(exposure=0))  # it has one less than the other
    assert cubes.sizes["integration"] == 3
    assert "mean of 2 integrations" in shorter.axes[0].get_title()


@pytest.mark.parametrize(
    "limits", [(0.2, 0.1), (1.0, 1.0), (0.0, np.nan), (-np.inf, 1.0), (), (1, 2, 3), 5, "ab"]
)
def test_limits_that_are_none_are_refused(stack, limits):
    with pytest.raises(UsageError, match="limits must be two finite numbers"):
        bkgflow.plot.exposure(stack.isel(exposure=0), limits=limits)


def test_limits_are_drawn_black_and_white(stack):
    figure = bkgflow.plot.exposure(stack.isel(exposure=0), limits=np.array([0.1, 0.2]))
    assert figure.axes[0].get_images()[0].get_clim() == (0.1, 0.2)


@pytest.mark.parametrize("part", [{"y": slice(0, 0)}, {"x": slice(0, 0)}])
def test_a_part_without_pixels_is_refused(stack, part):
    one = stack.isel(exposure=0, **part)
    for draw in (bkgflow.plot.exposure, lambda data: bkgflow.plot.residual(data, data)):
        with pytest.raises(ShapeError, match=r"one pixel at least .*(x|y) 0"):
            draw(one)
    with pytest.raises(ShapeError, match="one pixel at least"):
        bkgflow.plot.stack(stack.isel(part))


def test_a_stack_without_exposures_is_refused(stack):
    with pytest.raises(ShapeError, match=r"one pixel at least .*exposure 0"):
        bkgflow.plot.stack(stack.isel(exposure=slice(0, 0)))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [1.2, 3.0])
def test_a_clip_shows_where_how_often_and_of_whom(stack, sigma):
    figure = bkgflow.plot.clip(stack, sigma=sigma)
    assert_png(figure)
    rejected = bkgflow.rejected(stack, sigma=sigma).compute()
    combined, where, often, whom = figure.axes[:4]
    count = rejected.sum("exposure").values
    np.testing.assert_array_equal(where.get_images()[0].get_array(), count)
    mean = bkgflow.combine(stack, sigma=sigma).sci.values
    np.testing.assert_array_equal(combined.get_images()[0].get_array().filled(np.nan), mean)
    assert ("red: no valid value" in combined.get_title()) == (not np.isfinite(mean).all())
    assert [bar.get_height() for bar in often.patches] == list(np.bincount(count.ravel()))
    shares = [bar.get_width() for bar in whom.patches]
    np.testing.assert_allclose(shares, 100 * rejected.mean(("y", "x")))
    assert f"{rejected.values.mean():.2%}" in where.get_title()


@pytest.mark.slow
def test_a_residual_of_files_and_of_datasets(stack, tmp_path):
    target = bkgflow.open_exposure(stack.attrs["paths"].splitlines()[0])
    result = bkgflow.subtract_background(target, bkgflow.combine(stack.isel(exposure=[1, 2, 3])))
    path = result.bkgflow.to_fits(tmp_path / "a_bsub.fits")
    for figure in (
        bkgflow.plot.residual(target, result),
        bkgflow.plot.residual(target.attrs["path"], path),
    ):
        assert_png(figure)
        shown = [each[0] for each in images(figure) if each]
        np.testing.assert_array_equal(shown[0].filled(np.nan), target.sci.values)
        np.testing.assert_array_equal(shown[2].filled(np.nan), result.sci.values)


@pytest.mark.slow
def test_products_of_slitless_and_soss(tmp_path):
    simulate_wfss(tmp_path / "wfss", exposures=1, size=96)
    references = tmp_path / "wfss" / "references"
    plan = bkgflow.plan(tmp_path / "wfss", tmp_path / "a", references=references)
    [(unit, verdict)] = bkgflow.run(plan, "threads").pairs()
    figure = bkgflow.plot.slitless(unit.target, verdict.products[0])
    assert_png(figure)
    assert [each.split(":")[0] for each in titles(figure)] == [
        "exposure", "mask", "model", "residual",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="must be a SOSS one"):
        bkgflow.plot.soss(unit.target, verdict.products[0])
    with pytest.raises(UsageError, match="no record of a method"):
        bkgflow.plot.slitless(unit.target, unit.target)
    simulate_soss(tmp_path / "soss", integrations=4, segments=2)
    library = tmp_path / "soss" / "jwst_niriss_soss_bkg.fits"
    plan = bkgflow.plan(tmp_path / "soss", tmp_path / "b", override_bkg=library)
    unit, verdict = bkgflow.run(plan, "threads").pairs()[0]
    figure = bkgflow.plot.soss(unit.target, verdict.products[0])
    assert_png(figure)
    scales = next(axis for axis in figure.axes if axis.get_title().startswith("scales"))
    times = {time for line in scales.get_lines() for time in line.get_xdata()}
    assert {1, 2, 3, 4} <= times


def test_what_cannot_be_drawn_is_refused_with_the_cure(stack):
    with pytest.raises(ShapeError, match="rows and columns alone"):
        bkgflow.plot.exposure(stack)
    with pytest.raises(ShapeError, match="must have exposures"):
        bkgflow.plot.stack(stack.isel(exposure=0))
    with pytest.raises(UsageError, match="one of the Dataset's variables") as caught:
        bkgflow.plot.exposure(stack.isel(exposure=0), "science")
    assert "sci, err, dq" in caught.value.cure
    with pytest.raises(UsageError, match="linear, asinh or zscale"):
        bkgflow.plot.exposure(stack.isel(exposure=0), stretch="log")


@pytest.mark.slow
def test_nothing_is_drawn_before_it_is_asked_for():
    script = (
        "import sys, bkgflow; bkgflow.plot.exposure; import bkgflow.explore.backend\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from matplotlib.figure import Figure\n"
        "from bkgflow.plot.figure import new_figure\n"
        "new_figure(3, 3)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_importing_bkgflow_stays_light():
    script = (
        "import sys, bkgflow; dir(bkgflow)\n"
        "assert not {'matplotlib', 'xarray', 'dask', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
