"""Sources masked and levels matched in plans, runs and products: the truth, and the same numbers
whichever way they are computed."""

import math
import shutil
import sys

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.detector import Window
from bkgflow.errors import BackgroundError, SettingsError
from bkgflow.graph.build import build
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.kinds.looks import Look, Mask, look_at, look_at_rows
from bkgflow.settings import MASK_ARGUMENTS, StepSettings
from bkgflow.simulate import simulate_dithers
from tests.helpers.crowded import SHAPE, write_field, write_map
from tests.helpers.exposures import make_model, write_association

LEVELS = [0.0, 3.0, -2.0, 5.0, 1.5]

FACTORS = [1.0, 1.2, 0.8, 1.1, 0.95]


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    """Five dithers, each at a level of its own; one is a cube."""
    folder = tmp_path_factory.mktemp("levels") / "field"
    return write_field(folder, 5, levels=LEVELS, cubes=[3])


@pytest.fixture(scope="module")
def regions(tmp_path_factory):
    """A map of two halves."""
    values = np.zeros(SHAPE, np.int16)
    values[:, 70:] = 4
    path = tmp_path_factory.mktemp("map") / "halves.fits"
    fits.PrimaryHDU(values).writeto(path)
    return path


def said(model):
    return model.meta.bkgflow.instance


def residual(field, i, model):
    """What is left beside the stars, in good pixels."""
    good = (model.dq & 1) == 0
    return (model.data - field.light[i])[..., good if good.ndim == 2 else good[0]]


@pytest.mark.slow
def test_masked_sources_do_not_bias_the_background(field):
    target, *others = field.paths
    plain = bkgflow.subtract(target, others)
    masked = bkgflow.subtract(target, others, mask_sources="detect")
    scaled = bkgflow.subtract(target, others, mask_sources="detect", bkg_scale="offset")
    stars = np.mean(field.light[1:], axis=0) > 1
    good = (masked.dq & 1) == 0
    bias = {name: np.mean((each.data - field.light[0])[stars & good]) for name, each in
            (("plain", plain), ("masked", masked), ("scaled", scaled))}  # fmt: skip
    assert bias["plain"] < -10
    assert abs(bias["scaled"]) < 0.3
    assert abs(np.median(residual(field, 0, scaled))) < 0.05
    assert said(plain).get("masked_fractions") is None
    shares = said(masked)["masked_fractions"]
    assert len(shares) == 4
    assert all(0.05 < each < 0.4 for each in shares)


@pytest.mark.slow
def test_dithers_of_a_crowded_field_give_its_sky(tmp_path):
    """The sky of each exposure is known: what is left of it beside the noise of five others."""
    program = simulate_dithers(tmp_path / "program", points=6, size=160, drift=0.05)
    left = {}
    for name, way in (
        ("plain", {}),
        ("masked", {"mask_sources": "detect"}),
        ("scaled", {"mask_sources": "detect", "bkg_scale": "factor"}),
    ):
        plan = bkgflow.plan(tmp_path / "program", tmp_path / name, backgrounds="dithers", **way)
        bkgflow.run(plan, cluster="threads")
        errors = []
        for unit in plan.units:
            with (
                fits.open(unit.target) as before,
                fits.open(tmp_path / name / unit.output) as after,
            ):
                found = before["SCI"].data - after["SCI"].data
                known = (found != 0) & ((after["DQ"].data & 1) == 0)
            errors.append((found - program.truth.background(unit.name))[known])
        left[name] = np.std(np.concatenate(errors)), np.mean(np.concatenate(errors))
    assert left["masked"][0] < 0.8 * left["plain"][0]  # the sky of one is not that of another
    assert left["scaled"][0] < 0.12 * left["plain"][0]
    assert abs(left["scaled"][1]) < 0.3 * left["scaled"][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "made"), [("offset", {"levels": LEVELS}), ("factor", {"factors": FACTORS})]
)
def test_what_is_recorded_is_what_was_done_to_the_sky(tmp_path, mode, made):
    field = write_field(tmp_path / "field", 5, seed=3, **made)
    with bkgflow.subtract(field.paths[0], field.paths[1:], mask_sources="detect",
                          bkg_scale=mode) as product:  # fmt: skip
        found = said(product)
        assert found["backgrounds"] == [path.name for path in field.paths[1:]]
    values, errors = np.array(found[f"background_{mode}s"]), found["background_scale_errors"]
    truth = -np.array(LEVELS[1:]) if mode == "offset" else 1 / np.array(FACTORS[1:])
    assert np.all(np.abs(values - truth) < 4 * np.array(errors))
    assert all(0 < error < 0.05 for error in errors)
    assert all(pixels > 5000 for pixels in found["background_scale_pixels"])
    assert found["settings"]["bkg_scale"] == mode


