"""Starts that users wait for: a command imports what its unit needs, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bkgflow.simulate import simulate_imaging

HEAVY = (
    "asdf",
    "astropy.wcs",
    "dask.array",
    "distributed",
    "gwcs",
    "matplotlib",
    "pandas",
    "scipy.ndimage",
    "stdatamodels",
    "xarray",
)
"""What takes a tenth of a second or more, and an image does without."""

SCRIPT = f"""
import sys
from bkgflow.cli import main
try:
    main()
finally:
    print("imported:", *[name for name in {HEAVY} if name in sys.modules])
"""


def run(*words):
    command = [sys.executable, "-c", SCRIPT, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    simulate_imaging(folder, targets=1, backgrounds=2, size=32)
    return folder


@pytest.mark.slow
def test_one_small_file_is_subtracted_without_the_imports_of_others(program, tmp_path):
    target, *skies = sorted(program.glob("*_rate.fits"))
    listed = ",".join(map(str, skies))
    said = run("subtract", target, "--bkg-list", listed, "--output-dir", tmp_path)
    assert [each.name for each in tmp_path.glob("*_bsub.fits")]
    assert said.splitlines()[-1] == "imported:"


@pytest.mark.slow
def test_a_program_of_images_is_planned_without_them_as_well(program, tmp_path):
    said = run("plan", program, "--output", tmp_path / "products")
    assert said.splitlines()[-1] == "imported:"


def test_cards_come_in_the_order_of_the_data_models():
    from stdatamodels.jwst import datamodels

    from bkgflow.io.products.schemas import cards

    def leaves(schema):
        if "properties" in schema:
            for each in schema["properties"].values():
                yield from leaves(each)
        elif schema.get("fits_hdu", "PRIMARY") == "PRIMARY" and "fits_keyword" in schema:
            yield schema["fits_keyword"]

    meta = datamodels.JwstDataModel().schema["properties"]["meta"]
    assert list(cards()) == list(dict.fromkeys(leaves(meta)))
