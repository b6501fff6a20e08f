"""Dithers in groups: which exposures are whose background, from headers alone."""

from __future__ import annotations

from datetime import timedelta

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import TimeDelta
from hypothesis import given
from hypothesis import strategies as st

from bkgflow.errors import MetadataError, SettingsError, UsageError
from bkgflow.io.exposures.facts import read_facts
from bkgflow.io.exposures.taken import directions, offsets
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.kinds.table import KINDS
from bkgflow.matching import TABLE
from bkgflow.planning.dither_groups import choices, dither_groups
from bkgflow.planning.dither_rule import DitherRule, rule_of
from bkgflow.planning.dither_types import DITHERED, OTHERS, why_not

PRIMARY = {
    "INSTRUME": "MIRI", "DETECTOR": "MIRIMAGE", "FILTER": "F770W", "EXP_TYPE": "MIR_IMAGE",
    "SUBARRAY": "FULL", "READPATT": "FASTR1", "PROGRAM": "01345", "OBSERVTN": "001",
    "VISIT": "001", "VISITGRP": "02", "SEQ_ID": "1", "ACT_ID": "01", "EXPMID": 60000.0,
    "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 1032, "SUBSIZE2": 1024,
    "DATE-OBS": "2024-03-05", "TIME-OBS": "06:00:00",
}  # fmt: skip


def facts(
    number, ra=10.0, dec=0.0, *, bunit="DN/s", sci=None, name="", shape=(1024, 1032), **primary
):
    """What the headers of an exposure say, which there need not be."""
    location = Location(f"/data/{name or f'e{number}_rate.fits'}")
    header = PRIMARY | {"EXPOSURE": f"{number:05d}"} | primary
    science = {"BUNIT": bunit, "RA_REF": ra, "DEC_REF": dec} | (sci or {})
    identity = Identity(location.name, 1, 1)
    return read_facts(location, identity, shape, header.get, science.get, lambda window: None)


def chosen(exposures, *, subtracted=False, **rule):
    """Names of the backgrounds of each exposure, by its name; an error as it is."""
    rule = DitherRule.of(**rule)
    found = {}
    for group in dither_groups(exposures, rule):
        for member, choice in zip(
            group.members, choices(group, rule, subtracted=subtracted), strict=True
        ):
            error = isinstance(choice, MetadataError)
            found[member.name] = choice if error else {each.name for each in choice.used}
    return found


def only(exposures, **rule):
    """The choice for the first exposure."""
    rule = DitherRule.of(**rule)
    group = dither_groups(exposures, rule)[0]
    return next(choices(group, rule)), rule


def test_all_others_of_a_group_are_an_exposures_background():
    names = {f"e{i}_rate.fits" for i in range(5)}
    assert chosen([facts(i) for i in range(5)]) == {name: names - {name} for name in names}


OTHER_VALUES = {
    "DETECTOR": "MIRIFULONG", "FILTER": "F1500W", "EXP_TYPE": "MIR_LYOT", "CHANNEL": "12",
    "BAND": "SHORT", "CORONMSK": "LYOT_2300", "CCCSTATE": "CLOSED", "READPATT": "FASTGRPAVG",
    "GAINFACT": 2.0, "FRMDIVSR": 4, "S_FLAT": "COMPLETE", "MSTR_RD1": 3, "SUBARRAY": "BRIGHTSKY",
    "PROGRAM": "01346", "INSTRUME": "NIRISS",
}  # fmt: skip


@pytest.mark.parametrize("keyword", OTHER_VALUES)
def test_exposures_that_were_taken_otherwise_are_in_another_group(keyword):
    more = {"NFRAMES": 1, "CCCSTATE": "OPEN", "CORONMSK": "4QPM_1065"}
    other = {keyword: OTHER_VALUES[keyword]}
    exposures = [facts(1, **more), facts(2, **more), facts(3, **more | other)]
    assert chosen(exposures)["e1_rate.fits"] == {"e2_rate.fits"}
    assert chosen(exposures)["e3_rate.fits"] == set()


