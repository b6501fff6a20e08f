"""A folder of reference files, matched to exposures by their own keywords."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asdf

from bkgflow.errors import FileError, ReferenceFileError, UsageError
from bkgflow.io.exposures.keywords import META_KEYS
from bkgflow.io.fits.hdus import walk
from bkgflow.io.storage.location import Location, PathLike

__all__ = ["ReferenceFolder"]

log = logging.getLogger(__name__)

MATCHED = ("INSTRUME", "EXP_TYPE", "DETECTOR", "MODULE", "FILTER", "PUPIL")
"""Compared in this order, so that an error can tell how far the search got."""

PATTERNS = {
    "EXP_TYPE": ("P_EXP_TY", "exposure.p_exptype"),
    "DETECTOR": ("P_DETECT", "instrument.p_detector"),
    "MODULE": ("P_MODULE", "instrument.p_module"),
    "FILTER": ("P_FILTER", "instrument.p_filter"),
    "PUPIL": ("P_PUPIL", "instrument.p_pupil"),
}
"""Keywords that list several values ("A|B|") and go before the plain one (stdatamodels)."""

ANYTHING = {"ANY", "N/A", ""}

FITS_NAMES = (".fits", ".fits.gz")
NAMES = (*FITS_NAMES, ".asdf")


@dataclass(frozen=True, slots=True)
class Entry:
    """One reference file: its type, the values it accepts by keyword, its first date."""

    location: Location
    reftype: str
    accepts: Mapping[str, frozenset[str]]
    useafter: str

    def refuses(self, keywords: Mapping[str, str]) -> int | None:
        """Return the index in `MATCHED` of the first keyword that does not fit, or None."""
        for i, keyword in enumerate(MATCHED):
            accepted = self.accepts.get(keyword)
            if accepted and keywords.get(keyword, "").upper() not in accepted:
                return i
        return None

    def date(self) -> datetime:
        """Return USEAFTER; the beginning of time where the file has none."""
        if not self.useafter:
            return datetime.min
        moment = _moment(self.useafter)
        if moment is None:
            raise ReferenceFileError(
                "USEAFTER is a date such as 2024-05-01T00:00:00",
                file=self.location,
                value=self.useafter,
                cure="Correct the keyword",
            )
        return moment


class ReferenceFolder:
    """The reference files that lie in one folder; their headers are read once.

    Every ``.fits``, ``.fits.gz`` and ``.asdf`` file directly in the folder counts that says its
    REFTYPE. A keyword that a file lacks, or that is ANY or N/A there, matches everything.

    Parameters
    ----------
    folder : path-like
        The folder.

    Raises
    ------
    UsageError
        If it is not a folder, or may not be read.
    """

    def __init__(self, folder: PathLike) -> None:
        self.location = Location.of(folder)
        self.unreadable: dict[str, str] = {}
        try:
            files = [each for each in self.location.listing() if each.name.endswith(NAMES)]
        except OSError as problem:
            raise UsageError(
                "The folder of reference files is there and may be read",
                file=self.location,
                value=problem.strerror,
                cure="Correct the path given as references",
            ) from None
        self.entries = tuple(entry for each in files if (entry := self._entry(each)) is not None)

    def match(self, reftype: str, keywords: Mapping[str, str]) -> Location:
        """Return the file that fits an exposure best.

        The most specific wins: the one that names most of the compared keywords. Among equals
        the latest USEAFTER does that is not after the exposure.

        Parameters
        ----------
        reftype : str
            ``bkg``, ``wavelengthrange``, …, in any case.
        keywords : mapping
            The exposure's header values.

        Raises
        ------
        ReferenceFileError
            If none fits, or if two fit equally well.
        """
        kind = [entry for entry in self.entries if entry.reftype == reftype.upper()]
        fits = [entry for entry in kind if entry.refuses(keywords) is None]
        if not fits:
            raise self._nothing(reftype, keywords, kind)
        moment = _exposed(keywords)
        ready = [entry for entry in fits if moment is None or entry.date() <= moment]
        if not ready:
            raise self._too_early(reftype, keywords, fits)
        ranked = sorted(((len(entry.accepts), entry.date()), entry.location) for entry in ready)
        if len(ranked) > 1 and ranked[-1][0] == ranked[-2][0]:
            raise self._ambiguous(reftype, ranked[-2][1], ranked[-1][1])
        return ranked[-1][1]

    def _entry(self, location: Location) -> Entry | None:
        """Index one file; None where it is no reference file, or cannot be read."""
        try:
            entry = _read(location)
        except FileError as problem:
            log.warning("Reference file left out: %s", problem)
            self.unreadable[location.name] = str(problem)
            return None
        if entry is None:
            log.debug("%s has no REFTYPE and is left out", location)
        return entry

    def _nothing(
        self, reftype: str, keywords: Mapping[str, str], kind: list[Entry]
    ) -> ReferenceFileError:
        wanted = ", ".join(f"{name}={keywords[name]}" for name in MATCHED if name in keywords)
        found = f"{len(kind)} of {len(self.entries)} reference files have REFTYPE {reftype.upper()}"
        if kind:
            index, names = _furthest(kind, keywords)
            found += f"; the closest, {names}, fail at {MATCHED[index]}"
        if self.unreadable:
            found += f"; not readable: {', '.join(self.unreadable)}"
        return ReferenceFileError(
            f"The reference folder holds a {reftype} file for {wanted or 'the exposure'}",
            file=self.location,
            value=found,
            cure=f"Add the file, correct its keywords, or name one with override_{reftype}",
        )

    def _too_early(
        self, reftype: str, keywords: Mapping[str, str], fits: list[Entry]
    ) -> ReferenceFileError:
        dates = ", ".join(f"{entry.location.name} from {entry.useafter}" for entry in fits)
        return ReferenceFileError(
            f"A {reftype} file may be used from its USEAFTER on, and the exposure was taken "
            f"{keywords['DATE-OBS']}",
            file=self.location,
            value=dates,
            cure=f"Add an earlier file, or name one with override_{reftype}",
        )

    def _ambiguous(self, reftype: str, first: Location, second: Location) -> ReferenceFileError:
        return ReferenceFileError(
            f"One {reftype} file fits an exposure best",
            file=self.location,
            value=f"{first.name} and {second.name} fit equally well",
            cure="Remove one of them, give them different USEAFTER dates or more of "
            f"{', '.join(MATCHED)}, or name one with override_{reftype}",
        )


def _furthest(kind: list[Entry], keywords: Mapping[str, str]) -> tuple[int, str]:
    """Return the last keyword at which a file failed, and the names of up to three that did."""
    failures = [(index, entry) for entry in kind if (index := entry.refuses(keywords)) is not None]
    last = max(index for index, _ in failures)
    names = [
        f"{entry.location.name} ({MATCHED[last]} {'|'.join(sorted(entry.accepts[MATCHED[last]]))})"
        for index, entry in failures
        if index == last
    ]
    return last, ", ".join(names[:3])


def _exposed(keywords: Mapping[str, str]) -> datetime | None:
    """Return when the exposure was taken, or None where its headers do not say."""
    date = keywords.get("DATE-OBS")
    return _moment(f"{date}T{keywords.get('TIME-OBS', '00:00:00')}") if date else None


def _moment(text: str) -> datetime | None:
    """Read a date, with or without a time; fractions of a second are dropped."""
    try:
        return datetime.fromisoformat(text.strip()).replace(microsecond=0, tzinfo=None)
    except ValueError:
        return None


def _read(location: Location) -> Entry | None:
    """Read a file's header, not its arrays; None where it does not say its REFTYPE."""
    if location.name.endswith(FITS_NAMES):
        header = walk(location)["PRIMARY"].header
        plain = {keyword: header.get(keyword) for keyword in MATCHED}
        patterns = {keyword: header.get(name) for keyword, (name, _) in PATTERNS.items()}
        reftype, useafter = header.get("REFTYPE"), header.get("USEAFTER")
    else:
        meta = _asdf_meta(location)
        plain = {keyword: _at(meta, META_KEYS[keyword]) for keyword in MATCHED}
        patterns = {keyword: _at(meta, key) for keyword, (_, key) in PATTERNS.items()}
        reftype, useafter = meta.get("reftype"), meta.get("useafter")
    if not _text(reftype):
        return None
    accepts = {
        keyword: values
        for keyword in MATCHED
        if (values := _values(patterns.get(keyword) or plain[keyword]))
    }
    return Entry(location, _text(reftype).upper(), accepts, _text(useafter))


def _asdf_meta(location: Location) -> dict[str, Any]:
    try:
        tree = asdf.util.load_yaml(location.path)  # the head of the file alone
    except Exception as problem:  # asdf and the parser of its YAML each raise their own
        raise FileError(
            "A reference file can be read",
            file=location,
            value=f"{type(problem).__name__}: {problem}"[:200],
            cure="Fetch the file again",
        ) from None
    meta = tree.get("meta") if isinstance(tree, dict) else None
    return meta if isinstance(meta, dict) else {}


def _at(meta: Any, key: str) -> object:
    """Return what lies at a dotted key of a tree; None where nothing does."""
    for name in key.split("."):
        meta = meta.get(name) if isinstance(meta, dict) else None
    return meta


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _values(value: object) -> frozenset[str]:
    """Return the values that a keyword accepts, "A|B|" as two; empty where it accepts all."""
    names: Iterable[str] = (part.strip().upper() for part in _text(value).split("|"))
    values = frozenset(name for name in names if name)
    return frozenset() if values & ANYTHING else values
