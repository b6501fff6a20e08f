"""One target at a time, from Python: what goes in, what comes out, what is refused."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow.api import subtract_to_file
from bkgflow.errors import (
    AssociationError,
    BackgroundError,
    ConflictError,
    FileError,
    MetadataError,
    OutputError,
    PlanError,
    SettingsError,
    ShapeError,
    UsageError,
    WindowError,
)
from bkgflow.kinds.table import KINDS
from bkgflow.planning.planner import Planner
from bkgflow.planning.single import plan_single
from bkgflow.settings import StepSettings
from tests.helpers.exposures import make_model, write_association, write_fits

NIRSPEC = {"instrument": "NIRSPEC", "exp_type": "NRS_FIXEDSLIT"}


def full(value, *shape):
    return np.full(shape or (6, 6), value, np.float32)


def status(model):
    return model.meta.cal_step.bkg_subtract


# What goes in.


@pytest.fixture
def as_paths(write_exposure):
    return write_exposure("t_rate.fits", full(100)), write_exposure("b_rate.fits", full(10))


@pytest.mark.slow
@pytest.mark.parametrize("target_as", ["path", "string", "model"])
@pytest.mark.parametrize("background_as", ["path", "string", "model", "comma list", "one"])
def test_paths_and_models_in_any_mixture(as_paths, target_as, background_as):
    target, background = as_paths
    forms = {
        "path": lambda path: path,
        "string": str,
        "model": lambda path: datamodels.open(str(path)),
        "one": str,
        "comma list": lambda path: f"{path}, ",
    }
    given = forms[background_as](background)
    backgrounds = given if background_as in ("comma list", "one") else [given]
    with bkgflow.subtract(forms[target_as](target), backgrounds) as result:
        assert status(result) == "COMPLETE"
        np.testing.assert_array_equal(result.data, 90)
        assert "b_rate.fits" in result.meta.bkgflow.backgrounds[0]


@pytest.mark.slow
def test_a_plan_with_a_model_is_not_saved(as_paths, tmp_path):
    target, background = as_paths
    planner = Planner(StepSettings(), KINDS)
    with datamodels.open(str(target)) as model:
        plan = plan_single(model, [background], tmp_path, planner)
    with pytest.raises(PlanError, match=r"A plan that is saved must name files.*Save the model"):
        plan.save(tmp_path / "plan.json")
    assert not (tmp_path / "plan.json").exists()
    saved = plan_single(target, [background], tmp_path, planner)
    saved.save(tmp_path / "plan.json")
    assert bkgflow.Plan.load(tmp_path / "plan.json") == saved


@pytest.mark.slow
def test_an_association_names_target_and_backgrounds(as_paths, tmp_path):
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    for given in (path, str(path)):
        with bkgflow.subtract(given) as result:
            np.testing.assert_array_equal(result.data, 90)


@pytest.mark.slow
def test_an_association_without_backgrounds_takes_the_list(as_paths, tmp_path):
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", [])])
    with bkgflow.subtract(path, [as_paths[1]]) as result:
        np.testing.assert_array_equal(result.data, 90)


@pytest.mark.slow
def test_an_associations_own_backgrounds_win_and_say_so(as_paths, tmp_path, write_exposure, caplog):
    path = write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    other = write_exposure("c_rate.fits", full(50))
    with bkgflow.subtract(path, [other]) as result:
        np.testing.assert_array_equal(result.data, 90)
    assert "not bkg_list" in caplog.text


def test_an_association_of_several_products_is_for_a_run(as_paths, tmp_path):
    products = [("p", "t_rate.fits", []), ("q", "b_rate.fits", [])]
    path = write_association(tmp_path / "x_asn.json", products)
    with pytest.raises(AssociationError, match=r"one product.*2 products.*bkgflow run"):
        bkgflow.subtract(path)


@pytest.mark.slow
def test_relative_paths(as_paths, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    with bkgflow.subtract("t_rate.fits", "below/../b_rate.fits") as result:
        np.testing.assert_array_equal(result.data, 90)
    assert subtract_to_file("t_rate.fits", ["b_rate.fits"]) == Path("t_bsub.fits")
    assert (tmp_path / "t_bsub.fits").exists()


@pytest.mark.slow
def test_names_that_are_not_ascii(as_paths, tmp_path):
    folder = tmp_path / "Fläche — 天"
    folder.mkdir()
    target, background = folder / "ñandú_rate.fits", folder / "Hintergrund–ß_rate.fits"
    as_paths[0].rename(target)
    as_paths[1].rename(background)
    product = subtract_to_file(target, [background], folder, save_combined_background=True)
    assert product == folder / "ñandú_bsub.fits"
    assert (folder / "ñandú_combinedbackground.fits").exists()
    with datamodels.open(product) as model:
        np.testing.assert_array_equal(model.data, 90)
        assert list(model.meta.bkgflow.backgrounds) == [background.name]
    assert fits.getheader(product)["FILENAME"] == "_and__bsub.fits"
    path = write_association(folder / "x_asn.json", [("p", target.name, [background.name])])
    result = bkgflow.run(bkgflow.plan(path, folder / "Ausgänge"), cluster="threads")
    assert [written.name for written in result.products] == ["ñandú_bsub.fits"]


@pytest.mark.slow
def test_gzip(as_paths, tmp_path):
    packed = []
    for path in as_paths:
        packed.append(path.with_name(path.name + ".gz"))
        with path.open("rb") as plain, gzip.open(packed[-1], "wb") as out:
            shutil.copyfileobj(plain, out)
        path.unlink()
    product = subtract_to_file(*packed, tmp_path / "out")
    assert product.name == "t_bsub.fits"
    with datamodels.open(product) as model:
        np.testing.assert_array_equal(model.data, 90)


# What comes out.


def everything(model):
    """All values and arrays of a model, as they are now."""
    return {name: np.array(value) for name, value in model.to_flat_dict().items()}


@pytest.mark.parametrize("kind", ["ImageModel", "CubeModel", "IFUImageModel", "SlitModel"])
@pytest.mark.parametrize("as_file", [False, True])
def test_the_result_is_a_new_model_of_the_same_type(kind, as_file, tmp_path):
    shape = (3, 6, 6) if kind == "CubeModel" else (6, 6)
    options = {"kind": kind, "exp_type": "NRS_IFU", "instrument": "NIRSPEC", "gwa": (0.1, 0.2)}
    target = make_model(full(100, *shape), dq=2, **options)
    target.var_rnoise = full(4, *shape)
    background = make_model(full(10, *shape), dq=8, **options)
    before = everything(target), everything(background)
    if as_file:
        target.save(str(tmp_path / "t.fits"))
        content = (tmp_path / "t.fits").read_bytes()
        result = bkgflow.subtract(tmp_path / "t.fits", [background], propagate_errors=True)
        assert (tmp_path / "t.fits").read_bytes() == content
    else:
        result = bkgflow.subtract(target, [background], propagate_errors=True)
        assert result is not target
        for layer in ("data", "err", "dq", "var_rnoise"):
            assert not np.shares_memory(getattr(result, layer), getattr(target, layer))
        for model, old in zip((target, background), before, strict=True):
            np.testing.assert_equal(everything(model), old)
    assert type(result) is getattr(datamodels, kind)
    np.testing.assert_array_equal(result.data, 90)
    np.testing.assert_array_equal(result.dq, 10)
    assert result.dq.dtype == np.uint32
    n = 3 if kind == "CubeModel" else 1
    np.testing.assert_allclose(result.var_rnoise, 4 + 0.25 / n, rtol=1e-6)
    np.testing.assert_allclose(result.err, np.hypot(0.5, 0.5 / np.sqrt(n)), rtol=1e-6)
    result.close()


def test_the_target_is_unchanged_when_the_call_fails(tmp_path):
    target, before = make_model(full(100)), None
    before = everything(target)
    nothing = make_model(full(np.nan))
    with pytest.raises(BackgroundError):
        bkgflow.subtract(target, [nothing])
    np.testing.assert_equal(everything(target), before)


@pytest.mark.slow
def test_err_and_variances_stay_unless_errors_are_propagated():
    target = make_model(full(100), err=3.0)
    backgrounds = [make_model(full(10), err=8.0) for _ in range(4)]
    np.testing.assert_array_equal(bkgflow.subtract(target, backgrounds).err, 3)
    grown = bkgflow.subtract(target, backgrounds, propagate_errors=True)
    np.testing.assert_allclose(grown.err, 5, rtol=1e-6)


def test_pixels_without_a_background_keep_value_and_error(caplog):
    sci = full(10)
    sci[2, 3] = np.nan
    target = make_model(full(100), err=3.0)
    result = bkgflow.subtract(target, [make_model(sci, err=4.0, dq=1)], propagate_errors=True)
    assert (result.data[2, 3], result.err[2, 3]) == (100, 3)
    assert (np.delete(result.data.ravel(), 15) == 90).all()
    assert (np.delete(result.err.ravel(), 15) == 5).all()
    np.testing.assert_array_equal(result.dq, 1)
    assert result.meta.bkgflow.unsubtracted_pixels == 1
    assert "1 pixel has no valid background and is valid in the target" in caplog.text


@pytest.mark.slow
def test_an_image_from_a_cube_and_a_cube_from_an_image():
    ramp = np.arange(3, dtype=np.float32)[:, None, None]
    image, cube = make_model(full(10)), make_model(full(100, 3, 6, 6) + ramp)
    from_cube = bkgflow.subtract(image, [cube])
    assert type(from_cube).__name__ == "ImageModel"
    np.testing.assert_array_equal(from_cube.data, -91)
    from_image = bkgflow.subtract(cube, [image])
    assert type(from_image).__name__ == "CubeModel"
    np.testing.assert_array_equal(from_image.data, np.broadcast_to(90 + ramp, (3, 6, 6)))
    both = bkgflow.subtract(cube, [image, make_model(full(30, 2, 6, 6))])
    np.testing.assert_array_equal(both.data, np.broadcast_to(80 + ramp, (3, 6, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("backgrounds", [None, [], "", ",", ()])
def test_no_background_is_skipped_with_its_reason(backgrounds, as_paths, caplog):
    target = make_model(full(100), dq=4)
    result = bkgflow.subtract(target, backgrounds)
    assert status(result) == "SKIPPED"
    assert "no background" in result.meta.bkgflow.reason
    assert "SKIPPED no background" in caplog.text
    np.testing.assert_array_equal(result.data, 100)
    np.testing.assert_array_equal(result.dq, 4)
    assert status(target) is None


@pytest.mark.slow
def test_a_grating_wheel_that_moved_is_skipped_with_both_tilts():
    target = make_model(full(100), gwa=(0.1, 0.2), **NIRSPEC)
    good, moved = (make_model(full(10), gwa=(tilt, 0.2), **NIRSPEC) for tilt in (0.1, 0.1 + 2e-8))
    moved.meta.filename = "moved_rate.fits"
    result = bkgflow.subtract(target, [good, moved])
    assert status(result) == "SKIPPED"
    for word in ("GWA_XTIL", "0.1, 0.2 in the target", "0.10000002", "moved_rate.fits"):
        assert word in result.meta.bkgflow.reason
    np.testing.assert_array_equal(result.data, 100)
    close = make_model(full(10), gwa=(0.1 + 5e-9, 0.2), **NIRSPEC)
    assert status(bkgflow.subtract(target, [good, close])) == "COMPLETE"


@pytest.mark.slow
def test_what_was_done_is_in_the_product(as_paths, tmp_path):
    far = make_model(full(1), corner=(500, 500))
    far.meta.filename = "far_rate.fits"
    result = bkgflow.subtract(as_paths[0], [as_paths[1], far], sigma=2.5, maxiters=4)
    path = tmp_path / "product.fits"
    result.save(str(path))
    result.close()
    with datamodels.open(path) as model:
        record = model.meta.bkgflow.instance
        assert record["state"] == status(model) == "COMPLETE"
        assert record["version"] == bkgflow.__version__
        assert record["backgrounds"] == ["b_rate.fits"]
        assert record["settings"] == {
            "sigma": 2.5,
            "maxiters": 4,
            "save_combined_background": False,
            "propagate_errors": False,
        }
        assert len(record["key"]) == 32
        assert "far_rate.fits" in record["notes"][0]
    with fits.open(path) as units:
        assert units[0].header["S_BKDSUB"] == "COMPLETE"
        history = " ".join(units[0].header["HISTORY"])
    for word in ("COMPLETE", "b_rate.fits", "sigma=2.5", "maxiters=4", "does not overlap"):
        assert word in history
    assert record["key"] in history.replace(" ", "")


def test_skipping_is_in_the_product_too(as_paths, tmp_path):
    product = subtract_to_file(as_paths[0], None, tmp_path / "out")
    with fits.open(product) as units, fits.open(as_paths[0]) as before:
        assert units[0].header["S_BKDSUB"] == "SKIPPED"
        assert "no background" in " ".join(units[0].header["HISTORY"])
        for layer in ("SCI", "ERR", "DQ"):
            np.testing.assert_array_equal(units[layer].data, before[layer].data)


@pytest.mark.slow
def test_the_combined_background_goes_to_the_output_folder(tmp_path):
    target = make_model(full(100), corner=(5, 7))
    target.meta.filename = "jw1_rate.fits"
    background = make_model(full(10), dq=4, corner=(5, 7))
    result = bkgflow.subtract(
        target, [background], save_combined_background=True, output_dir=tmp_path / "new"
    )
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["jw1_combinedbackground.fits"]
    with datamodels.open(tmp_path / "new" / "jw1_combinedbackground.fits") as combined:
        np.testing.assert_array_equal(combined.data, 10)
        np.testing.assert_array_equal(combined.err, 0.5)
        np.testing.assert_array_equal(combined.dq, 4)
        assert (combined.meta.subarray.xstart, combined.meta.subarray.ystart) == (5, 7)
        assert status(combined) is None
    assert status(result) == "COMPLETE"


@pytest.mark.slow
def test_a_combined_background_is_nan_where_there_is_none(tmp_path):
    sci = full(10)
    sci[2, 3] = np.nan
    target = make_model(full(100))
    target.meta.filename = "jw1_rate.fits"
    background = make_model(sci, err=4.0, dq=1)
    bkgflow.subtract(target, [background], save_combined_background=True, output_dir=tmp_path)
    with datamodels.open(tmp_path / "jw1_combinedbackground.fits") as combined:
        np.testing.assert_array_equal(np.argwhere(np.isnan(combined.data)), [[2, 3]])
        np.testing.assert_array_equal(np.isnan(combined.err), np.isnan(combined.data))
        np.testing.assert_array_equal(combined.dq, 1)


@pytest.mark.slow
def test_slit_cut_outs_lie_where_their_slits_are(write_exposure):
    """Peer: takes them for windows of the frame's corner, and the pixels do not match."""
    paths = []
    for name, first, sci in (("t", 3, full(100)), ("b", 4, full(10))):
        path = write_exposure(f"{name}_rate.fits", sci, corner=(11, 21))
        with fits.open(path, mode="update") as units:
            header = units["SCI"].header
            header["SLTSTRT1"], header["SLTSTRT2"] = first, 1
            header["SLTSIZE1"], header["SLTSIZE2"] = sci.shape[1], sci.shape[0]
        paths.append(path)
    assert bkgflow.open_exposure(paths[1]).x.values[0] == 10 + 3
    result = bkgflow.subtract(paths[0], paths[1:])
    assert (result.data[:, 0] == 100).all()
    assert (result.data[:, 1:] == 90).all()


