"""Reference files: named ones, a folder's, and CRDS's out of a cache on disk."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asdf
import numpy as np
import pytest
from astropy.io import fits
from stdatamodels.jwst import datamodels

from bkgflow.errors import PlanError, ReferenceFileError, UsageError
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.exposures.from_model import model_facts
from bkgflow.io.references.find import find_reference
from bkgflow.io.references.folder import ReferenceFolder
from bkgflow.io.storage.location import Location
from tests.helpers import crds_cache
from tests.helpers.exposures import make_model

NIRISS = {
    "INSTRUME": "NIRISS",
    "DETECTOR": "NIS",
    "EXP_TYPE": "NIS_WFSS",
    "FILTER": "GR150C",
    "PUPIL": "F115W",
    "DATE-OBS": "2024-06-01",
    "TIME-OBS": "12:00:00.000",
}

EVERYTHING = {
    "INSTRUME": "NIRISS",
    "DETECTOR": "NIS",
    "EXP_TYPE": "NIS_WFSS",
    "FILTER": "GR150C",
    "PUPIL": "F115W",
}


def write_fits(path: Path, **keywords: str) -> Path:
    header = fits.Header({name: value for name, value in keywords.items() if value is not None})
    hdus = [fits.PrimaryHDU(header=header), fits.ImageHDU(np.ones((4, 4), np.float32), name="SCI")]
    fits.HDUList(hdus).writeto(path)
    return path


def write_bkg(path: Path, **keywords: str) -> Path:
    return write_fits(path, **({"REFTYPE": "BKG"} | EVERYTHING | keywords))


def write_range(path: Path, exp_types: str = "NIS_WFSS|NIS_SOSS|") -> Path:
    """Write a wavelengthrange reference through its data model, as the observatory does."""
    with datamodels.WavelengthrangeModel(
        wavelengthrange=[[1, "F115W", 1.0, 1.3]],
        order=[1],
        waverange_selector=["F115W"],
        extract_orders=[["F115W", [1]]],
    ) as model:
        model.meta.instrument.name = "NIRISS"
        model.meta.exposure.type = "NIS_IMAGE"
        model.meta.exposure.p_exptype = exp_types
        model.meta.useafter = "2020-01-01T00:00:00"
        model.meta.author = model.meta.pedigree = model.meta.description = "DUMMY"
        model.save(str(path))
    return path


def names(reference: Any) -> list[str]:
    return [Path(path).name for path in reference.locations]


# Named files


def test_an_override_goes_before_the_folder(tmp_path: Path) -> None:
    write_bkg(tmp_path / "in_folder.fits")
    named = write_fits(tmp_path / "named.fits")
    found = find_reference("bkg", NIRISS, override=named, folder=ReferenceFolder(tmp_path))
    assert found.locations == (Location.of(named),)
    assert (found.origin, found.context, found.applicable) == ("override", "", True)
    assert found.identities[0].name == "named.fits"
    assert found.identities[0].size == named.stat().st_size


@pytest.mark.parametrize("as_list", [True, False])
def test_several_components_keep_their_order(tmp_path: Path, as_list: bool) -> None:
    paths = [write_fits(tmp_path / name) for name in ("b.fits", "a.fits")]
    override: Any = paths if as_list else f"{paths[0]}, {paths[1]},"
    found = find_reference("bkg", NIRISS, override=override)
    assert names(found) == ["b.fits", "a.fits"]


def test_a_relative_override_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fits(tmp_path / "a.fits")
    monkeypatch.chdir(tmp_path)
    found = find_reference("bkg", NIRISS, override="a.fits")
    assert found.locations == (Location.of(tmp_path / "a.fits"),)


@pytest.mark.parametrize("text", ["N/A", "n/a"])
def test_not_applicable_needs_no_file(text: str) -> None:
    found = find_reference("bkg", NIRISS, override=text)
    assert not found.applicable
    assert found.locations == found.identities == ()


@pytest.mark.parametrize(
    ("override", "says"),
    [("nowhere.fits", "no such file"), (".", "a folder"), ("", "''"), ("a.fits,N/A", "N/A")],
)
def test_a_wrong_override_is_refused(override: str, says: str) -> None:
    with pytest.raises(ReferenceFileError, match="bkg") as caught:
        find_reference("bkg", NIRISS, override=override)
    assert says in str(caught.value.value)
    assert "override_bkg" in str(caught.value)


# A folder


def test_the_folder_matches_by_keywords(tmp_path: Path) -> None:
    for filter_ in ("GR150C", "GR150R"):
        for pupil in ("F115W", "F200W"):
            write_bkg(tmp_path / f"{filter_}_{pupil}.fits", FILTER=filter_, PUPIL=pupil)
    write_range(tmp_path / "range.asdf")
    folder = ReferenceFolder(tmp_path)
    found = find_reference("bkg", NIRISS | {"PUPIL": "f200w"}, folder=folder)
    assert names(found) == ["GR150C_F200W.fits"]
    assert (found.origin, found.context) == ("folder", str(tmp_path))
    assert names(find_reference("wavelengthrange", NIRISS, folder=folder)) == ["range.asdf"]
    json.dumps(asdict(found))


@pytest.mark.parametrize("anything", ["ANY", "N/A", None])
def test_the_most_specific_file_wins(tmp_path: Path, anything: str | None) -> None:
    write_bkg(tmp_path / "a_general.fits", PUPIL=anything, USEAFTER="2024-01-01T00:00:00")
    write_bkg(tmp_path / "special.fits", USEAFTER="2020-01-01T00:00:00")
    folder = ReferenceFolder(tmp_path)
    assert folder.match("bkg", NIRISS).name == "special.fits"
    assert folder.match("BKG", NIRISS | {"PUPIL": "F150W"}).name == "a_general.fits"


def test_pattern_keywords_go_before_plain_ones(tmp_path: Path) -> None:
    path = tmp_path / "both.fits"
    write_bkg(path, P_PUPIL="F150W | F200W |", P_EXP_TY="NIS_WFSS|NIS_IMAGE|")
    folder = ReferenceFolder(tmp_path)
    assert folder.match("bkg", NIRISS | {"PUPIL": "F150W"}).path == path
    assert folder.match("bkg", NIRISS | {"PUPIL": "F200W", "EXP_TYPE": "NIS_IMAGE"}).path == path
    with pytest.raises(ReferenceFileError, match=r"fail at PUPIL"):
        folder.match("bkg", NIRISS)


@pytest.mark.parametrize(
    ("listed", "fits_others"),
    [("N/A", False), ("UNKNOWN|", False), ("ANY", True), ("F150W|ANY", True)],
)
def test_a_list_that_says_nothing_leaves_the_word_to_the_plain_keyword(
    tmp_path: Path, listed: str, fits_others: bool
) -> None:
    path = write_bkg(tmp_path / "a.fits", P_PUPIL=listed)
    folder = ReferenceFolder(tmp_path)
    assert folder.match("bkg", NIRISS).path == path
    other = NIRISS | {"PUPIL": "F150W"}
    if fits_others:
        assert folder.match("bkg", other).path == path
    else:
        with pytest.raises(ReferenceFileError, match="fail at PUPIL"):
            folder.match("bkg", other)


def test_a_list_may_name_exposures_without_a_value(tmp_path: Path) -> None:
    path = write_bkg(tmp_path / "a.fits", P_PUPIL="F150W|N/A|")
    folder = ReferenceFolder(tmp_path)
    assert folder.match("bkg", NIRISS | {"PUPIL": "N/A"}).path == path
    with pytest.raises(ReferenceFileError, match="fail at PUPIL"):
        folder.match("bkg", NIRISS)


def test_a_file_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    for pupil in ("F150W", "F200W"):  # both files are of one size
        path = write_bkg(tmp_path / "new", PUPIL=pupil).replace(tmp_path / "a.fits")
        assert ReferenceFolder(tmp_path).match("bkg", NIRISS | {"PUPIL": pupil}).path == path


def test_the_latest_file_not_after_the_exposure_wins(tmp_path: Path) -> None:
    write_bkg(tmp_path / "always.fits")
    for year in (2022, 2023, 2025):
        write_bkg(tmp_path / f"{year}.fits", USEAFTER=f"{year}-01-01T00:00:00")
    folder = ReferenceFolder(tmp_path)
    assert folder.match("bkg", NIRISS).name == "2023.fits"
    assert folder.match("bkg", NIRISS | {"DATE-OBS": "2025-01-01"}).name == "2025.fits"
    before = NIRISS | {"DATE-OBS": "2024-12-31", "TIME-OBS": "23:59:59.9"}
    assert folder.match("bkg", before).name == "2023.fits"
    assert folder.match("bkg", NIRISS | {"DATE-OBS": "2021-01-01"}).name == "always.fits"
    undated = {name: value for name, value in NIRISS.items() if name != "DATE-OBS"}
    assert folder.match("bkg", undated).name == "2025.fits"


def test_only_later_files_are_no_match(tmp_path: Path) -> None:
    write_bkg(tmp_path / "late.fits", USEAFTER="2025-01-01T00:00:00")
    with pytest.raises(ReferenceFileError, match=r"taken 2024-06-01 .*late.fits from 2025-01-01"):
        ReferenceFolder(tmp_path).match("bkg", NIRISS)


def test_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    write_bkg(tmp_path / "odd.fits", USEAFTER="last spring")
    with pytest.raises(ReferenceFileError, match=r"odd.fits: USEAFTER .*last spring"):
        ReferenceFolder(tmp_path).match("bkg", NIRISS)


def test_two_that_fit_equally_well_are_an_error(tmp_path: Path) -> None:
    for name in ("first.fits", "second.fits"):
        write_bkg(tmp_path / name, USEAFTER="2022-01-01T00:00:00")
    with pytest.raises(ReferenceFileError) as caught:
        ReferenceFolder(tmp_path).match("bkg", NIRISS)
    assert caught.value.value == "first.fits and second.fits fit equally well"
    assert "USEAFTER" in caught.value.cure


def test_nothing_that_fits_says_how_far_it_got(tmp_path: Path) -> None:
    write_bkg(tmp_path / "other_grism.fits", FILTER="GR150R")
    write_bkg(tmp_path / "other_instrument.fits", INSTRUME="NIRCAM")
    folder = ReferenceFolder(tmp_path)
    with pytest.raises(ReferenceFileError) as caught:
        folder.match("bkg", NIRISS)
    message = str(caught.value)
    assert "FILTER=GR150C, PUPIL=F115W" in message
    assert "2 of 2 reference files have REFTYPE BKG" in message
    assert "the closest, other_grism.fits (FILTER GR150R), fail at FILTER" in message
    with pytest.raises(ReferenceFileError, match="0 of 2 reference files have REFTYPE SPECWCS"):
        folder.match("specwcs", NIRISS)


def test_other_files_are_left_out_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_fits(tmp_path / "no_type.fits", **EVERYTHING)
    asdf.AsdfFile({"wavelengths": [1, 2]}).write_to(tmp_path / "no_meta.asdf")
    (tmp_path / "broken.fits").write_bytes(b"SIMPLE  = but no more")
    (tmp_path / "broken.asdf").write_bytes(b"nothing of the kind")
    (tmp_path / "notes.txt").write_text("REFTYPE = BKG")
    with caplog.at_level(logging.DEBUG, logger="bkgflow"):
        folder = ReferenceFolder(tmp_path)
    assert folder.entries == ()
    assert {
        (record.levelname, Path(str(record.args[0]).split(": ")[0]).name)
        for record in caplog.records
    } == {
        ("DEBUG", "no_type.fits"),
        ("DEBUG", "no_meta.asdf"),
        ("WARNING", "broken.fits"),
        ("WARNING", "broken.asdf"),
    }
    with pytest.raises(ReferenceFileError, match=r"not readable: broken\.asdf, broken\.fits"):
        folder.match("bkg", NIRISS)


def test_headers_are_read_once(tmp_path: Path) -> None:
    write_bkg(tmp_path / "a.fits")
    folder = ReferenceFolder(tmp_path)
    write_bkg(tmp_path / "b.fits")
    assert folder.match("bkg", NIRISS).name == "a.fits"


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere"):
        ReferenceFolder(tmp_path / "nowhere")
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UsageError, match="file"):
        ReferenceFolder(path)


def test_a_file_that_went_away_is_an_error(tmp_path: Path) -> None:
    path = write_bkg(tmp_path / "a.fits")
    folder = ReferenceFolder(tmp_path)
    path.unlink()
    with pytest.raises(ReferenceFileError, match="no such file"):
        find_reference("bkg", NIRISS, folder=folder)


# CRDS


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write a cache with one sky template and one wavelengthrange; make `crds` use it."""
    sources = tmp_path / "sources"
    sources.mkdir()
    bkg = [
        write_bkg(sources / f"jwst_niriss_bkg_{number:04d}.fits", AUTHOR=str(number))
        for number in (1, 2)
    ]
    waverange = write_range(sources / "jwst_niriss_wavelengthrange_0001.asdf")
    environment = crds_cache.write_cache(
        tmp_path / "crds",
        {
            "niriss": [
                (
                    ("NIS_WFSS", "NIS", "GR150C", "F115W"),
                    {"2022-01-01 00:00:00": bkg[0], "2024-01-01 00:00:00": bkg[1]},
                )
            ]
        },
        {"niriss": [(("NIS_WFSS",), {"2020-01-01 00:00:00": waverange})]},
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    crds_cache.forget()
    yield tmp_path / "crds"
    crds_cache.forget()


def test_crds_finds_both_references_in_its_cache(cache: Path) -> None:
    found = find_reference("bkg", NIRISS)
    folder = cache / "references" / "jwst" / "niriss"
    assert found.locations == (Location.of(folder / "jwst_niriss_bkg_0002.fits"),)
    assert (found.origin, found.context) == ("crds", "jwst_0001.pmap")
    assert found.identities[0].size == found.locations[0].path.stat().st_size
    assert names(find_reference("wavelengthrange", NIRISS)) == [
        "jwst_niriss_wavelengthrange_0001.asdf"
    ]


def test_crds_chooses_by_date(cache: Path) -> None:
    found = find_reference("bkg", NIRISS | {"DATE-OBS": "2023-12-31"})
    assert names(found) == ["jwst_niriss_bkg_0001.fits"]


def test_crds_may_say_that_none_is_needed(cache: Path) -> None:
    found = find_reference("bkg", NIRISS | {"EXP_TYPE": "NIS_IMAGE"})
    assert not found.applicable
    assert found.origin == "crds"


@pytest.mark.parametrize("other", [{"PUPIL": "F200W"}, {"DATE-OBS": "2021-01-01"}])
def test_crds_without_a_match_is_the_exposures_error(
    cache: Path, other: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ReferenceFileError) as caught:
        find_reference("bkg", NIRISS | other)
    message = str(caught.value)
    assert "jwst_0001.pmap" in message
    assert all(value in message for value in other.values())
    assert "override_bkg" in message
    assert "ERROR" not in capfd.readouterr().err


def test_an_instrument_without_rules_is_the_exposures_error(cache: Path) -> None:
    with pytest.raises(ReferenceFileError, match="miri"):
        find_reference("bkg", NIRISS | {"INSTRUME": "MIRI"})


def test_an_unknown_context_ends_the_planning(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDS_SERVER_URL", "https://localhost:1")
    monkeypatch.setenv("CRDS_CONTEXT", "jwst_0099.pmap")
    crds_cache.forget()
    with pytest.raises(PlanError, match=r"CRDS_CONTEXT=jwst_0099.pmap"):
        find_reference("bkg", NIRISS)


def test_a_reference_that_cannot_be_fetched_ends_the_planning(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "references/jwst/niriss/jwst_niriss_bkg_0002.fits").unlink()
    monkeypatch.setenv("CRDS_SERVER_URL", "https://localhost:1")
    monkeypatch.delenv("CRDS_READONLY_CACHE")
    crds_cache.forget()
    with pytest.raises(PlanError, match="CRDS_PATH"):
        find_reference("bkg", NIRISS)


def test_no_server_and_no_cache_end_the_planning(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRDS_PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("CRDS_CONFIG_URI", "none")
    crds_cache.forget()
    with pytest.raises(PlanError, match="neither a server nor a cache"):
        find_reference("bkg", NIRISS)


def test_crds_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("bkgflow.io.references.crds.import_module", refuse)
    with pytest.raises(UsageError, match=rf"{re.escape(sys.executable)} .*install crds"):
        find_reference("bkg", NIRISS)


# What an exposure says of itself


def test_files_and_models_say_the_same_keywords(tmp_path: Path) -> None:
    path = tmp_path / "a_rate.fits"
    with make_model(np.ones((4, 4)), instrument="NIRISS", exp_type="NIS_WFSS") as model:
        model.meta.instrument.detector = "NIS"
        model.meta.instrument.filter = "GR150C"
        model.meta.instrument.pupil = "F115W"
        model.meta.source_catalog = "a_cat.ecsv"
        model.save(str(path))
        from_model = model_facts(model, "a").keywords
    found = dict(inspect(path).keywords)
    assert found == dict(from_model)
    assert found == {
        "INSTRUME": "NIRISS",
        "DETECTOR": "NIS",
        "EXP_TYPE": "NIS_WFSS",
        "FILTER": "GR150C",
        "PUPIL": "F115W",
        "DATE-OBS": "2026-01-01",
        "TIME-OBS": "12:00:00",
        "SCATFILE": "a_cat.ecsv",
    }
    hash(inspect(path).keywords)


@pytest.mark.parametrize("time", ["N/A", "UNKNOWN", "12:00:00"])
def test_a_date_counts_where_the_time_of_day_says_nothing(tmp_path: Path, time: str) -> None:
    for year in (2020, 2030):
        write_bkg(tmp_path / f"{year}.fits", USEAFTER=f"{year}-01-01T00:00:00")
    taken = NIRISS | {"DATE-OBS": "2026-01-01", "TIME-OBS": time}
    assert ReferenceFolder(tmp_path).match("bkg", taken).name == "2020.fits"