@pytest.mark.slow
def test_regions_are_scaled_apart(tmp_path, regions):
    field = write_field(tmp_path / "field", 3, seed=4)
    with datamodels.open(str(field.paths[1])) as model:
        model.data[:, 70:] += 9
        model.save(str(field.paths[1]))
    with bkgflow.subtract(field.paths[0], field.paths[1:], mask_sources="detect",
                          bkg_scale="offset", bkg_scale_map=regions) as product:  # fmt: skip
        found = said(product)
        assert abs(np.median(residual(field, 0, product))) < 0.1
    assert found["background_scale_regions"] == [0, 4]
    (left, right), (one, two) = found["background_offsets"]
    assert abs(left) < 0.2
    assert abs(right + 9) < 0.2
    assert max(abs(one), abs(two)) < 0.2


@pytest.mark.slow
def test_err_follows_a_factor(tmp_path):
    field = write_field(tmp_path / "field", 2, factors=[1, 0.5], stars=0)
    options = {"propagate_errors": True, "mask_sources": "detect"}
    with (
        bkgflow.subtract(*field.paths, **options) as plain,
        bkgflow.subtract(*field.paths, bkg_scale="factor", **options) as scaled,
    ):
        [factor] = said(scaled)["background_factors"]
        good = np.isfinite(plain.data) & (plain.dq == 0)
        both = [np.sqrt(each.err[good] ** 2 - 1) for each in (plain, scaled)]
    np.testing.assert_allclose(both[1], factor * both[0], rtol=1e-5)
    assert factor == pytest.approx(2, rel=0.01)


IMAGE, CUBE = 0, 3
"""Two of the exposures; the cube is a background of the image."""