def test_nothing_is_saved_when_nothing_was_combined(tmp_path):
    result = bkgflow.subtract(
        make_model(full(1)), [], save_combined_background=True, output_dir=tmp_path / "new"
    )
    assert status(result) == "SKIPPED"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("jw1_nrca1_rate.fits", "jw1_nrca1_bsub.fits"),
        ("jw1_nrs1_assign_wcs.fits", "jw1_nrs1_bsub.fits"),
        ("nosuffix.fits", "nosuffix_bsub.fits"),
        ("jw1_mirimage_rateints.fits", "jw1_mirimage_bsubints.fits"),
    ],
)
def test_products_are_named_as_the_pipeline_names_them(name, product, write_exposure, tmp_path):
    shape = (2, 6, 6) if "ints" in name else (6, 6)
    path = write_exposure(name, full(100, *shape))
    written = subtract_to_file(path, [make_model(full(10))], tmp_path / "out")
    assert written == tmp_path / "out" / product
    assert [each.name for each in (tmp_path / "out").iterdir()] == [product]
    with datamodels.open(written) as model:
        assert model.meta.filename == product


# What is refused. Each error says which file, which rule, what was found, and the cure.


def refused(kind, file, words, *arguments, **options):
    """Check that a call is refused, and that all four parts of the message are there."""
    with pytest.raises(bkgflow.BkgflowError) as caught:
        bkgflow.subtract(*arguments, **options)
    error = caught.value
    assert type(error) is kind
    assert (None if error.file is None else Path(error.file).name) == file
    for word in words:
        assert word in f"{error.rule} | {error.value}"
    assert error.value
    assert error.cure
    assert str(error).endswith(f"{error.cure}.")
    return error


