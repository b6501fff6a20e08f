"""Imprints in plans, keys, costs, graphs and tasks: shared where they can be, and promised."""

import tracemalloc
import warnings
from contextlib import contextmanager

import cloudpickle
import numpy as np
import pytest
from astropy.io import fits

import bkgflow
from bkgflow.detector import Window
from bkgflow.graph.build import build
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.products.sending import PART_BYTES
from bkgflow.kinds.bands import combine_band
from bkgflow.kinds.strips import Imprint
from bkgflow.rules import StackRule
from tests.helpers.exposures import write_association
from tests.helpers.imprints import nirspec, save_as

SHAPE = (64, 32)


def noise(seed, *shape):
    return np.random.default_rng(seed).normal(10, 2, shape or SHAPE).astype(np.float32)


@pytest.fixture(scope="module")
def nods(tmp_path_factory):
    """Four nods, each the background of the others, each with an imprint of its own position."""
    folder = tmp_path_factory.mktemp("nods")
    for i in range(4):
        save_as(folder / f"n{i}_rate.fits", nirspec(noise(i), position=i))
        save_as(folder / f"i{i}_rate.fits", nirspec(noise(10 + i), position=i, dq=1 << i))
    save_as(folder / "all_rate.fits", nirspec(noise(20)))
    return folder


def associations(nods, to, imprints):
    """Write the four associations into a folder where the exposures are linked."""
    to.mkdir()
    for path in nods.glob("*.fits"):
        (to / path.name).symlink_to(path)
    names = [f"n{i}_rate.fits" for i in range(4)]
    for i, name in enumerate(names):
        others = [each for each in names if each != name]
        write_association(to / f"a{i}_asn.json", [(f"p{i}", name, others)],
                          [(each, "imprint") for each in imprints])  # fmt: skip
    return to


OWN = [f"i{i}_rate.fits" for i in range(4)]


@pytest.mark.slow
def test_results_with_another_imprint_have_another_key(nods, tmp_path):
    plans = {
        name: bkgflow.plan(associations(nods, tmp_path / name, imprints), tmp_path / "out")
        for name, imprints in (("own", OWN), ("one", ["all_rate.fits"]), ("none", []))
    }
    off = bkgflow.plan(tmp_path / "own", tmp_path / "out", imprint_subtract=False)
    keys = {name: [unit.key for unit in plan.units] for name, plan in plans.items()}
    for number in range(4):
        assert len({keys[name][number] for name in plans}) == 3
        shared = {plan.units[number].shared for plan in plans.values()}
        assert len(shared) == 3
    # What is left alone is no part of a result.
    assert [unit.key for unit in off.units] == keys["none"]
    assert {each.digest for each in off.shared} == {each.digest for each in plans["none"].shared}
    words = " ".join(keys["own"][0].differs(keys["none"][0]))
    assert "imprint: with i0_rate.fits" in words
    own, one = (next(iter(plans[name].shared)).key for name in ("own", "one"))
    assert "imprint of the background before it" in " ".join(own.differs(one))


def test_each_exposure_and_each_imprint_is_in_the_plan_once(nods, tmp_path):
    plan = bkgflow.plan(associations(nods, tmp_path / "a", OWN), tmp_path / "out")
    assert len(plan.exposures) == len(set(plan.facts())) == 8
    without = bkgflow.plan(associations(nods, tmp_path / "b", []), tmp_path / "out")
    pixels = SHAPE[0] * SHAPE[1]
    # A family reads the four imprints once, and every target its own: SCI and DQ.
    assert plan.costs.read - without.costs.read == 2 * 4 * 8 * pixels
    assert plan.costs.unit_task > without.costs.unit_task


@pytest.mark.slow
def test_numbers_do_not_depend_on_bands_strips_or_threads(nods, tmp_path):
    folder = associations(nods, tmp_path / "a", OWN)
    products = []
    for memory, threads in ((64 << 20, 1), (9_000, 1), (30_000, 3)):
        out = tmp_path / f"{memory}"
        plan = bkgflow.plan(folder, out, memory=memory, save_combined_background=True)
        assert bkgflow.run(plan, "threads", workers=threads).ok
        paths = sorted(out.glob("*.fits"))
        assert len(paths) == 8
        products.append([fits.getdata(p, n).tobytes() for p in paths for n in ("SCI", "DQ")])
    assert products[0] == products[1] == products[2]


@pytest.mark.slow
def test_a_nod_pattern_has_the_truth(nods, tmp_path):
    out = tmp_path / "out"
    bkgflow.run(bkgflow.plan(associations(nods, tmp_path / "a", OWN), out), "threads")
    clean = [noise(i) - noise(10 + i) for i in range(4)]
    for i in range(4):
        others = np.mean([clean[j] for j in range(4) if j != i], axis=0, dtype=np.float64)
        with fits.open(out / f"n{i}_bsub.fits") as units:
            np.testing.assert_allclose(units["SCI"].data, clean[i] - others, atol=1e-5)
            assert (units["DQ"].data == 15).all()


