"""Every combination of rules gives one background, however it is asked for; and what is said."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.nddata.bitmask import interpret_bit_flags
from distributed import LocalCluster
from hypothesis import given
from hypothesis import strategies as st
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags

import bkgflow
from bkgflow.detector import EVERY_BIT, FLUX_ESTIMATED, PIXEL_FLAGS, bits_of, names_of_bits
from bkgflow.errors import BackgroundError, MetadataError, SettingsError
from bkgflow.methods import clip
from bkgflow.rules import ClipRule, StackRule
from bkgflow.settings import RARE, STACK_ARGUMENTS, StepSettings
from bkgflow.simulate import simulate_wfss
from tests.helpers.exposures import make_model, write_association
from tests.helpers.warm import compile_kernels

CORNER = (11, 21)

RULES = [
    {"clip": "noise", "bkg_bad_bits": "DO_NOT_USE", "bkg_dq": "all", "bkg_fill": True},
    {"clip": "noise", "clip_side": "high", "combine": "weighted", "bkg_dq": 50},
    {"clip": "robust", "combine": "median", "bkg_good_bits": "~1", "propagate_errors": True},
    {"clip": "minmax", "clip_side": "low", "save_combined_background": True},
    {"clip": "none", "combine": "weighted", "bkg_weights": "exptime", "propagate_errors": True},
    {"clip_side": "high", "sigma": 1.2, "bkg_fill": True, "propagate_errors": True},
]  # fmt: skip


def write(path, rng, shape, *, bad=0.1, seconds=100.0):
    """Write an exposure with outliers, gaps and flags."""
    sci = rng.normal(10, 2, shape).astype(np.float32)
    sci[rng.random(shape) < 0.05] += 300
    sci[rng.random(shape) < bad] = np.nan
    err = rng.uniform(1, 3, shape).astype(np.float32)
    dq = np.where(rng.random(shape) < 0.2, 1 << rng.integers(0, 12, shape), 0).astype(np.uint32)
    with make_model(sci, err, dq, corner=CORNER) as model:
        model.meta.exposure.exposure_time = seconds
        model.save(str(path))
    return path


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A target, and images and a cube as its backgrounds; some pixels have none."""
    folder, rng = tmp_path_factory.mktemp("stacks"), np.random.default_rng(6)
    write(folder / "t0_rate.fits", rng, (40, 30))
    for i, depth in enumerate([(), (), (3,), (), ()]):
        path = write(folder / f"b{i}_rate.fits", rng, (*depth, 40, 30), seconds=50.0 + 10 * i)
        with datamodels.open(path) as model:
            model.data[..., 4:7, 3:5] = np.nan
            model.save(str(path))
    names = [f"b{i}_rate.fits" for i in range(5)]
    write_association(folder / "t0_asn.json", [("t0", "t0_rate.fits", names)])
    compile_kernels()
    return folder


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made:
        yield made.scheduler_address


def assert_same(found, model):
    for name, array in (("sci", model.data), ("err", model.err), ("dq", model.dq)):
        np.testing.assert_array_equal(np.asarray(found[name]), array, name)


def product(folder):
    with datamodels.open(folder / "t0_bsub.fits") as model:
        return {"sci": model.data.copy(), "err": model.err.copy(), "dq": model.dq.copy()}, dict(
            model.meta.bkgflow.instance
        )


@pytest.mark.slow
@pytest.mark.parametrize("rules", RULES, ids=lambda rules: "-".join(map(str, rules.values())))
def test_one_background_however_it_is_asked_for(rules, program, cluster, tmp_path):
    names = [program / f"b{i}_rate.fits" for i in range(5)]
    stack_rules = {
        key: each for key, each in rules.items() if key in (*STACK_ARGUMENTS, "bkg_fill")
    }
    errors = rules.get("propagate_errors", False)
    with datamodels.open(program / "t0_rate.fits") as target:
        model = bkgflow.subtract(target, names, output_dir=tmp_path, **rules)
    again = bkgflow.subtract(program / "t0_rate.fits", names, output_dir=tmp_path, **rules)
    assert_same({"sci": model.data, "err": model.err, "dq": model.dq}, again)
    for memory in (500, 1 << 20):
        stack = bkgflow.open_stack(names, target=program / "t0_rate.fits", memory=memory)
        lazy = bkgflow.subtract_background(
            bkgflow.open_exposure(program / "t0_rate.fits"),
            bkgflow.combine(stack, **stack_rules), propagate_errors=errors,
        )  # fmt: skip
        assert_same(lazy.compute(), model)
    for where in ("threads", cluster):
        out = tmp_path / str(where == cluster)
        plan = bkgflow.plan(program, out, **rules)
        assert bkgflow.run(plan, where, progress=False).ok
        made, record = product(out)
        assert_same(made, model)
        said = StepSettings.of(**rules).only(list(rules))
        assert {name: record["settings"][name] for name in said} == said
    filled = int(np.count_nonzero(model.dq & FLUX_ESTIMATED))
    assert record.get("filled_pixels") == (filled if rules.get("bkg_fill") else None)
    assert (record["unsubtracted_pixels"] == 0) == bool(rules.get("bkg_fill"))