def drop(path, name):
    with fits.open(path, mode="update") as units:
        del units[name]
    return path


def cut(path):
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size // 2)
    return path


BAD_FILES = {
    "missing": (lambda p: p, FileError, ["No such file"]),
    "a folder": (lambda p: p.mkdir() or p, FileError, ["directory"]),
    "empty": (lambda p: p.touch() or p, FileError, ["empty"]),
    "text": (lambda p: p.write_text("hello " * 999) and p, FileError, ["FITS"]),
    "truncated": (lambda p: cut(write_fits(p, full(1, 60, 60))), FileError, ["bytes of"]),
    "no SCI": (lambda p: drop(write_fits(p, full(1)), "SCI"), FileError, ["no SCI among"]),
    "other DQ": (
        lambda p: write_fits(p, full(1), dq=np.zeros((6, 7), np.uint32)),
        ShapeError,
        ["SCI (6, 6), DQ (6, 7)"],
    ),
    "SUBSIZE": (
        lambda p: write_fits(p, full(1), SUBSIZE1=7),
        ShapeError,
        ["SUBSIZE", "6×7", "6×6"],
    ),
    "no SUBSTRT": (
        lambda p: write_fits(p, full(1), SUBSTRT1=None),
        WindowError,
        ["no SUBSTRT1", "6×6"],
    ),
}


