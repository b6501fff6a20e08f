"""Exposures: what every source must do, whether its pixels are in a file or in a model."""

import json
import pickle
import shutil
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from stdatamodels.jwst import datamodels

from bkgflow.detector import Window
from bkgflow.errors import FileError, PlanError
from bkgflow.io.exposures.facts import ExposureFacts
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.exposures.source import check_savable, read_window
from bkgflow.io.products.zarr import to_group
from tests.helpers.slitless import MODES, exposure

CORNER = (3, 5)
TYPES = {"sci": np.float32, "err": np.float32, "dq": np.uint32}


def make(shape):
    """A model of a subarray whose pixels are all different."""
    model = datamodels.CubeModel(shape) if len(shape) == 3 else datamodels.ImageModel(shape)
    rng = np.random.default_rng(7)
    model.data = rng.normal(5, 1, shape).astype(np.float32)
    model.err = rng.uniform(1, 2, shape).astype(np.float32)
    model.dq = rng.integers(0, 2**32, shape, np.uint32)
    model.meta.instrument.name, model.meta.instrument.detector = "NIRCAM", "NRCA1"
    model.meta.instrument.filter = "F200W"
    model.meta.exposure.type = "NRC_IMAGE"
    model.meta.bunit_data = "DN/s"
    model.meta.subarray.xstart, model.meta.subarray.ystart = CORNER[0] + 1, CORNER[1] + 1
    model.meta.subarray.xsize, model.meta.subarray.ysize = shape[-1], shape[-2]
    return model


def in_file(model, folder):
    path = folder / "jw1_rate.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(str(path))
    return inspect(path)


def behind_a_url(model, folder):
    import fsspec

    local = in_file(model, folder).location
    url = f"memory://sources/{local.name}"
    fsspec.filesystem("memory").pipe_file(url, local.read_bytes())
    return inspect(url)


def in_memory(model, folder):
    return model_facts(model, "jw1_rate.fits")


def in_zarr(model, folder):
    file = in_file(model, folder)
    group = folder / "jw1_rate.zarr"
    shutil.rmtree(group, ignore_errors=True)
    to_group(file.location, group, file.window, name="jw1_rate.zarr")
    return inspect(group)


@pytest.fixture(params=[in_file, behind_a_url, in_memory, in_zarr])
def facts_of(request, tmp_path):
    return lambda model: request.param(model, tmp_path)


def test_the_facts_are_the_same(facts_of):
    facts = facts_of(make((3, 20, 30)))
    assert (
        facts.name in {"jw1_rate.fits", "jw1_rate.zarr"}
        and str(facts.location) == facts.source.name
    )
    assert facts.window == facts.source.window == Window(*CORNER, 30, 20)
    assert facts.n_integrations == facts.source.n_integrations == 3
    assert (facts.shape, facts.n_pixels) == ((3, 20, 30), 1800)
    assert (facts.instrument, facts.detector) == ("NIRCAM", "NRCA1")
    assert (facts.model, facts.exp_type, facts.bunit) == ("CubeModel", "NRC_IMAGE", "DN/s")
    assert facts.keyword("FILTER") == "F200W" and facts.keyword("PUPIL") == ""
    assert facts.dispersion_axis is None and facts.gwa == (None, None)
    image = facts_of(make((20, 30)))
    assert (image.n_integrations, image.shape, image.n_pixels) == (None, (20, 30), 600)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(20, 30), (1, 20, 30), (5, 20, 30)])
def test_any_window_is_read(facts_of, shape):
    model = make(shape)
    facts = facts_of(model)
    arrays = {"sci": model.data, "err": model.err, "dq": model.dq}

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, 29), st.integers(0, 19), st.integers(1, 30), st.integers(1, 20))
    def check(x0, y0, nx, ny):
        window = Window(CORNER[0] + x0, CORNER[1] + y0, min(nx, 30 - x0), min(ny, 20 - y0))
        with facts.source.reader() as reader:
            for layer, array in arrays.items():
                out = np.empty((*shape[:-2], *window.shape), TYPES[layer])
                reader.read(layer, window, out)
                np.testing.assert_array_equal(
                    out, array[..., y0 : y0 + window.ny, x0 : x0 + window.nx]
                )

    check()