@pytest.mark.slow
def test_the_saved_background_is_the_filled_one(program, tmp_path):
    names = [program / f"b{i}_rate.fits" for i in range(5)]
    rules = {"bkg_fill": True, "save_combined_background": True}
    model = bkgflow.subtract(program / "t0_rate.fits", names, output_dir=tmp_path, **rules)
    [path] = tmp_path.glob("*combinedbackground.fits")
    with datamodels.open(path) as saved, datamodels.open(program / "t0_rate.fits") as target:
        assert np.isfinite(saved.data).all()
        assert (saved.dq[4:7, 3:5] & FLUX_ESTIMATED).all()
        assert 8 < saved.data[4:7, 3:5].mean() < 150
        np.testing.assert_array_equal(model.data, target.data - saved.data)


def test_what_is_not_asked_for_stands_in_no_key(program, tmp_path):
    """Products that were made before there were rules keep their keys."""
    plan = bkgflow.plan(program, tmp_path)
    keys = plan.units[0].key, plan.shared[0].key
    assert not {part.name for key in keys for part in key.parts} & set(RARE)
    other = bkgflow.plan(program, tmp_path, clip="noise", bkg_fill=True)
    parts = {part.name: part.value for part in other.shared[0].key.parts}
    assert parts["clip"] == "noise"
    assert "bkg_fill" not in parts  # what is filled is no shared result
    assert other.shared[0].key.digest != plan.shared[0].key.digest
    assert other.units[0].key.digest != plan.units[0].key.digest


def test_a_plan_says_once_that_nothing_can_be_clipped(program, tmp_path):
    note = "clip=sigma can drop nothing from 1 combined background, made of 5 exposures or fewer"
    plan = bkgflow.plan(program, tmp_path)
    assert str(plan).count(note) == 1
    assert bkgflow.Plan.load(saved(plan, tmp_path)).notes == plan.notes
    for rules in ({"clip": "noise"}, {"clip": "none"}, {"clip": "minmax"}, {"sigma": 1.0}):
        assert bkgflow.plan(program, tmp_path, **rules).notes == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"clip": "none", "clip_side": "high"}, "clip_side=high with clip=none"),
        ({"clip": "minmax", "sigma": 2.0, "clip_side": "low"}, "sigma=2.0 with clip=minmax"),
        ({"clip": "noise", "bkg_weights": "exptime"}, "bkg_weights=exptime without combine"),
        ({"clip": "noise", "mask_grow": 1}, "mask_grow=1.0 without mask_sources"),
    ],
)
def test_a_plan_says_which_arguments_do_nothing(given, words, program, tmp_path):
    [note] = bkgflow.plan(program, tmp_path, **given).notes
    assert note.startswith("without effect: ")
    assert words in note


@pytest.mark.slow
def test_a_plan_says_which_arguments_no_kind_of_exposure_takes(program, tmp_path, caplog):
    """Of a program of several kinds an argument is meant for those that take it."""
    wide = simulate_wfss(tmp_path / "wide", exposures=1, size=256)
    folder = wide.references[0].parent
    words = "without effect: {}: no exposure here is of a kind that has a use for it"
    given = {"propagate_errors": True, "mask_sources": "detect", "wfss_maxiter": 3}
    plan = bkgflow.plan(tmp_path / "wide", tmp_path / "out", references=folder, **given)
    note = words.format("mask_sources=detect, propagate_errors=True")
    assert plan.notes == (note,) and note in str(plan)
    assert words.format("soss_fit=file") in bkgflow.plan(program, tmp_path, soss_fit="file").notes
    both = bkgflow.plan([tmp_path / "wide", program], tmp_path / "out", references=folder, **given)
    assert "without effect" not in str(both)
    with caplog.at_level("INFO", "bkgflow"):
        bkgflow.subtract(
            wide.exposures[0], references=folder, wfss_mask_mode="residual", propagate_errors=True
        )
    assert words.format("propagate_errors=True") in caplog.text


@pytest.mark.slow
def test_backgrounds_without_err_are_said_to_be_so(program, tmp_path):
    for i in range(3):
        with datamodels.open(program / f"b{i}_rate.fits") as model:
            model.err[...] = 0
            model.save(str(tmp_path / f"b{i}_rate.fits"))
    names = sorted(tmp_path.glob("b*_rate.fits"))
    with pytest.raises(BackgroundError, match="without an ERR above 0"):
        bkgflow.subtract(program / "t0_rate.fits", names, output_dir=tmp_path, clip="noise")


def saved(plan, folder):
    plan.save(folder / "plan.json")
    return folder / "plan.json"


def test_weights_by_time_need_the_times(program, tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path / "b0_rate.fits", rng, (40, 30), seconds=None)
    rules = {"combine": "weighted", "bkg_weights": "exptime"}
    with pytest.raises(MetadataError, match=r"b0_rate.fits: .* in EFFEXPTM"):
        bkgflow.subtract(program / "t0_rate.fits", [tmp_path / "b0_rate.fits"], **rules)


