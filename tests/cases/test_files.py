"""FITS as people write it: read as the peer reads it, or refused with a clear word."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from astropy.io import fits
from jwst.background.background_sub import background_sub
from stdatamodels.jwst import datamodels

import bkgflow
from bkgflow import api
from bkgflow.detector import Window
from bkgflow.errors import FileError, InputError
from bkgflow.io.references.skies import read_templates
from bkgflow.verdict import State
from tests.helpers.exposures import make_model, write_association
from tests.helpers.fits_habits import HABITS
from tests.helpers.products import lasting

SHAPE = (24, 32)
BACKGROUNDS = 3

AS_IT_WAS = {
    "another version of each extension",
    "a second sci",
    "extensions without a name",
    "a card without a value",
    "no err",
    "no dq",
    "sci alone",
}
"""What the peer crashes on, or mixes up: the result must be that of the file as it was, but for
what the file does not have."""


def exposures(folder, habit="as it was", suffix=".fits"):
    """Write a target and its backgrounds as a habit has it; return their paths."""
    random, paths = np.random.default_rng(7), []
    for i in range(1 + BACKGROUNDS):
        sci = random.integers(10, 90, SHAPE).astype("f4")
        dq = random.integers(0, 5, SHAPE)
        path = folder / f"jw0{i}_rate{suffix}"
        with make_model(sci, random.uniform(0.5, 2, SHAPE), dq) as model:
            model.var_poisson = np.full(SHAPE, 0.25, "f4")
            model.meta.target.catalog_name = "M 31"
            model.meta.cal_step.dq_init = "COMPLETE"
            model.save(str(path.with_suffix(".fits")))
        with fits.open(path.with_suffix(".fits"), memmap=False) as hdus:
            raw = HABITS[habit](hdus)
        path.with_suffix(".fits").unlink()
        path.write_bytes(raw)
        paths.append(path)
    return paths


def peers(paths, product):
    """Do the same by the peer."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with datamodels.open(str(paths[0])) as target:
            _, result = background_sub(target, list(map(str, paths[1:])), 3.0, None)
            result.meta.cal_step.bkg_subtract = "COMPLETE"
            result.save(str(product))
    return product


def own(flat):
    """What a product says of the exposure, not of how it was made."""
    names = ("meta.bkgflow", "history", "meta.model_type")
    return {key: value for key, value in lasting(flat).items() if not key.startswith(names)}


def assert_equal(ours, theirs, *, everything=True, absent=()):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with datamodels.open(str(ours)) as one, datamodels.open(str(theirs)) as other:
            for name in {"data", "err", "dq", "var_poisson"}.difference(absent):
                found, wanted = (getattr(each, name) for each in (one, other))
                assert found.dtype == wanted.dtype
                np.testing.assert_allclose(found, wanted, rtol=1e-6, err_msg=name)
            if everything:
                flat, expected = (
                    own(each.to_flat_dict(include_arrays=False)) for each in (one, other)
                )
                assert flat == expected


@pytest.mark.slow
@pytest.mark.parametrize("habit", HABITS)
def test_a_file_that_the_peer_reads_has_the_peers_result(tmp_path, habit):
    paths = exposures(tmp_path, habit)
    product = api.subtract_to_file(paths[0], list(map(str, paths[1:])), tmp_path / "out")
    known = habit not in AS_IT_WAS
    everything = known and habit != "checksums"  # which the peer leaves as they were
    (tmp_path / "plain").mkdir()
    given = paths if known else exposures(tmp_path / "plain")
    absent = {"sci alone": ("err", "dq", "var_poisson"), "no err": ("err",), "no dq": ("dq",)}
    missing = absent.get(habit, ())
    assert_equal(
        product, peers(given, tmp_path / "peer.fits"), everything=everything, absent=missing
    )
    with bkgflow.subtract(paths[0], list(map(str, paths[1:]))) as model:
        model.save(str(tmp_path / "model.fits"))
    everything = habit != "checksums"  # a file keeps those of what did not change
    assert_equal(tmp_path / "model.fits", product, everything=everything, absent=missing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of checksums, among others
        with fits.open(product, checksum=True) as hdus:
            hdus.verify("exception")


@pytest.mark.slow
def test_a_file_whose_bytes_do_not_fit_its_checksum_names_the_extension(tmp_path):
    """As target, as background; and what was changed on purpose has its sums renewed."""
    paths = exposures(tmp_path, "checksums")
    for bad, names in ((0, "DQ"), (2, "SCI")):
        raw = paths[bad].read_bytes()
        with fits.open(paths[bad]) as hdus:
            place = hdus[names].fileinfo()["datLoc"] + 100
        paths[bad].write_bytes(raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :])
        with pytest.raises(FileError, match=f"extension {names}: DATASUM") as caught:
            api.subtract_to_file(paths[0], list(map(str, paths[1:])), tmp_path / "out")
        assert caught.value.file == str(paths[bad])
        with pytest.raises(FileError, match=f"extension {names}: DATASUM"):
            bkgflow.subtract(paths[0], list(map(str, paths[1:])))
        paths[bad].write_bytes(raw)
    assert list((tmp_path / "out").glob("*")) == []
    assert api.subtract_to_file(paths[0], list(map(str, paths[1:])), tmp_path / "out").exists()


