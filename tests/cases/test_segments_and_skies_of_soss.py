"""SOSS files as people have them: segments under any name, and skies of their own."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.errors import FileError, ShapeError
from bkgflow.io.references.soss_library import read_library
from bkgflow.simulate import simulate_soss
from tests.helpers.exposures import write_association
from tests.helpers.soss import make_library


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    folder = tmp_path_factory.mktemp("soss") / "program"
    return simulate_soss(
        folder, integrations=6, segments=3, subarray="SUBSTRIP96", templates=2, seed=3
    )


# Segments by their headers


def moved(program, folder, place):
    """Copy the segments to other names or folders, with an association for each."""
    paths = []
    for number, path in enumerate(program.exposures, start=1):
        to = folder / place(number)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
        name = to.name.removesuffix("_rateints.fits")
        paths.append(write_association(to.parent / f"{name}_asn.json", [(name, to.name, [])]))
    return paths


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        lambda n: f"night_{'cab'[n - 1]}_rateints.fits",
        lambda n: f"download_{n}/star_{n}_rateints.fits",
        lambda n: f"part-seg00{4 - n}_x_rateints.fits",
    ],
    ids=["other names", "one folder each", "numbers that mislead"],
)
def test_segments_are_found_by_their_headers(program, tmp_path, place):
    paths = moved(program, tmp_path / "program", place)
    plan = bkgflow.plan(paths, tmp_path / "out", override_bkg=str(program.references[0]))
    [shared] = plan.shared
    assert len(shared.members) == 3
    numbers = [fits.getheader(str(member))["EXSEGNUM"] for member in shared.members]
    assert numbers == [1, 2, 3]  # in the order of time
    assert not any("missing" in note for unit in plan.units for note in unit.notes)


def test_segments_of_two_exposures_are_not_mixed(program, tmp_path):
    paths = moved(program, tmp_path / "program", lambda n: f"s{n}_rateints.fits")
    fits.setval(str(tmp_path / "program" / "s3_rateints.fits"), "EXPOSURE", value="00002")
    plan = bkgflow.plan(paths, tmp_path / "out", override_bkg=str(program.references[0]))
    assert sorted(len(shared.members) for shared in plan.shared) == [1, 2]
    notes = [" ".join(unit.notes) for unit in plan.units]
    assert "2 of 3 segments" in notes[0] and "segment 003 is" in notes[0]
    assert "1 of 3 segments" in notes[2] and "segment 001, 002 are" in notes[2]


def test_a_lone_segment_is_noted(program, tmp_path):
    paths = moved(program, tmp_path / "program", lambda n: f"s{n}_rateints.fits")
    library = str(program.references[0])
    [unit] = bkgflow.plan(paths[1], tmp_path / "out", override_bkg=library).units
    assert any("1 of 3 segments" in note and "2 missing" in note for note in unit.notes)
    [unit] = bkgflow.plan(paths[1], tmp_path / "out", override_bkg=library, soss_fit="file").units
    assert unit.notes == ()


def test_a_segment_that_is_there_twice_does_not_count_twice(program, tmp_path):
    paths = moved(program, tmp_path / "program", lambda n: f"a-seg00{n}_rateints.fits")
    paths += moved(program, tmp_path / "copies", lambda n: f"b-seg00{n}_rateints.fits")
    plan = bkgflow.plan(paths, tmp_path / "out", override_bkg=str(program.references[0]))
    assert [len(shared.members) for shared in plan.shared] == [3, 3]


def test_without_numbers_in_the_headers_names_tell_the_segments(program, tmp_path):
    paths = moved(program, tmp_path / "program", lambda n: f"a-seg00{n}_rateints.fits")
    for path in (tmp_path / "program").glob("*.fits"):
        with fits.open(path, mode="update") as units:
            for name in ("PROGRAM", "OBSERVTN", "VISIT", "EXPOSURE", "EXSEGNUM", "EXSEGTOT"):
                del units[0].header[name]
    plan = bkgflow.plan(paths[1:], tmp_path / "out", override_bkg=str(program.references[0]))
    [shared] = plan.shared
    assert len(shared.members) == 2
    assert any("segment 001 is" in note for note in plan.units[0].notes)


# Skies of one's own


def write_sky(path, sky, kind):
    if kind == "npy":
        np.save(path, sky)
    elif kind == "primary":
        fits.PrimaryHDU(sky).writeto(path)
    else:
        image = fits.ImageHDU(sky, name="bkg" if kind == "named" else "sci")
        fits.HDUList([fits.PrimaryHDU(), image]).writeto(path)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(256, 2048), (96, 2048), (2, 256, 2048)])
@pytest.mark.parametrize("kind", ["primary", "sci", "named", "npy"])
def test_a_sky_of_ones_own_is_a_library(tmp_path, kind, shape, dtype):
    sky = make_library(np.random.default_rng(0), 2)[tuple(slice(n) for n in shape[:-2])]
    sky = (sky if len(shape) == 3 else sky[0])[..., : shape[-2], :].astype(dtype)
    path = tmp_path / ("sky.npy" if kind == "npy" else "sky.fits")
    write_sky(path, sky, kind)
    library = read_library(path)
    assert library.dtype == np.float32 and library.flags.c_contiguous
    np.testing.assert_array_equal(library, sky.reshape(-1, *shape[-2:]).astype(np.float32))


@pytest.mark.slow
def test_a_sky_of_ones_own_is_subtracted(program, tmp_path):
    with datamodels.SossBkgModel(str(program.references[0])) as model:
        sky = np.array(model.data[program.truth.library_sky.true])
    np.save(tmp_path / "sky.npy", sky[10:106].astype(np.float64))
    fits.PrimaryHDU(sky).writeto(tmp_path / "sky.fits")
    results = []
    for name in ("sky.npy", "sky.fits"):
        with bkgflow.subtract(program.exposures[0], override_bkg=str(tmp_path / name)) as product:
            assert product.meta.cal_step.bkg_subtract == "COMPLETE"
            results.append(np.array(product.data))
    np.testing.assert_array_equal(*results)


@pytest.mark.slow
def test_several_files_are_one_library(program, tmp_path):
    with datamodels.SossBkgModel(str(program.references[0])) as model:
        templates = np.array(model.data)
    names = [str(tmp_path / f"{number}.npy") for number in range(len(templates))]
    for name, template in zip(names, templates, strict=True):
        np.save(name, template)
    np.testing.assert_array_equal(read_library(*names), templates)
    with (
        bkgflow.subtract(program.exposures[0], override_bkg=names) as product,
        bkgflow.subtract(program.exposures[0], override_bkg=str(program.references[0])) as whole,
    ):
        np.testing.assert_array_equal(product.data, whole.data)
        found = product.meta.bkgflow.instance
        assert found["template"] == program.truth.library_sky.true
        assert len(found["template_rms"]) == len(templates) > 1
    np.save(tmp_path / "short.npy", templates[0, 10:106])
    with pytest.raises(ShapeError, match=r"short\.npy: .* must have one shape"):
        bkgflow.subtract(program.exposures[0], override_bkg=[names[0], tmp_path / "short.npy"])


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        ((256, 2040), ShapeError, r"found: \(256, 2040\)"),
        ((3, 256, 2040), ShapeError, r"found: \(3, 256, 2040\)"),
        ((2048, 256), ShapeError, r"found: \(2048, 256\)"),
        ((2048,), FileError, r"\(2048,\)"),
        ((), FileError, "without an array"),
        ((1, 2, 96, 2048), FileError, r"\(1, 2, 96, 2048\)"),
    ],
)
def test_a_sky_of_another_shape_is_refused_with_it(tmp_path, shape, error, words):
    fits.PrimaryHDU(np.ones(shape, np.float32) if shape else None).writeto(tmp_path / "sky.fits")
    with pytest.raises(error, match=words):
        read_library(tmp_path / "sky.fits")