WAYS = [
    (IMAGE, {"mask_sources": "detect"}),
    (CUBE, {"mask_sources": "map"}),
    (CUBE, {"mask_sources": "detect", "bkg_scale": "offset"}),
    (IMAGE, {"bkg_scale": "factor"}),
    (CUBE, {"mask_sources": "map", "bkg_scale": "factor", "bkg_scale_map": "regions"}),
    (IMAGE, {"mask_sources": "detect", "bkg_scale": "offset", "clip": "noise"}),
    (CUBE, {"mask_sources": "detect", "bkg_scale": "factor", "combine": "weighted"}),
    (IMAGE, {"mask_sources": "detect", "combine": "median", "bkg_bad_bits": "DO_NOT_USE"}),
    (CUBE, {"mask_sources": "detect", "bkg_scale": "offset", "bkg_fill": True}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("i", "way"), WAYS, ids=str)
def test_run_call_model_and_stack_give_the_same_numbers(field, regions, tmp_path, i, way):
    way = dict(way)
    if way.get("mask_sources") == "map":
        write_map(tmp_path / "map.fits", field)
        way["mask_sources"] = tmp_path / "map.fits"
    if "bkg_scale_map" in way:
        way["bkg_scale_map"] = regions
    plan = bkgflow.plan(field.paths[0].parent, tmp_path / "out", **way)
    bkgflow.run(plan, cluster="threads", workers=2)
    target, others = field.paths[i], [each for each in field.paths if each != field.paths[i]]
    [product] = (tmp_path / "out").glob(f"e{i}_bsub*.fits")
    with datamodels.open(str(product)) as written:
        called = bkgflow.subtract(target, others, **way)
        np.testing.assert_array_equal(called.data, written.data)
        np.testing.assert_array_equal(called.dq, written.dq)
        models = [datamodels.open(str(each)) for each in (target, *others)]
        in_memory = bkgflow.subtract(models[0], models[1:], **way)
        np.testing.assert_array_equal(in_memory.data, written.data)
        looked_for = {name: way[name] for name in MASK_ARGUMENTS if name in way}
        stack = bkgflow.open_stack(others, target=target, memory=1 << 18, **looked_for)
        rules = {name: each for name, each in way.items() if name not in looked_for}
        combined = bkgflow.combine(stack, **rules)
        lazy = bkgflow.subtract_background(bkgflow.open_exposure(target), combined)
        np.testing.assert_array_equal(lazy["sci"].values, written.data)


@pytest.mark.slow
def test_a_cluster_gives_the_same_numbers(field, cluster, tmp_path):
    way = {"mask_sources": "detect", "bkg_scale": "offset"}
    for name, where in (("here", "threads"), ("there", cluster)):
        plan = bkgflow.plan(field.paths[0].parent, tmp_path / name, **way)
        result = bkgflow.run(plan, cluster=where)
        assert result.counts == {"COMPLETE": 5}
    products = sorted((tmp_path / "here").glob("*_bsub*.fits"))
    assert len(products) == 5
    for path in products:
        with fits.open(path) as one, fits.open(tmp_path / "there" / path.name) as other:
            for name in ("SCI", "ERR", "DQ"):
                np.testing.assert_array_equal(one[name].data, other[name].data)


def test_each_exposure_is_looked_at_once(field, tmp_path):
    way = {"mask_sources": "detect", "bkg_scale": "offset"}
    plan = bkgflow.plan(field.paths[0].parent, tmp_path / "out", memory=1 << 16, **way)
    graph = build(plan)
    verbs = [str(key[0]).split("-")[0] for key in graph.tasks if isinstance(key, tuple)]
    assert verbs.count("mask") == verbs.count("sample") == verbs.count("scale") == 5
    assert verbs.count("family") >= 1
    for key, task in graph.tasks.items():
        if str(key[0]).startswith("family"):
            assert len(task[1:]) == 10  # masks and scales; samples stay where they are needed
    assert len({graph.group(unit) for unit in graph.units}) == 1
    plain = build(bkgflow.plan(field.paths[0].parent, tmp_path / "out"))
    assert not {str(key[0]).split("-")[0] for key in plain.tasks} & {"mask", "sample", "scale"}


def test_plans_promise_what_looking_costs(field, tmp_path):
    folder = field.paths[0].parent
    plain, masked = (
        bkgflow.plan(folder, tmp_path / "out", mask_sources=each).costs for each in (None, "detect")
    )
    pixels = math.prod(SHAPE)
    assert masked.read - plain.read == 6 * pixels * 8  # five exposures, one of two integrations
    assert masked.shared_task >= plain.shared_task


def test_a_saved_plan_masks_as_well(field, tmp_path):
    write_map(tmp_path / "map.fits", field)
    way = {"mask_sources": tmp_path / "map.fits", "bkg_scale": "offset"}
    plan = bkgflow.plan(field.paths[0].parent, tmp_path / "out", **way)
    plan.save(tmp_path / "plan.json")
    loaded = bkgflow.Plan.load(tmp_path / "plan.json")
    assert loaded.shared == plan.shared
    assert loaded.shared[0].masking.way == "segmentation"


def test_who_lacks_the_library_is_told_the_extra(field, tmp_path, monkeypatch):
    """A plan may be carried out elsewhere than it was made."""
    plan = bkgflow.plan(field.paths[0].parent, tmp_path / "out", mask_sources="detect")
    monkeypatch.setitem(sys.modules, "photutils", None)
    result = bkgflow.run(plan, "threads", progress=False)
    assert len(result.failed) == len(plan.units)
    assert all("bkgflow[sources]" in verdict.reason for _, verdict in result.failed)


def test_masks_and_maps_that_were_moved_change_nothing(field, regions, tmp_path):
    found = []
    for place in (tmp_path / "here", tmp_path / "there"):
        shutil.copytree(regions.parent, place / "maps", copy_function=shutil.copy2)
        if not found:
            write_map(tmp_path / "map.fits", field)
        shutil.copy2(tmp_path / "map.fits", place)
        way = {"bkg_scale": "offset", "bkg_scale_map": place / "maps" / regions.name}
        found.append(keys(field, tmp_path, mask_sources=place / "map.fits", **way))
    assert found[0] == found[1]


def keys(field, tmp_path, **way):
    plan = bkgflow.plan(field.paths[0].parent, tmp_path / "out", **way)
    return [unit.digest for unit in plan.units], [each.digest for each in plan.shared]


@pytest.mark.slow
def test_keys_know_masks_and_scales(field, tmp_path):
    usual = keys(field, tmp_path)
    assert keys(field, tmp_path, bkg_scale="none", mask_sources=None) == usual
    detect = keys(field, tmp_path, mask_sources="detect")
    grown = keys(field, tmp_path, mask_sources="detect", mask_grow=4)
    scaled = keys(field, tmp_path, bkg_scale="offset")
    found = [usual, detect, grown, scaled]
    assert len({each for units, _ in found for each in units}) == 4 * len(usual[0])
    assert len({each for _, shared in found for each in shared}) == 4 * 5
    write_map(tmp_path / "map.fits", field)
    first = keys(field, tmp_path, mask_sources=tmp_path / "map.fits")
    assert keys(field, tmp_path, mask_sources=tmp_path / "map.fits") == first
    write_map(tmp_path / "map.fits", field, shape=(300, 300))
    assert not set(first[1]) & set(keys(field, tmp_path, mask_sources=tmp_path / "map.fits")[1])


@pytest.mark.slow
def test_targets_share_a_background_unless_it_is_scaled(tmp_path):
    field = write_field(tmp_path / "field", 4, backgrounds=False)
    names = [path.name for path in field.paths]
    for i in (0, 1):
        write_association(tmp_path / "field" / f"a{i}_asn.json", [(f"p{i}", names[i], names[2:])])
    for way, number in (({"mask_sources": "detect"}, 1), ({"bkg_scale": "offset"}, 2)):
        assert len(bkgflow.plan(tmp_path / "field", tmp_path / "out", **way).shared) == number


@pytest.mark.slow
def test_too_few_pixels_in_common_stop_one_target_and_no_other(tmp_path):
    """They are combined in the same tasks: they have a background in common."""
    field = write_field(tmp_path / "field", 4, stars=3, backgrounds=False)
    with fits.open(field.paths[2], mode="update") as hdus:
        hdus["SCI"].data[...] = np.nan
        hdus["SCI"].data[40, :90] = 60
    names = [path.name for path in field.paths]
    for i, others in ((0, [1, 3]), (1, [2, 3])):
        products = [(f"p{i}", names[i], [names[j] for j in others])]
        write_association(tmp_path / "field" / f"a{i}_asn.json", products)
    plan = bkgflow.plan(tmp_path / "field", tmp_path / "out", bkg_scale="offset")
    assert len({build(plan).group(unit.digest) for unit in plan.units}) == 1
    result = bkgflow.run(plan, cluster="threads")
    verdicts = {unit.name: verdict for unit, verdict in result.pairs()}
    assert verdicts["e0_rate.fits"].state == "COMPLETE"
    assert verdicts["e1_rate.fits"].state == "QUARANTINED"
    assert "e2_rate.fits" in verdicts["e1_rate.fits"].error.file
    with pytest.raises(BackgroundError, match=r"e2_rate\.fits: .*at least 100 unmasked pixels"):
        bkgflow.subtract(field.paths[1], field.paths[2:], bkg_scale="offset")


@pytest.mark.slow
def test_a_region_too_small_to_be_seen_is_refused(tmp_path):
    field = write_field(tmp_path / "field", 2, stars=0)
    values = np.zeros(SHAPE, np.int16)
    values[50:55, 50:55] = 3
    fits.PrimaryHDU(values).writeto(tmp_path / "map.fits")
    with pytest.raises(BackgroundError, match=r"of 25 pixels that were looked at in region 3"):
        bkgflow.subtract(*field.paths, bkg_scale="offset", bkg_scale_map=tmp_path / "map.fits")


@pytest.mark.slow
def test_a_background_beyond_a_region_is_left_alone_there(tmp_path, regions):
    field = write_field(tmp_path / "field", 2, stars=0)
    with fits.open(field.paths[1], mode="update") as hdus:
        hdus["SCI"].data[:, 70:] = np.nan
    with bkgflow.subtract(*field.paths, bkg_scale="factor", bkg_scale_map=regions) as product:
        [[left, right]] = said(product)["background_factors"]
        assert right == 1
        assert left == pytest.approx(1, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [-1.0, 0.0])
def test_a_factor_that_means_nothing_is_refused(tmp_path, factor):
    field = write_field(tmp_path / "field", 2, factors=[1, factor], stars=0)
    with pytest.raises(BackgroundError, match=r"e1_rate\.fits: A factor .* positive.*offset"):
        bkgflow.subtract(*field.paths, bkg_scale="factor")
    with bkgflow.subtract(*field.paths, bkg_scale="offset") as product:
        assert abs(residual(field, 0, product).mean()) < 1


def test_a_map_of_regions_needs_a_scale():
    with pytest.raises(SettingsError, match="bkg_scale_map must come with bkg_scale"):
        StepSettings.of(bkg_scale_map="regions.fits")
    with pytest.raises(SettingsError, match="mask_grow must be"):
        StepSettings.of(mask_grow=-1)


def test_a_stack_without_a_target_has_no_level(field):
    with pytest.raises(SettingsError, match="must have a target to be brought to its level"):
        bkgflow.open_stack(field.paths, bkg_scale="offset")


@pytest.mark.slow
def test_levels_that_are_matched_raise_no_warning(tmp_path):
    field = write_field(tmp_path / "field", 5, levels=[0, 0, 0, 0, 40], stars=0)
    with bkgflow.subtract(field.paths[0], field.paths[1:], bkg_outlier=0.25) as product:
        assert said(product).get("warnings")
    with bkgflow.subtract(
        field.paths[0], field.paths[1:], bkg_outlier=0.25, bkg_scale="offset"
    ) as product:
        assert not said(product).get("warnings")


def test_masks_are_packed_and_cut():
    window = Window(30, 40, 13, 7)
    masked = np.random.default_rng(0).random(window.shape) < 0.3
    mask = Mask.of(window, masked)
    assert mask.bits.nbytes == 7 * 2
    np.testing.assert_array_equal(mask.over(window), masked)
    part = Window(window.x0 - 2, window.y0 + 3, 9, 20)
    cut = np.zeros(part.shape, bool)
    cut[:4, 2:] = masked[3:, :7]
    np.testing.assert_array_equal(mask.over(part), cut)


def test_a_cube_is_looked_at_as_the_mean_of_what_is_good(field):
    look = Look.of(inspect(field.paths[3]))
    with fits.open(field.paths[3]) as hdus:
        sci, dq = hdus["SCI"].data.astype("f8"), hdus["DQ"].data
    good = (dq & 1) == 0
    number = good.sum(axis=0)
    wanted = np.where(
        number > 0, np.where(good, sci, 0).sum(axis=0) / np.maximum(number, 1), np.nan
    )
    seen = look_at(look)
    np.testing.assert_allclose(seen, wanted, rtol=1e-6)
    rows = look_at_rows(look, [3, 50], look.source.window)
    np.testing.assert_array_equal(rows, seen[[3, 50]])


@pytest.mark.parametrize("share", ["any", "50", "all"])
def test_a_masked_pixel_of_a_cube_keeps_the_flags_that_few_integrations_have(tmp_path, share):
    """As one that is NaN does: what takes no part has no share."""
    shape = (4, 12, 14)
    sci, dq = np.ones(shape, np.float32), np.zeros(shape, np.uint32)
    dq[0, 3, 4] = dq[0, 5, 6] = 4
    sci[:, 5, 6] = np.nan
    cube, target = tmp_path / "b_rateints.fits", tmp_path / "t_rate.fits"
    make_model(sci, dq=dq).save(cube)
    make_model(np.ones(shape[1:], np.float32)).save(target)
    folder = tmp_path / "masks"
    folder.mkdir()
    mask = np.zeros(shape[1:], np.uint8)
    mask[3, 4] = 1
    for path in (cube, target):
        fits.PrimaryHDU(mask).writeto(folder / f"{path.stem}_mask.fits")
    rule = {"mask_sources": str(folder), "bkg_dq": share}
    stack = bkgflow.open_stack([cube], target=target, mask_sources=str(folder))
    for found in (bkgflow.subtract(target, [cube], **rule), bkgflow.combine(stack, bkg_dq=share)):
        assert int(found.dq[3, 4]) == int(found.dq[5, 6]) == 4


@pytest.mark.slow
def test_the_picture_shows_what_is_masked(field):
    stack = bkgflow.open_stack(field.paths, mask_sources="detect")
    figure = bkgflow.plot.mask(stack)
    shown = [axis for axis in figure.axes if len(axis.get_images()) == 2]
    assert len(shown) == 5
    for axis, mask in zip(shown, stack["mask"].values, strict=True):
        overlay = axis.get_images()[1].get_array()
        np.testing.assert_array_equal(overlay[..., 3] > 0, mask)
        assert f"{mask.mean():.1%}" in axis.get_title()
    with pytest.raises(Exception, match="mask_sources"):
        bkgflow.plot.mask(bkgflow.open_stack(field.paths))


@pytest.mark.slow
def test_a_mask_may_be_changed_before_it_is_combined(field):
    stack = bkgflow.open_stack(field.paths[:3], mask_sources="detect")
    nothing = bkgflow.combine(stack.assign(mask=stack["mask"] & False))
    plain = bkgflow.combine(bkgflow.open_stack(field.paths[:3]))
    np.testing.assert_array_equal(nothing["sci"].values, plain["sci"].values)
    everything = bkgflow.combine(stack.assign(mask=stack["mask"] | True))
    assert not everything["n_used"].values.any()
    away = bkgflow.rejected(stack).values
    assert not (away & stack["mask"].values).any()