@pytest.mark.parametrize("what", BAD_FILES)
@pytest.mark.parametrize("role", ["target", "background"])
def test_bad_files(what, role, tmp_path):
    make, kind, words = BAD_FILES[what]
    bad, good = make(tmp_path / "bad_rate.fits"), make_model(full(10))
    target, backgrounds = (bad, [good]) if role == "target" else (good, [good.copy(), bad])
    refused(kind, "bad_rate.fits", words, target, backgrounds)


def test_bad_models():
    good = make_model(full(10))
    model = make_model(full(10))
    model.meta.filename = "m_rate.fits"
    model.dq = np.zeros((5, 6), np.uint32)
    refused(ShapeError, "m_rate.fits", ["SCI (6, 6)", "DQ (5, 6)"], model, [good])
    refused(ShapeError, "background 1 (m_rate.fits)", ["DQ (5, 6)"], good, [model])
    lost = make_model(full(10), corner=None)
    refused(WindowError, "target", ["no SUBSTRT1"], lost, [good])
    lost.meta.subarray.xstart, lost.meta.subarray.ystart = 1, 1
    lost.meta.subarray.xsize, lost.meta.subarray.ysize = 6, 5
    refused(ShapeError, "target", ["5×6"], lost, [good])
    refused(FileError, "target", ["no SCI in the MultiSlitModel"], datamodels.MultiSlitModel(), [])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_backgrounds_without_any_value(bad, write_exposure):
    path = write_exposure("nan_rate.fits", full(bad))
    refused(
        BackgroundError,
        "nan_rate.fits",
        ["valid background", "every pixel of nan_rate.fits in x 1–6, y 1–6 is NaN or infinite"],
        make_model(full(1)),
        [path],
    )