def test_memory_is_promised_for_err_where_a_rule_needs_it(program, tmp_path):
    read = [bkgflow.plan(program, tmp_path, **rules).costs.read
            for rules in ({}, {"clip": "noise"}, {"propagate_errors": True})]  # fmt: skip
    assert read[0] < read[1] == read[2]


FLAGS = st.lists(st.sampled_from(PIXEL_FLAGS), min_size=1, max_size=4, unique=True)


@pytest.mark.slow
@given(names=FLAGS, separator=st.sampled_from(["+", ",", "|", " + "]), flip=st.booleans(),
       numbers=st.booleans())  # fmt: skip
def test_flags_are_written_as_astropy_reads_them(names, separator, flip, numbers):
    known = {name: dqflags.pixel[name] for name in dqflags.pixel if name != "GOOD"}
    known |= {name: 1 << i for i, name in enumerate(PIXEL_FLAGS) if name not in known}
    words = [str(known[name]) if numbers else name for name in names]
    text = f"{'~' * flip}{separator.join(words)}"
    want = interpret_bit_flags(text, flag_name_map=known) & EVERY_BIT
    assert bits_of(text) == want
    assert bits_of(names_of_bits(want)) == want
    settings = StepSettings.of(bkg_bad_bits=text)
    assert settings.stack_rule.bad_bits == want
    assert settings == StepSettings.of(bkg_bad_bits=want)
    good = StepSettings.of(bkg_good_bits=text)
    assert good.stack_rule.bad_bits == EVERY_BIT & ~want


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"bkg_bad_bits": "DO_NOT_US"}, "the nearest is DO_NOT_USE"),
        ({"bkg_bad_bits": "-1"}, "neither"),
        ({"bkg_good_bits": 2**32}, "below 2"),
        ({"bkg_good_bits": 0, "bkg_bad_bits": 1}, "must not both"),
        ({"bkg_dq": "most"}, "any, all, or a share"),
        ({"bkg_dq": 101}, "any, all, or a share"),
        ({"clip": "noisy"}, "clip must be"),
    ],
)
def test_what_is_no_rule_is_refused(given, words):
    with pytest.raises(SettingsError, match=words):
        StepSettings.of(**given)


@pytest.mark.slow
def test_shares_are_written_in_one_way():
    assert StepSettings.of(bkg_dq="100") == StepSettings.of(bkg_dq="all")
    assert StepSettings.of(bkg_dq=0) == StepSettings.of()
    assert StepSettings.of(bkg_dq="30").stack_rule.dq_percent == 30.0


def test_of_cubes_the_integrations_can_be_clipped(tmp_path):
    """A plan said that nothing could be dropped, and an outlying integration was."""
    rng, paths = np.random.default_rng(8), [tmp_path / f"c{i}_rateints.fits" for i in range(2)]
    for path in paths:
        sci = rng.normal(10, 0.1, (25, 6, 5))
        sci[7, 2, 2] += 1000
        make_model(sci, 0.1).save(str(path))
    make_model(rng.normal(10, 0.1, (6, 5)), 0.1).save(str(tmp_path / "t_rate.fits"))
    target = tmp_path / "t_rate.fits"
    assert bkgflow.plan([target], tmp_path / "out", bkg_list=paths).notes == ()
    assert abs(bkgflow.subtract(target, paths).data[2, 2]) < 1


def test_a_clip_that_leaves_nothing_is_named(tmp_path):
    for name, level in (("t", 3.0), ("b0", 1.0), ("b1", 2.0)):
        make_model(np.full((6, 5), level), 0.1).save(str(tmp_path / f"{name}_rate.fits"))
    backgrounds = sorted(tmp_path.glob("b*_rate.fits"))
    with pytest.raises(BackgroundError, match=r"clipped \(clip=sigma, sigma=0.9\)") as caught:
        bkgflow.subtract(tmp_path / "t_rate.fits", backgrounds, sigma=0.9)
    assert caught.value.cure.startswith("Give a larger sigma")
    with pytest.raises(BackgroundError, match="clip=robust"):
        bkgflow.subtract(tmp_path / "t_rate.fits", backgrounds, clip="robust", sigma=0.5)


@pytest.mark.parametrize("side", ["both", "high", "low"])
@pytest.mark.parametrize("sigma", [0.3, 0.56, 0.57, 3.0])
def test_a_robust_clip_of_two_is_known_beforehand(side, sigma):
    sci = np.array([[[1.0]], [[2.0]]], np.float32)
    rule = ClipRule(method="robust", side=side, sigma=sigma)
    out = clip.combine(sci, np.ones_like(sci), np.zeros(sci.shape, np.uint32), StackRule(clip=rule))
    assert rule.can_clip(2) == (out.n_used[0, 0] < 2)
    assert rule.drops_all or out.n_used[0, 0] > 0