@pytest.mark.slow
def test_a_header_that_was_changed_after_its_checksum_is_seen(tmp_path):
    paths = exposures(tmp_path, "checksums")
    raw = paths[0].read_bytes()
    paths[0].write_bytes(raw.replace(b"'M 31    '", b"'M 33    '", 1))
    with pytest.raises(FileError, match="extension PRIMARY: CHECKSUM"):
        bkgflow.subtract(paths[0], str(paths[1]))


@pytest.mark.slow
def test_a_reference_is_added_up_too(tmp_path):
    path = exposures(tmp_path, "checksums")[0]
    raw = bytearray(path.read_bytes())
    with fits.open(path) as hdus:
        raw[hdus["SCI"].fileinfo()["datLoc"]] ^= 1
    path.write_bytes(raw)
    with pytest.raises(FileError, match="extension SCI: DATASUM"):
        read_templates(path, Window(0, 0, *SHAPE[::-1]), instrument="MIRI")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["t_rate.fit", "t_rate.FITS", "t_rate.fts", "t.fits.gz", "t_rate.dat"]
)
def test_what_a_file_is_called_does_not_matter(tmp_path, name):
    paths = exposures(tmp_path)
    target = paths[0].rename(tmp_path / name)
    product = api.subtract_to_file(target, str(paths[1]), tmp_path / "out")
    assert product.name == ("t_rate.dat_bsub.fits" if name.endswith("dat") else "t_bsub.fits")
    with datamodels.open(product) as model:
        assert model.meta.cal_step.bkg_subtract == "COMPLETE"


@pytest.mark.slow
def test_a_link_is_read_and_stays_a_link(tmp_path):
    paths = exposures(tmp_path)
    link = tmp_path / "elsewhere" / "l_rate.fits"
    link.parent.mkdir()
    link.symlink_to(paths[0])
    product = api.subtract_to_file(link, str(paths[1]), tmp_path / "out")
    assert product.name == "l_bsub.fits"
    assert link.is_symlink()


