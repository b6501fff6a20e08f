"""What a background must have in common with its target: one table, held against the docs.

A background can be subtracted pixel by pixel if its pixels saw the sky through the same optics,
on the same part of the same detector, and count in the same unit. The headers say so. The rows of
`TABLE` are what `docs/backgrounds.md` lists; `allow_mismatch` takes their names.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from bkgflow.errors import SettingsError

__all__ = [
    "GWA_TOLERANCE",
    "MAY_DIFFER",
    "NAMES",
    "TABLE",
    "Match",
    "known_names",
    "normal",
    "plain_number",
    "rules_for",
]

NOTHING = frozenset({"", "N/A", "NA", "ANY", "NULL", "UNKNOWN", "--"})
"""What headers hold where a keyword does not apply, or nobody knows: it matches everything."""

GWA_TOLERANCE = 1e-8
"""Degrees by which a NIRSpec background's grating-wheel tilt may differ from its target's,
absolute; the reference step's value."""

Compared = Literal["text", "number", "unit", "readout"]


@dataclass(frozen=True, slots=True)
class Match:
    """One keyword that must agree.

    Attributes
    ----------
    keyword : str
        Of the primary header; BUNIT is that of SCI.
    key : str
        The same below ``meta`` of a data model.
    why : str
        What goes wrong where it differs.
    instruments : tuple of str
        INSTRUME of the exposures that it is compared for; empty for all.
    compared : str
        As "text", whatever the case; as "number"; as "unit" (DN/s and dn / s are one); by what a
        "readout" pattern does to a pixel.
    absent : str
        What an exposure without the keyword counts as; empty where that matches everything.
    """

    keyword: str
    key: str
    why: str
    instruments: tuple[str, ...] = ()
    compared: Compared = "text"
    absent: str = ""

    @property
    def name(self) -> str:
        """The name by which `allow_mismatch` calls it."""
        return self.keyword.lower()

    def readable(self, value: str) -> str:
        """Return the value for an error: what is missing is what it counts as."""
        return value or self.absent or "missing"

    def agree(self, target: str, background: str) -> bool:
        """Whether two values, as `normal` gives them, may stand for pixels of one kind.

        Units are the caller's to compare, by what they mean.
        """
        one, other = target or self.absent, background or self.absent
        if not one or not other or one == other:
            return True
        match self.compared:
            case "number":
                return _number(one) == _number(other)
            case "readout":
                return not (_readout(one) and _readout(other)) or _readout(one) == _readout(other)
            case _:
                return False


NIRCAM, NIRISS, NIRSPEC, MIRI, FGS = "NIRCAM", "NIRISS", "NIRSPEC", "MIRI", "FGS"

TABLE: tuple[Match, ...] = (
    Match("INSTRUME", "instrument.name", "another camera sees another sky, on other pixels"),
    Match("DETECTOR", "instrument.detector", "the pixels are those of another chip"),
    Match(
        "EXP_TYPE",
        "exposure.type",
        "another mode, a dark or a lamp is no picture of that sky",
    ),
    Match("BUNIT", "bunit_data", "the numbers do not count the same", compared="unit"),
    Match("MODULE", "instrument.module", "the other module has other optics", (NIRCAM,)),
    Match(
        "CHANNEL",
        "instrument.channel",
        "NIRCam: the other side of the dichroic; MIRI MRS: other slices",
        (NIRCAM, MIRI),
    ),
    Match("BAND", "instrument.band", "MRS: other wavelengths fall on the pixels", (MIRI,)),
    Match("FILTER", "instrument.filter", "the sky has another brightness in another filter"),
    Match("PUPIL", "instrument.pupil", "the light took another element", (NIRCAM, NIRISS)),
    Match("GRATING", "instrument.grating", "other wavelengths fall on the pixels", (NIRSPEC,)),
    Match("FXD_SLIT", "instrument.fixed_slit", "the light came through another slit", (NIRSPEC,)),
    Match(
        "MSAMETFL",
        "instrument.msa_metadata_file",
        "other shutters were open",
        (NIRSPEC,),
    ),
    Match(
        "CORONMSK",
        "instrument.coronagraph",
        "the mask hides another part of the field",
        (NIRCAM, MIRI),
    ),
    Match(
        "CCCSTATE",
        "instrument.ccc_state",
        "with the cover closed there is no sky",
        (MIRI,),
    ),
    Match(
        "PILIN",
        "instrument.pupil_imaging_lens",
        "with the lens in, the pupil is on the detector and not the sky",
        (NIRCAM,),
    ),
    Match(
        "READPATT",
        "exposure.readpatt",
        "NIRSpec's IRS2 and MIRI's slow readout sample a pixel in another way than the others; "
        "patterns that differ in frames and groups alone agree",
        (NIRSPEC, MIRI),
        "readout",
    ),
    Match(
        "GAINFACT",
        "exposure.gain_factor",
        "a DN is another number of electrons, until the step gain_scale has undone it",
        compared="number",
    ),
    Match(
        "FRMDIVSR",
        "exposure.frame_divisor",
        "the sum of NFRAMES frames was divided by another number, until the step group_scale has "
        "undone it",
        compared="number",
    ),
    Match(
        "S_FLAT",
        "cal_step.flat_field",
        "one is divided by its flat field, the other is not",
        absent="not COMPLETE",
    ),
    Match(
        "MSTR_RD1",
        "subarray.multistripe_reads1",
        "stripes of the detector lie beside each other in the array: its rows are not those of "
        "another layout",
        absent="none",
    ),
)
"""What is compared, in the order of the errors."""

