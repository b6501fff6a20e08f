"""A folder of reference files, matched to exposures by their own keywords."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial

from bkgflow.errors import FileError, ReferenceFileError, UsageError
from bkgflow.io.exposures.facts import META_KEYS, look_up
from bkgflow.io.fits.hdus import walk
from bkgflow.io.references.accepted import PATTERNS, accepted_values
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import understood
from bkgflow.matching import normal

__all__ = ["ReferenceFolder"]

log = logging.getLogger(__name__)

MATCHED = ("INSTRUME", "EXP_TYPE", "DETECTOR", "MODULE", "FILTER", "PUPIL")
"""Compared in this order, so that an error can tell how far the search got."""

FITS_NAMES = (".fits", ".fits.gz")
NAMES = (*FITS_NAMES, ".asdf")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One reference file: its type, the values it accepts by keyword, its first date."""

    location: Location
    reftype: str
    accepts: Mapping[str, frozenset[str]]
    useafter: str

    def refuses(self, keywords: Mapping[str, str]) -> int | None:
        """Return the index in `MATCHED` of the first keyword that does not fit, or None."""
        for i, keyword in enumerate(MATCHED):
            accepted = self.accepts.get(keyword)
            if accepted and normal(keywords.get(keyword)) not in accepted:
                return i
        return None

    def date(self) -> datetime:
        """Return USEAFTER; the beginning of time where the file has none."""
        moment = _moment(self.useafter) if self.useafter else datetime.min
        if moment is None:
            raise ReferenceFileError(
                "USEAFTER must be a date such as 2024-05-01T00:00:00",
                file=self.location,
                value=self.useafter,
                cure="Correct the keyword",
            )
        return moment


class ReferenceFolder:
    """The reference files that lie in one folder; of each version the header is read once.

    Every ``.fits``, ``.fits.gz`` and ``.asdf`` file directly in the folder counts that says its
    REFTYPE. A keyword that a file lacks, or that is ANY or N/A there, matches everything.

    Raises
    ------
    UsageError
        If it is not a folder, or may not be read.
    """

    def __init__(self, folder: PathLike) -> None:
        self.location = Location.of(folder)
        self.unreadable: list[str] = []
        try:
            files = [each for each in self.location.listing() if each.name.endswith(NAMES)]
        except OSError as problem:
            raise UsageError(
                "The folder of reference files must be there and readable",
                file=self.location,
                value=problem.strerror,
                cure="Correct the path given as references",
            ) from None
        self.entries = tuple(entry for each in files if (entry := self._entry(each)) is not None)

    def match(self, reftype: str, keywords: Mapping[str, str]) -> Location:
        """Return the file that fits an exposure best.

        The most specific wins: the one that names most of the compared keywords. Among equals
        the latest USEAFTER does that is not after the exposure. See `find_reference`.

        Raises
        ------
        ReferenceFileError
            If none fits, or if two fit equally well.
        """
        refused = partial(ReferenceFileError, file=self.location)
        or_name = f"or name one with override_{reftype}"
        kind = [entry for entry in self.entries if entry.reftype == reftype.upper()]
        fits = [entry for entry in kind if entry.refuses(keywords) is None]
        if not fits:
            wanted = ", ".join(f"{name}={keywords[name]}" for name in MATCHED if name in keywords)
            raise refused(
                f"The reference folder must hold a {reftype} file for {wanted or 'the exposure'}",
                value=self._found(reftype, kind, keywords),
                cure=f"Add the file, correct its keywords, {or_name}",
            )
        exposed = keywords.get("DATE-OBS")
        moment = None
        if exposed:  # with the time of day, where that says something
            began = _moment(f"{exposed}T{keywords.get('TIME-OBS', '00:00:00')}")
            moment = began or _moment(exposed)
        ready = [entry for entry in fits if moment is None or entry.date() <= moment]
        if not ready:
            raise refused(
                f"A {reftype} file must not be used before its USEAFTER, and the exposure was "
                f"taken {exposed}",
                value=", ".join(f"{entry.location.name} from {entry.useafter}" for entry in fits),
                cure=f"Add an earlier file, {or_name}",
            )
        ranked = sorted(((len(entry.accepts), entry.date()), entry.location) for entry in ready)
        if len(ranked) > 1 and ranked[-1][0] == ranked[-2][0]:
            raise refused(
                f"One {reftype} file must fit an exposure best",
                value=f"{ranked[-2][1].name} and {ranked[-1][1].name} fit equally well",
                cure="Remove one of them, give them different USEAFTER dates or more of "
                f"{', '.join(MATCHED)}, {or_name}",
            )
        return ranked[-1][1]

    def _entry(self, location: Location) -> _Entry | None:
        """Index one file; None where it is no reference file, or cannot be read."""
        try:
            entry = _read(location, location.identity("A reference file"))
        except FileError as problem:
            log.warning("Reference file left out: %s", problem)
            self.unreadable.append(location.name)
            return None
        if entry is None:
            log.debug("%s has no REFTYPE and is left out", location)
        return entry

    def _found(self, reftype: str, kind: list[_Entry], keywords: Mapping[str, str]) -> str:
        """Say what there is instead of a file that fits."""
        found = f"{len(kind)} of {len(self.entries)} reference files have REFTYPE {reftype.upper()}"
        if kind:
            failed = [(entry.refuses(keywords) or 0, entry) for entry in kind]
            last = MATCHED[max(index for index, _ in failed)]
            names = [
                f"{entry.location.name} ({last} {'|'.join(sorted(entry.accepts[last]))})"
                for index, entry in failed
                if MATCHED[index] == last
            ]
            found += f"; the closest, {', '.join(names[:3])}, fail at {last}"
        if self.unreadable:
            found += f"; not readable: {', '.join(self.unreadable)}"
        return found


def _moment(text: str) -> datetime | None:
    """Read a date, with or without a time; fractions of a second are dropped."""
    try:
        return datetime.fromisoformat(text.strip()).replace(microsecond=0, tzinfo=None)
    except ValueError:
        return None


@lru_cache(maxsize=4096)  # a folder is given again with every exposure, and has not changed
def _read(location: Location, _version: Identity) -> _Entry | None:
    """Read a file's header, not its arrays; None where it does not say its REFTYPE."""
    value_of = (_fits if location.name.endswith(FITS_NAMES) else _asdf)(location)
    reftype = _text(value_of("REFTYPE", "reftype"))
    if not reftype:
        return None
    accepts = {}
    for keyword in MATCHED:
        listed = value_of(*PATTERNS[keyword]) if keyword in PATTERNS else None
        own = value_of(keyword, META_KEYS[keyword])
        accepts[keyword] = accepted_values(listed, own)
    named = {keyword: values for keyword, values in accepts.items() if values}
    return _Entry(location, reftype.upper(), named, _text(value_of("USEAFTER", "useafter")))


def _fits(location: Location) -> Callable[[str, str], object]:
    """Return what tells the value of a keyword."""
    header = walk(location)["PRIMARY"].header
    return lambda keyword, _: header.get(keyword)


def _asdf(location: Location) -> Callable[[str, str], object]:
    """Return what tells the value of a key below ``meta``."""
    import asdf

    rule = "A reference file must be readable"
    with location.as_file() as file, understood(rule, location, "Fetch the file again"):
        tree = asdf.util.load_yaml(file)  # the head of the file alone
    meta = look_up(tree, "meta")
    return lambda _, key: look_up(meta, key)


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