def test_another_part_of_the_detector_is_another_group():
    part = facts(3, shape=(512, 1032), SUBSTRT2=513, SUBSIZE2=512)
    assert len(dither_groups([facts(1), facts(2), part], DitherRule())) == 2


def test_every_row_of_the_table_of_matching_parts_groups():
    """What a background must have in common with its target stands in one place."""
    known = {"PUPIL", "MODULE", "PILIN", "GRATING", "FXD_SLIT", "MSAMETFL", "BUNIT"}
    assert {rule.keyword for rule in TABLE} <= known | OTHER_VALUES.keys()
    nircam = {"INSTRUME": "NIRCAM", "DETECTOR": "NRCA1", "EXP_TYPE": "NRC_IMAGE"}
    nirspec = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_MSASPEC",
               "GWA_XTIL": 0.1, "GWA_YTIL": 0.1}  # fmt: skip
    for setup, keywords in (
        (nircam, ("PUPIL", "MODULE", "PILIN")), (nirspec, ("GRATING", "FXD_SLIT", "MSAMETFL"))
    ):  # fmt: skip
        for keyword in keywords:
            pair = [facts(i, **setup | {keyword: value}) for i, value in enumerate("AB")]
            assert len(dither_groups(pair, DitherRule())) == 2, keyword


def test_units_are_parted_by_what_they_mean():
    exposures = [facts(1), facts(2, bunit="dn / s"), facts(3, bunit="MJy/sr")]
    assert len(dither_groups(exposures, DitherRule())) == 2


@pytest.mark.parametrize(("narrower", "left"), [
    ((), {"e2_rate.fits", "e3_rate.fits", "e4_rate.fits"}),
    ("observation", {"e2_rate.fits", "e3_rate.fits"}),
    (["visit"], {"e2_rate.fits"}),
    ("Visit, observation", {"e2_rate.fits"}),
])  # fmt: skip
def test_groups_may_be_narrower(narrower, left):
    exposures = [
        facts(1), facts(2, OBSERVTN="1", VISIT="1"), facts(3, VISIT="002"),
        facts(4, OBSERVTN="002"),
    ]  # fmt: skip
    assert chosen(exposures, narrower=narrower)["e1_rate.fits"] == left


def test_one_exposure_is_never_its_own_background():
    cube = facts(1, name="e1_rateints.fits")
    segment = facts(1, name="e1-seg002_rateints.fits", EXSEGNUM=2)
    found = chosen([facts(1), cube, segment, facts(2)])
    assert found["e1_rate.fits"] == {"e2_rate.fits"}
    assert found["e1-seg002_rateints.fits"] == {"e2_rate.fits"}
    # For another it counts once, and each of its segments does.
    assert found["e2_rate.fits"] == {"e1_rate.fits", "e1-seg002_rateints.fits"}


def test_what_is_left_out_is_counted_by_its_reason():
    exposures = [facts(i, dec=i * 0.5 / 3600, EXPMID=60000.0 + i / 24) for i in range(6)]
    choice, rule = only(exposures, min_offset=1.2, within="4h", at_least=3)
    assert [each.name for each in choice.used] == ["e3_rate.fits", "e4_rate.fits"]
    assert choice.near == 2
    assert choice.note == (
        "2 other exposures of its group (program 1345 MIRIMAGE F770W FULL FASTR1); left out: "
        "2 nearer than 1.2 arcsec (e1_rate.fits, e2_rate.fits); "
        "1 more than 4 h before or after it (e5_rate.fits)"
    )
    assert choice.too_few(rule).startswith("2 other exposures of its group")
    assert "at_least asks for 3" in choice.too_few(rule)
    assert only(exposures, at_least=5)[0].too_few(DitherRule.of(at_least=5)) == ""


