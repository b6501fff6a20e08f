"""bkgflow simulate, demo and warm-up."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from tests.helpers.commands import names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "exposures", "associations"),
    [
        (["imaging", "--targets=2", "--backgrounds=3"], 5, 2),
        (["imaging", "--targets=1", "--backgrounds=1", "--instrument=miri", "--subarrays"], 2, 1),
        (["dithers", "--points=3", "--drift=0.1"], 3, 0),
        (["nods", "--points=3"], 3, 3),
        (["tso", "--integrations=3", "--backgrounds=1"], 2, 1),
    ],
)
def test_simulate(arguments, exposures, associations, tmp_path, bkgflow_):
    out_folder = tmp_path / "made"
    code, out, err = bkgflow_("simulate", *arguments, out_folder, "--size=32", "--seed=7")
    assert (code, err) == (0, "")
    *written, last = out.splitlines()
    assert len(written) == len(list(out_folder.glob("*.fits"))) == exposures
    assert all(Path(line).exists() for line in written)
    assert f"{exposures} exposures and {associations} associations" in last
    assert (out_folder / "truth" / "truth.json").exists()
    chosen = {} if associations else {"backgrounds": "dithers"}
    plan = bkgflow.plan(out_folder, tmp_path / "out", **chosen)
    assert len(plan.units) == (associations or exposures)
    assert all(unit.verdict.to_do for unit in plan.units)


@pytest.mark.slow
def test_the_same_seed_makes_the_same_program(tmp_path, bkgflow_):
    made = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert (
            bkgflow_(
                "simulate", "nods", tmp_path / name, "--points=2", "--size=16", f"--seed={seed}"
            )[0]
            == 0
        )
        made.append(
            [fits.getdata(path, "SCI") for path in sorted((tmp_path / name).glob("*.fits"))]
        )
    np.testing.assert_array_equal(made[0], made[1])
    assert not np.array_equal(made[0], made[2], equal_nan=True)


@pytest.mark.slow
def test_demo(tmp_path, bkgflow_):
    code, out, _ = bkgflow_("demo", tmp_path / "demo", "--size=48", "--workers=1")
    assert code == 0
    assert "14 units: 14 COMPLETE" in out
    (products,) = (line.split(": ")[1] for line in out.splitlines() if line.startswith("Products:"))
    pictures = [line.split(": ")[1] for line in out.splitlines() if line.startswith("Picture:")]
    written = [path for path in names(products) if path.endswith(".fits")]
    assert len(written) == 24
    for name in written[::7]:
        with datamodels.open(Path(products) / name) as model:
            assert np.isfinite(model.data).any()
    assert [Path(path).suffix for path in pictures] == [".png"] * 5
    for path in pictures:
        image = matplotlib.image.imread(path)[..., :3]
        grey = image.mean(-1)
        # Three panels with grain in them: neither white paper nor one even grey.
        inked = grey < 0.98
        assert 0.2 < inked.mean() < 0.98
        assert len(np.unique(grey[inked])) > 100


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--size=10", "size must be a whole number from 16 to 2048"),
        ("--size=2049", "size must be a whole number from 16 to 2048"),
        ("--cluster=nope", "A cluster must be one of"),
        ("--slurm-queue=fast", "A setting must be one that the cluster has"),
    ],
)
def test_a_demo_that_cannot_be_is_refused_before_it_is_simulated(option, words, tmp_path, bkgflow_):
    code, out, err = bkgflow_("demo", tmp_path / "demo", option)
    assert (code, out) == (2, "")
    assert words in err
    assert not (tmp_path / "demo").exists()


def test_warm_up(bkgflow_):
    assert bkgflow_("warm-up", "image")[0] == 0  # it may be the first time on this machine
    assert bkgflow_("warm-up", "image") == (0, "Compiled: nothing, all was there\n", "")