def test_no_overlap(write_exposure):
    target = write_exposure("t_rate.fits", full(1), corner=(1, 1))
    far = write_exposure("far_rate.fits", full(1), corner=(7, 1))
    words = ["overlap the target", "target: x 1–6, y 1–6", "far_rate.fits: x 7–12, y 1–6"]
    refused(BackgroundError, "t_rate.fits", words, target, [far])


@pytest.mark.parametrize("missing", ["target", "background"])
@pytest.mark.parametrize("tilt", [(None, 0.1), (0.1, None), (np.nan, 0.1), (0.1, np.nan)])
def test_no_tilt(missing, tilt, write_exposure):
    """Neither missing nor NaN; a file's NaN cannot be written, so models stand for both."""
    good = make_model(full(10), gwa=(0.1, 0.1), **NIRSPEC)
    bad = make_model(full(10), gwa=tilt, **NIRSPEC)
    bad.meta.filename = "bad_rate.fits"
    keyword = "GWA_YTIL" if tilt[0] == 0.1 else "GWA_XTIL"
    value = "missing" if None in tilt else "nan"
    pair = (bad, [good]) if missing == "target" else (good, [bad])
    file = "bad_rate.fits" if missing == "target" else "background 1 (bad_rate.fits)"
    refused(MetadataError, file, [keyword, value], *pair)