def test_exposures_that_point_to_one_place_are_counted():
    exposures = [facts(1), facts(2), facts(3, dec=1 / 3600)]
    assert only(exposures)[0].same_place == 1
    assert only(exposures, min_offset=0.2)[0].same_place == 0


@pytest.mark.parametrize("rule", [{"min_offset": 1}, {"within": "3arcsec"}])
def test_an_exposure_without_a_pointing_is_said_to_have_none(rule):
    nowhere = {"RA_REF": None, "DEC_REF": None}
    exposures = [facts(1), facts(2, dec=2 / 3600), facts(3, sci=nowhere)]
    found = chosen(exposures, **rule)
    assert found["e1_rate.fits"] == {"e2_rate.fits"}
    assert "RA_REF" in found["e3_rate.fits"].cure
    assert "1 of no known pointing (e3_rate.fits)" in only(exposures, **rule)[0].note
    assert chosen(exposures)["e3_rate.fits"] == {"e1_rate.fits", "e2_rate.fits"}


def test_an_exposure_without_a_time_is_said_to_have_none():
    exposures = [facts(1), facts(2), facts(3, EXPMID=None)]
    found = chosen(exposures, within="1h")
    assert found["e1_rate.fits"] == {"e2_rate.fits"}
    assert "EXPMID" in found["e3_rate.fits"].cure
    between = facts(4, EXPMID=None, EXPSTART=59999.9, EXPEND=60000.1)
    assert chosen([facts(1), between], within="1s")["e4_rate.fits"] == {"e1_rate.fits"}


@pytest.mark.parametrize("pair", [("CRVAL1", "CRVAL2"), ("RA_V1", "DEC_V1")])
def test_where_an_exposure_points_may_stand_in_other_keywords(pair):
    nowhere = {"RA_REF": None, "DEC_REF": None}
    exposures = [facts(i, sci=nowhere | {pair[0]: 10, pair[1]: i / 3600}) for i in (1, 2, 4)]
    assert chosen(exposures, min_offset=1.5)["e1_rate.fits"] == {"e4_rate.fits"}


def test_two_kinds_of_pointing_are_not_compared():
    only_v1 = {"RA_REF": None, "DEC_REF": None, "RA_V1": 10.2, "DEC_V1": 0.1}
    exposures = [facts(1), facts(2, dec=2 / 3600), facts(3, sci=only_v1)]
    assert chosen(exposures, min_offset=1)["e1_rate.fits"] == {"e2_rate.fits"}


def test_a_bad_neighbour_is_left_out():
    exposures = [facts(1), facts(2), facts(3, S_BKDSUB="COMPLETE")]
    assert chosen(exposures)["e1_rate.fits"] == {"e2_rate.fits"}
    assert "subtracted before" in only(exposures)[0].note
    assert len(chosen(exposures, subtracted=True)["e1_rate.fits"]) == 2


def test_a_grating_wheel_that_stood_otherwise_parts_exposures():
    setup = {"INSTRUME": "NIRSPEC", "DETECTOR": "NRS1", "EXP_TYPE": "NRS_FIXEDSLIT"}
    tilts = (0.1, 0.1 + 5e-9, 0.2, None)
    exposures = [facts(i, **setup, GWA_XTIL=t, GWA_YTIL=0.3) for i, t in enumerate(tilts)]
    assert chosen(exposures)["e0_rate.fits"] == {"e1_rate.fits"}
    assert chosen(exposures)["e2_rate.fits"] == set()
    assert "2 for which the grating wheel stood differently" in only(exposures)[0].note


ROUND = st.integers(0, 40)