@pytest.mark.slow
def test_extra_extensions_are_copied_untouched(tmp_path):
    for habit in ("extra extensions", "extensions without a name"):
        paths = exposures(tmp_path, habit)
        product = api.subtract_to_file(paths[0], str(paths[1]), tmp_path / habit)
        with fits.open(paths[0]) as hdus, fits.open(product) as made:
            known = {"PRIMARY", "SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "ASDF"}
            extra = [each for each in hdus if each.name not in known]
            kept = [each for each in made if each.name not in known]
            assert len(extra) == len(kept) == 2
            for one, other in zip(extra, kept, strict=True):
                assert bytes_of(paths[0], one) == bytes_of(product, other)
        with datamodels.open(product) as model:
            assert model.meta.target.catalog_name == "M 31"


def bytes_of(path, hdu):
    info = hdu.fileinfo()
    return path.read_bytes()[info["hdrLoc"] : info["datLoc"] + info["datSpan"]]


def with_bytes(old, new):
    """Replace some bytes once; they must be there."""

    def change(raw):
        assert old in raw
        return raw.replace(old, new, 1)

    return change


def swapped(raw):
    """NAXIS before BITPIX in the header of SCI."""
    start = raw.index(b"XTENSION") + 80
    first, second = raw[start : start + 80], raw[start + 80 : start + 160]
    return raw[:start] + second + first + raw[start + 160 :]


def number(keyword, old, new):
    """Replace the value of a card; astropy writes whole numbers to column 30."""
    return with_bytes(b"%-8s= %20d" % (keyword, old), b"%-8s= %20d" % (keyword, new))


NAME, TRUTH, END = b"TARGNAME= 'M 31    '", b"EXTEND  = %20s", b"END"

REFUSED = {
    "a ramp": (bytes, "not a ramp"),
    "a small letter in a keyword": (with_bytes(NAME, b"t" + NAME[1:]), "tARGNAME"),
    "another alphabet": (with_bytes(NAME, NAME.replace(b"31", b"\xe9\xe8")), "TARGNAME"),
    "a bell": (with_bytes(NAME, NAME.replace(b"31", b"3\a")), "TARGNAME"),
    "a truth that is none": (with_bytes(TRUTH % b"T", TRUTH % b"true"), "EXTEND"),
    "no value that FITS knows": (with_bytes(NAME, NAME.replace(b"'", b" ")), "TARGNAME"),
    "zero bytes behind END": (
        with_bytes(END + b" " * 77, END + bytes(77)),
        "END and zero bytes",
    ),
    "a byte behind END": (
        with_bytes(END + b" " * 79, END + b" " * 78 + b"x"),
        "END and other bytes",
    ),
    "an END that is none": (with_bytes(END + b" " * 77, b"EMD" + b" " * 77), ""),
    "more behind END": (with_bytes(END + b" " * 77, END + b" " * 76 + b"x"), "END and other bytes"),
    "bytes behind its end": (lambda raw: raw + b"and more" * 100, "begins an extension"),
    "its last block cut": (lambda raw: raw[:-100], "must hold all of its extension ASDF"),
    "a million million columns": (number(b"TFIELDS", 1, 10**12), "TFIELDS must be"),
    "fewer columns than none": (number(b"TFIELDS", 1, -1), "TFIELDS must be"),
    "a million million axes": (number(b"NAXIS", 2, 10**12), "NAXIS"),
    "a million million groups": (number(b"GCOUNT", 1, 10**12), ""),
    "a million million bytes of heap": (number(b"PCOUNT", 0, 10**12), ""),
    "mandatory cards in another order": (swapped, "as the standard has them"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_exposure_is_refused_with_a_word(tmp_path, what):
    """As a target, and as a background of a program, whose other units go on."""
    spoil, word = REFUSED[what]
    paths = exposures(tmp_path)
    if what == "a ramp":
        with fits.open(paths[1], mode="update") as hdus:
            hdus["SCI"].data = np.zeros((2, 3, *SHAPE), "f4")
    paths[1].write_bytes(spoil(paths[1].read_bytes()))
    with pytest.raises(InputError, match=word) as caught:
        bkgflow.subtract(paths[1], str(paths[0]))
    assert caught.value.file == str(paths[1])
    names = [("good", paths[0].name, [paths[2].name]), ("bad", paths[3].name, [paths[1].name])]
    association = write_association(tmp_path / "p_asn.json", names)
    result = bkgflow.run(bkgflow.plan(association, tmp_path / "out"), "threads")
    good, bad = result.verdicts
    assert (good.state, bad.state) == (State.COMPLETE, State.QUARANTINED)
    assert bad.error.file == str(paths[1])


@pytest.mark.slow
def test_a_background_without_err_is_refused_where_its_errors_are_wanted(tmp_path):
    paths = exposures(tmp_path, "no err")
    with pytest.raises(FileError, match="must have ERR"):
        bkgflow.subtract(paths[0], str(paths[1]), propagate_errors=True)


@pytest.mark.slow
def test_a_product_says_that_there_was_no_dq(tmp_path):
    paths = exposures(tmp_path, "no dq")
    with bkgflow.subtract(paths[0], str(paths[1])) as model:
        assert f"{paths[1].name} has no DQ: all of its pixels count as good" in list(
            model.meta.bkgflow.notes
        )


@pytest.mark.slow
def test_a_model_without_dq_is_an_exposure(tmp_path):
    paths = exposures(tmp_path)
    with datamodels.open(paths[0]) as target, datamodels.open(paths[1]) as background:
        target.dq = None
        target.extra_fits = {"PRIMARY": {"header": [["CHECKSUM", "old", ""], ["MINE", 1, ""]]}}
        with bkgflow.subtract(target, [background]) as product:
            np.testing.assert_array_equal(product.dq, background.dq)
            assert product.extra_fits.PRIMARY.header == [["MINE", 1, ""]]