def test_no_tilt_in_a_file(write_exposure):
    target = write_exposure("t_rate.fits", full(10), gwa=(0.1, 0.1), **NIRSPEC)
    bad = write_exposure("b_rate.fits", full(10), gwa=(0.1, None), **NIRSPEC)
    refused(MetadataError, "b_rate.fits", ["GWA_YTIL", "missing"], target, [bad])


def test_a_target_among_its_backgrounds(as_paths, tmp_path, monkeypatch):
    target, background = as_paths
    link = tmp_path / "link_rate.fits"
    link.symlink_to(target)
    monkeypatch.chdir(tmp_path)
    for same in (target, "t_rate.fits", f"../{tmp_path.name}/t_rate.fits", link):
        error = refused(BackgroundError, "t_rate.fits", ["own"], target, [background, same])
        assert "Remove it" in error.cure
    model = make_model(full(1))
    refused(BackgroundError, "target", ["own background"], model, [background, model])


def test_a_background_by_two_names_counts_once(as_paths, tmp_path):
    target, background = as_paths
    link = tmp_path / "link_rate.fits"
    link.symlink_to(background)
    result = bkgflow.subtract(target, [background, link], propagate_errors=True)
    np.testing.assert_allclose(result.err, np.hypot(0.5, 0.5), rtol=1e-6)
    assert (
        "1 repeated background left out: each exposure must count once"
        in result.meta.bkgflow.notes[0]
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", ["JSON", "line 1"]),
        (b"\x80\x81", ["text", "UTF-8"]),
        (b"{}", ["products"]),
        (b'{"products": []}', ["products"]),
        (b'{"products": [{"members": []}]}', ["exactly one science", "none"]),
    ],
)
def test_bad_associations(content, words, tmp_path):
    path = tmp_path / "x_asn.json"
    path.write_bytes(content)
    refused(AssociationError, "x_asn.json", words, path)