def test_some_integrations_are_read(facts_of):
    model = make((7, 20, 30))
    facts = facts_of(model)
    with facts.source.reader() as reader:
        for first, count in ((0, 7), (0, 2), (5, 2), (6, 1)):
            out = np.empty((count, 20, 30), np.float32)
            reader.read("sci", facts.window, out, first)
            np.testing.assert_array_equal(out, model.data[first : first + count])


def test_an_image_is_one_integration_of_a_stack(facts_of):
    model = make((20, 30))
    facts = facts_of(model)
    out = np.empty((1, 20, 30), np.uint32)
    with facts.source.reader() as reader:
        reader.read("dq", facts.window, out)
    np.testing.assert_array_equal(out[0], model.dq)


def test_what_a_source_does_not_hold_is_nothing(facts_of):
    model = make((20, 30))
    source = facts_of(model).source
    with source.reader() as reader:
        for layer, nothing in (("sci", np.nan), ("err", np.nan), ("dq", 0)):
            out = np.ones((6, 6), TYPES[layer])
            held = read_window(source, reader, layer, Window(0, 0, 6, 6), out)
            assert held == Window(3, 5, 3, 1)
            expected = np.full((6, 6), nothing, TYPES[layer])
            array = {"sci": model.data, "err": model.err, "dq": model.dq}[layer]
            expected[5:, 3:] = array[:1, :3]
            np.testing.assert_array_equal(out, expected)
            assert read_window(source, reader, layer, Window(100, 0, 6, 6), out) is None
            np.testing.assert_array_equal(out, np.full((6, 6), nothing, TYPES[layer]))


@pytest.mark.slow
@pytest.mark.parametrize("name", MODES)
def test_the_wcs_is_the_models(facts_of, name):
    model = exposure(MODES[name], (60, 80), (30, 40))
    facts = facts_of(model)
    assert facts.dispersion_axis == MODES[name].axis
    ours, theirs = facts.source.wcs().backward_transform, model.meta.wcs.backward_transform
    for order in MODES[name].orders:
        at = (53.16, -27.79, float(np.mean(MODES[name].band)), order)
        np.testing.assert_array_equal(ours(*at), theirs(*at))


def test_an_exposure_without_a_wcs(facts_of):
    assert facts_of(make((20, 30))).source.wcs() is None
    assert facts_of(exposure(MODES["MIRI"], (60, 80), wcs=False)).source.wcs() is None


# Files alone.


def test_a_source_is_small_and_travels(tmp_path):
    facts = in_file(make((5, 20, 30)), tmp_path)
    assert pickle.loads(pickle.dumps(facts)) == facts
    assert len(pickle.dumps(facts.source)) < 1000


def test_facts_of_a_file_are_plain_json(tmp_path):
    facts = in_file(make((5, 20, 30)), tmp_path)
    adapter = TypeAdapter(ExposureFacts)
    text = adapter.dump_json(facts)
    assert adapter.validate_json(text) == facts
    plain = json.loads(text)
    assert plain["location"] == str(tmp_path / "jw1_rate.fits")
    assert plain["source"]["format"] == "fits"
    assert adapter.validate_python(plain) == facts
    check_savable([facts.source])
    plain["source"]["format"] = "papyrus"
    with pytest.raises(ValidationError, match="papyrus"):
        adapter.validate_json(json.dumps(plain))


def test_a_tree_that_cannot_be_read(tmp_path):
    facts = in_file(exposure(MODES["MIRI"], (60, 80)), tmp_path)
    raw = facts.location.read_bytes()
    facts.location.path.write_bytes(raw.replace(b"%YAML 1.1\n", b"%YAML 9,1\n"))
    with pytest.raises(FileError, match="ASDF tree of an exposure") as caught:
        facts.source.wcs()
    assert caught.value.file == str(facts.location)


# Models alone.


def test_a_plan_with_models_is_not_saved():
    facts = in_memory(make((20, 30)), None)
    with pytest.raises(PlanError, match=r"jw1_rate\.fits, a model in memory"):
        check_savable([facts.source])
    with pytest.raises(ValueError, match="A plan that is saved must name files"):
        TypeAdapter(ExposureFacts).dump_json(facts)


def test_a_models_pixels_are_not_copied():
    model = make((20, 30))
    assert in_memory(model, None).source.sci is model.data
