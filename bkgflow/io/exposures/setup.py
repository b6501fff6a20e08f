"""How an exposure was taken, and which exposure it is, as its headers say it."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

from bkgflow.detector import Window
from bkgflow.matching import TABLE, normal, plain_number, rules_for

__all__ = [
    "COMBINED",
    "DATE_KEYS",
    "EXPOSURE_NUMBERS",
    "SETUP_KEYS",
    "exposure_id",
    "read_setup",
    "read_subtracted",
    "written_as",
]

Primary = Callable[[str], Hashable]
"""Returns the value of a keyword of the primary header; None where it is missing."""

EXPOSURE_NUMBERS = {
    "PROGRAM": "observation.program_number",
    "OBSERVTN": "observation.observation_number",
    "VISIT": "observation.visit_number",
    "VISITGRP": "observation.visit_group",
    "SEQ_ID": "observation.sequence_id",
    "ACT_ID": "observation.activity_id",
    "EXPOSURE": "observation.exposure_number",
}
"""What tells one exposure of a detector from all others, in the order of the files' names."""

NEEDED = ("OBSERVTN", "VISIT", "EXPOSURE")
"""Numbers without which the others tell nothing."""

COMBINED = "combinedbackground"
"""In the name of what has the numbers of the exposure that it was made for, and is none."""

DATE_KEYS = {"FILENAME": "filename", "DATE": "date"}

SUBTRACTED = {"S_BKDSUB": "cal_step.bkg_subtract", "S_MSBSUB": "cal_step.master_background"}
"""Steps that subtract a background."""

STRIPES = {
    "MSTR_RD1": "subarray.multistripe_reads1",
    "MSTR_SK1": "subarray.multistripe_skips1",
    "MSTR_RD2": "subarray.multistripe_reads2",
    "MSTR_SK2": "subarray.multistripe_skips2",
    "MSTR_RPT": "subarray.repeat_stripe",
    "MSTR_ILV": "subarray.interleave_reads1",
    "SSTR_STP": "subarray.superstripe_step",
    "SSTR_NST": "subarray.num_superstripe",
}
"""How stripes of the detector are read one after the other into one array."""

UNDONE = {"GAINFACT": "S_GANSCL", "FRMDIVSR": "S_GRPSCL"}
"""Steps after which a factor is no longer in the pixels."""

SETUP_KEYS = {
    **{rule.keyword: rule.key for rule in TABLE if rule.keyword != "BUNIT"},
    **EXPOSURE_NUMBERS,
    **DATE_KEYS,
    **SUBTRACTED,
    **STRIPES,
    "S_GANSCL": "cal_step.gain_scale",
    "S_GRPSCL": "cal_step.group_scale",
    "NFRAMES": "exposure.nframes",
    "EXSEGNUM": "exposure.segment_number",
    "SUBARRAY": "subarray.name",
}
"""What is read here: FITS keyword to the key below ``meta``."""

DONE = "COMPLETE"

FILE_NAME = re.compile(
    r"jw(\d{5})(\d{3})(\d{3})_(\d{2})(\d)(\w{2})_(\d{5})(?:-seg(\d{3}))?_(\w+?)_"
)
"""The pipeline's name of an exposure: its `EXPOSURE_NUMBERS`, a segment, the detector."""


def read_setup(primary: Primary, instrument: str, window: Window) -> tuple[tuple[str, str], ...]:
    """Return what is compared with other exposures: pairs of keyword and value that are there.

    Values are as `bkgflow.matching.normal` gives them. A factor that a step has undone is 1.
    """

    found = []
    for rule in rules_for(instrument):
        keyword = rule.keyword
        value = "" if keyword == "BUNIT" else normal(primary(keyword))
        if keyword == "MSTR_RD1":
            value = _stripes(value, primary, window)
        elif value and keyword == "S_FLAT":
            value = value if value == DONE else ""
        elif value and keyword == "MSAMETFL":
            value = value if normal(primary("EXP_TYPE")) == "NRS_MSASPEC" else ""
        elif value and keyword in UNDONE:
            value = _factor(keyword, value, primary)
        if value:
            found.append((keyword, value))
    return tuple(found)


def _factor(keyword: str, value: str, primary: Primary) -> str:
    """Return the factor that is still in the pixels; empty where it is not known."""
    if normal(primary(UNDONE[keyword])) == DONE:
        return "1"
    try:
        factor = float(value)
        if keyword == "FRMDIVSR":
            factor /= float(normal(primary("NFRAMES")))
    except (ValueError, ZeroDivisionError):
        return ""
    return f"{factor:g}" if factor > 0 else ""


def _stripes(first: str, primary: Primary, window: Window) -> str:
    """Return the layout of stripes with its place on the detector; empty where there are none.

    A stripe's subarray says so in its name, should its numbers be missing.
    """
    if first in ("", "0"):
        name = normal(primary("SUBARRAY"))
        return f"{name}, {window}" if "STRIPE" in name else ""
    numbers = (f"{keyword} {normal(primary(keyword)) or 0}" for keyword in STRIPES)
    return f"{', '.join(numbers)}, {window}"


def exposure_id(primary: Primary) -> str:
    """Return what tells an exposure of one detector from all others; empty where it is not known.

    The numbers of its program down to the segment, its detector and its beginning: what a
    ``rate`` and a ``rateints`` product of it, and their copies, have in common.
    """
    name = str(primary("FILENAME") or "")
    if COMBINED in name:
        return ""
    numbers = [plain_number(primary(keyword)).lstrip("0") for keyword in EXPOSURE_NUMBERS]
    detector, segment = normal(primary("DETECTOR")), plain_number(primary("EXSEGNUM")).lstrip("0")
    if not all(normal(primary(keyword)) for keyword in NEEDED):
        found = FILE_NAME.match(name)
        if found is None:
            return ""
        *named, segment_there, detector_there = found.groups(default="")
        numbers = [number.upper().lstrip("0") for number in named]
        detector, segment = detector_there.upper(), segment_there.lstrip("0")
    began = f"{primary('DATE-OBS') or ''}T{primary('TIME-OBS') or ''}"
    return "-".join((*numbers, detector, segment or "1", began))


def written_as(primary: Primary) -> str:
    """Return by which name and when a file was written; empty where it does not say both."""
    name, date = (str(primary(keyword) or "").strip() for keyword in DATE_KEYS)
    return f"{name} {date}" if name and date else ""


def read_subtracted(primary: Primary) -> str:
    """Return the keyword of the step that has subtracted a background; empty where none has."""
    return next((each for each in SUBTRACTED if normal(primary(each)) == DONE), "")