@pytest.mark.parametrize(
    ("science", "backgrounds", "extra", "words"),
    [
        ("a.fits", [], [("b.fits", "science")], ["exactly one science", "2: a.fits, b.fits"]),
        ("a.fits", ["a.fits"], [], ["own backgrounds", "a.fits"]),
    ],
)
def test_associations_with_bad_members(science, backgrounds, extra, words, tmp_path):
    path = write_association(tmp_path / "x_asn.json", [("p", science, backgrounds)], extra)
    refused(AssociationError, "x_asn.json", words, path)


def test_a_missing_association(tmp_path):
    refused(AssociationError, "no_asn.json", ["No such file"], tmp_path / "no_asn.json")


@pytest.mark.parametrize("where", ["output_dir", "to file"])
def test_an_output_folder_that_cannot_be_written(where, as_paths, tmp_path):
    below_a_file = as_paths[0] / "out"
    with pytest.raises(OutputError, match=r"output folder \(found: Not a directory\)") as caught:
        if where == "to file":
            subtract_to_file(*as_paths, below_a_file)
        else:
            options = {"save_combined_background": True, "output_dir": below_a_file}
            bkgflow.subtract(*as_paths, **options)
    assert caught.value.file == str(below_a_file)
    assert caught.value.cure


def test_a_product_is_not_written_over_its_input(write_exposure, tmp_path):
    target = write_exposure("t_bsub.fits", full(100))
    before = target.read_bytes()
    with pytest.raises(ConflictError, match="written over an exposure"):
        subtract_to_file(target, [make_model(full(10))], tmp_path)
    assert target.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t_bsub.fits"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sigma": 0}, ["sigma", "greater than 0", "sigma=0"]),
        ({"sigma": -3}, ["sigma", "greater than 0", "sigma=-3"]),
        ({"sigma": np.nan}, ["sigma", "finite", "nan"]),
        ({"maxiters": -1}, ["maxiters", "greater than or equal to 0", "maxiters=-1"]),
        ({"sgima": 3}, ["sgima", "not an argument"]),
    ],
)
def test_bad_arguments(arguments, words, as_paths):
    refused(SettingsError, None, words, *as_paths, **arguments)


@pytest.mark.parametrize("thing", [3, None, b"t.fits", np.ones((6, 6)), {"b.fits"}])
def test_things_that_are_no_exposures(thing):
    good = make_model(full(10))
    refused(UsageError, None, ["paths or JWST data models", type(thing).__name__], thing, [good])
    refused(UsageError, None, ["paths or JWST data models"], good, [good.copy(), thing])


@pytest.mark.parametrize("exp_type", ["NIS_WFSS", "NRC_WFSS", "MIR_WFSS", "NIS_SOSS"])
def test_exposures_that_need_a_reference_nobody_named(exp_type, monkeypatch):
    for name in ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    target = make_model(full(10), exp_type=exp_type, instrument="NIRISS")
    with pytest.raises(bkgflow.BkgflowError, match=r"CRDS.*references") as caught:
        bkgflow.subtract(target)
    assert caught.value.cure


@pytest.mark.parametrize("exp_type", ["NIS_WFSS", "NRC_WFSS", "MIR_WFSS", "NIS_SOSS"])
def test_a_reference_that_is_not_applicable_is_skipped(exp_type):
    target = make_model(full(10), exp_type=exp_type, instrument="NIRISS")
    with bkgflow.subtract(target, override_bkg="N/A") as result:
        assert status(result) == "SKIPPED"
        assert "N/A" in result.meta.bkgflow.instance["reason"]
        np.testing.assert_array_equal(result.data, target.data)


def test_a_plan_replaces_nothing_that_it_is_made_of(tmp_path):
    for name in ("t_rate.fits", "b_rate.fits"):
        make_model(np.ones((4, 4))).save(str(tmp_path / name))
    write_association(tmp_path / "x_asn.json", [("p", "t_rate.fits", ["b_rate.fits"])])
    plan = bkgflow.plan(tmp_path, tmp_path / "out")
    for path in tmp_path.iterdir():
        before = path.read_bytes()
        with pytest.raises(OutputError, match="must not replace what it is made of"):
            plan.save(path)
        assert path.read_bytes() == before
    plan.save(tmp_path / "plan.json")