@pytest.mark.slow
@given(
    st.lists(st.tuples(ROUND, ROUND, st.sampled_from("AB"), st.sampled_from("12")), max_size=9),
    st.sampled_from([0, 0.295, 1.005]),  # limits that no pair meets: rounding would decide
    st.sampled_from([None, "2.5h", "24.5h"]),
    st.sampled_from([None, "1.495arcsec"]),
    st.sampled_from([(), "observation"]),
)
def test_the_choice_is_that_of_every_pair(drawn, least, time, angle, narrower):
    """Against the definition: of each pair by itself, with astropy's separations."""
    made = [
        facts(i, dec=d / 36000 + 0.01 / 3600 * (i % 2), FILTER=f, OBSERVTN=o, EXPMID=60000 + t / 24)
        for i, (d, t, f, o) in enumerate(drawn)
    ]
    within = [each for each in (time, angle) if each]
    found = chosen(made, min_offset=least, within=within, narrower=narrower)
    places = SkyCoord([10.0] * len(made), [each.taken.pointings[0][2] for each in made], unit="deg")
    hours = {None: 1e9, "2.5h": 2.5, "24.5h": 24.5}[time]
    for i, (_, t, f, o) in enumerate(drawn):
        wanted = set()
        for j, (_, t2, f2, o2) in enumerate(drawn):
            apart = places[i].separation(places[j]).arcsec
            alike = f == f2 and (not narrower or o == o2)
            near = least <= apart and (angle is None or apart <= 1.495)
            if i != j and alike and near and abs(t - t2) <= hours:
                wanted.add(made[j].name)
        assert found[made[i].name] == wanted


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(0, 360), st.floats(-89, 89)), min_size=2, max_size=5),
    st.floats(0, 1e-3),
)
def test_offsets_are_astropys_separations(places, small):
    places = [*places, (places[0][0], places[0][1] + small)]
    sky = SkyCoord([ra for ra, _ in places], [dec for _, dec in places], unit="deg")
    vectors = directions(places)
    for i, each in enumerate(sky):
        expected = each.separation(sky).arcsec
        assert offsets(vectors[i], vectors) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("given_", [
    "6h", "360min", "0.25d", 6 * u.hour, TimeDelta(0.25, format="jd"), timedelta(hours=6), ["6 h"],
])  # fmt: skip
def test_extents_in_time_may_be_given_in_many_ways(given_):
    assert DitherRule.of(within=given_) == DitherRule(within_time=21600)


def test_extents_in_time_and_on_the_sky_may_be_given_together():
    rule = DitherRule(within_time=3600, within_angle=120)
    assert DitherRule.of(within="1h,2arcmin") == DitherRule.of(within=["2arcmin", "1h"]) == rule
    assert str(rule) == "within 1 h, within 120 arcsec"


@pytest.mark.parametrize("wrong", [
    {"within": "6"}, {"within": "6 K"}, {"within": "-1h"}, {"within": "1h,2h"}, {"within": "soon"},
    {"within": "nan h"}, {"within": 3}, {"within": [1, 2] * u.hour}, {"min_offset": -1},
    {"min_offset": float("nan")}, {"min_offset": "1"}, {"at_least": 0}, {"at_least": 2.5},
    {"narrower": "target"}, {"min_offset": 5, "within": "2arcsec"},
])  # fmt: skip
def test_wrong_arguments_are_refused_with_a_cure(wrong):
    with pytest.raises(SettingsError) as caught:
        DitherRule.of(**wrong)
    assert caught.value.cure


def test_the_arguments_of_dithers_come_with_dithers():
    assert rule_of(None) is None
    assert rule_of("dithers") == DitherRule()
    for wrong in ({"backgrounds": None, "min_offset": 1.0}, {"backgrounds": "nods"}):
        with pytest.raises(UsageError):
            rule_of(**wrong)


def test_types_are_of_kinds_that_use_other_exposures():
    assert all(KINDS.of(each).shares_backgrounds for each in DITHERED)
    assert not DITHERED.keys() & OTHERS.keys()
    special = {each for types, _ in KINDS.special for each in types}
    assert special <= OTHERS.keys()
    assert why_not("NRC_DARK")