MAY_DIFFER: tuple[tuple[str, str], ...] = (
    ("SUBARRAY, SUBSTRT1/2, SUBSIZE1/2", "a background is registered by detector coordinates"),
    ("NINTS, EXSEGNUM, image or cube", "integrations are combined first"),
    ("NGROUPS, NFRAMES, GROUPGAP, EFFEXPTM", "a rate is per second"),
    ("READPATT of NIRCam, NIRISS and FGS", "it says how many frames are averaged and skipped"),
    ("PROGRAM, OBSERVTN, VISIT, EXPOSURE", "a background is another exposure"),
    ("DATE-OBS, TIME-OBS", "nothing in them changes a pixel"),
    ("TARGNAME, TARG_RA, TARG_DEC, PATT_NUM", "a background looks elsewhere"),
    ("BKGDTARG, IS_PSF", "they say what an exposure is for"),
    ("NOUTPUTS, FASTAXIS, SLOWAXIS", "rates are stored in one orientation"),
    ("CAL_VER, CRDS_CTX", "products of another version may be mixed"),
)
"""What may differ, and why that is no harm."""

NAMES: tuple[str, ...] = tuple(rule.name for rule in TABLE)
"""What `allow_mismatch` takes."""

ALIASES = {"instrument": "instrume", "unit": "bunit", "slit": "fxd_slit", "stripes": "mstr_rd1"}


@cache
def rules_for(instrument: str) -> tuple[Match, ...]:
    """Return the rows of the table that apply to an instrument, in its order."""
    return tuple(rule for rule in TABLE if not rule.instruments or instrument in rule.instruments)


@lru_cache(maxsize=4096, typed=True)  # the headers of a program hold the same few words
def normal(value: Hashable) -> str:
    """Return a header value in capitals, without blanks around it; empty where it says nothing."""
    if isinstance(value, bool):
        return "T" if value else "F"
    text = "" if value is None else str(value).strip().upper()
    return "" if text in NOTHING else text


def plain_number(value: Hashable) -> str:
    """Return a number without zeros in front, however it is written: 1, 1.0 and 00001 are one."""
    text = normal(int(value) if isinstance(value, float) and value.is_integer() else value)
    return text.lstrip("0") or text


def known_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of rows as the table spells them, each once, in its order.

    Raises
    ------
    SettingsError
        If one is not in the table.
    """
    asked = {ALIASES.get(name, name) for name in (each.strip().lower() for each in names) if name}
    if unknown := sorted(asked.difference(NAMES)):
        raise SettingsError(
            "allow_mismatch must name keywords that are compared",
            value=", ".join(unknown),
            cure=f"Name some of {', '.join(NAMES)}",
        )
    return tuple(name for name in NAMES if name in asked)


def _number(text: str) -> float | str:
    try:
        return round(float(text), 6)
    except ValueError:
        return text


def _readout(pattern: str) -> str:
    """Return how a pattern samples a pixel; empty where it is not one of these."""
    if pattern.startswith("NRS"):
        return "IRS2" if "IRS2" in pattern else "traditional"
    return next((speed for speed in ("FAST", "SLOW") if pattern.startswith(speed)), "")