@pytest.mark.slow
def test_the_graph_of_many_units_with_imprints_stays_small(tmp_path):
    """Each unit with a background and two imprints of its own."""
    save_as(tmp_path / "xxx_rate.fits", nirspec(noise(1, 8, 8)))
    content = (tmp_path / "xxx_rate.fits").read_bytes()
    for i in range(40):
        for name in ("s", "b", "l"):
            own = f"{name}{i:02}_rate.fits"  # an exposure of its own, and no copy
            (tmp_path / own).write_bytes(content.replace(b"xxx_rate.fits", own.encode()))
        write_association(
            tmp_path / f"a{i:02}_asn.json",
            [(f"p{i}", f"s{i:02}_rate.fits", [f"b{i:02}_rate.fits"])],
            [(f"l{i:02}_rate.fits", "imprint")],
        )
    plan = bkgflow.plan(tmp_path, tmp_path / "out")
    assert plan.counts() == {"PLANNED": 40}
    assert len(cloudpickle.dumps(build(plan).tasks)) < 10_000 * len(plan.units)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [None, 4])
def test_a_target_with_an_imprint_streams_within_what_the_plan_promises(depth, tmp_path):
    """Of an image some rows at a time are held; of a cube the imprint, and no integration."""
    plane = (1024, 2048)
    shape = plane if depth is None else (depth, *plane)
    target = nirspec(np.ones(shape))
    target.meta.cal_step.dq_init = "COMPLETE"  # as every rate file has it: no data model is needed
    target.add_history_entry("made for a test")
    save_as(tmp_path / "t_rate.fits", target)
    save_as(tmp_path / "i_rate.fits", nirspec(np.full(plane, 3)))
    write_association(tmp_path / "a_asn.json", [("p", "t_rate.fits", [])],
                      [("i_rate.fits", "imprint")])  # fmt: skip
    plan = bkgflow.plan(tmp_path, tmp_path / "out")
    graph = build(plan)
    [(task,)] = graph.tasks.values()
    task().publish()  # what is imported and parsed is no part of it
    tracemalloc.start()
    finished = task()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    finished.publish()
    kept = 8 * plane[0] * plane[1] if depth else 0
    assert peak < 5 * PART_BYTES + kept + (3 << 20) <= plan.costs.unit_task
    suffix = "bsub" if depth is None else "bsubints"
    assert (fits.getdata(tmp_path / "out" / f"t_{suffix}.fits", "SCI") == -2).all()


class Counting:
    """A source that counts its pixels that are read, by layer, and who reads at a time."""

    def __init__(self, source):
        self.source, self.read, self.opened = source, {"sci": 0, "err": 0, "dq": 0}, 0
        self.name, self.window = source.name, source.window
        self.format, self.n_integrations = source.format, source.n_integrations

    @contextmanager
    def reader(self):
        self.opened += 1
        with self.source.reader() as reader:
            counting = self

            class Reader:
                def read(self, layer, window, out, first=0):
                    counting.read[layer] += out.size
                    reader.read(layer, window, out, first)

            yield Reader()


@pytest.mark.parametrize("budget", [1 << 26, 20_000])
@pytest.mark.parametrize("depth", [None, 3])
def test_an_imprint_is_opened_and_read_once_for_all_that_share_it(budget, depth):
    shape = SHAPE if depth is None else (depth, *SHAPE)
    exposures = [Counting(model_facts(nirspec(noise(i, *shape)), f"e{i}").source) for i in range(5)]
    leakage = [Counting(model_facts(nirspec(noise(9 + i)), f"i{i}").source) for i in range(2)]
    band = Window(0, 0, SHAPE[1], SHAPE[0])
    [one, two] = combine_band(
        exposures, [(0, 1, 2, 3), (2, 3, 4)], band, rule=StackRule(), budget=budget,
        imprints=[Imprint(leakage[0], (0, 3)), Imprint(leakage[1], (4, 2))],
    )  # fmt: skip
    for each in leakage:
        assert each.opened == 1
        assert each.read == {"sci": band.nx * band.ny, "err": 0, "dq": band.nx * band.ny}
    for each in exposures:
        assert each.read["sci"] == band.nx * band.ny * (depth or 1)
    clean = [noise(i, *shape) - (noise(9 + j) if j is not None else 0)
             for i, j in enumerate((0, None, 1, 0, 1))]  # fmt: skip
    means = [each.mean(0, dtype=np.float64) if depth else each for each in clean]
    np.testing.assert_allclose(one.pixels.sci, np.mean(means[:4], axis=0), atol=1e-5)
    np.testing.assert_allclose(two.pixels.sci, np.mean(means[2:], axis=0), atol=1e-5)


def test_an_image_gives_the_same_beside_cubes(tmp_path):
    """Beside cubes a stack is kept in float64: an imprint's difference is rounded all the same."""
    image, imprint = nirspec(noise(1) * 1e3), nirspec(noise(2) / 7)
    cube = nirspec(np.full((2, *SHAPE), np.nan))
    sources = [model_facts(each, "x").source for each in (image, cube)]
    band = Window(0, 0, SHAPE[1], SHAPE[0])
    leakage = [Imprint(model_facts(imprint, "i").source, (0,))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        [alone] = combine_band(
            sources[:1], [(0,)], band, rule=StackRule(), budget=1 << 26, imprints=leakage
        )
        [beside] = combine_band(
            sources, [(0, 1)], band, rule=StackRule(), budget=1 << 26, imprints=leakage
        )
    np.testing.assert_array_equal(alone.pixels.sci, beside.pixels.sci)
    np.testing.assert_array_equal(alone.pixels.sci, np.float32(noise(1) * 1e3) - noise(2) / 7)
