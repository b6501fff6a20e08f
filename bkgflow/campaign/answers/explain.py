"""Why units of a campaign stand as they do: all that its ledger knows of them, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from fnmatch import fnmatch
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.asked import asked, running, time_of
from bkgflow.campaign.answers.inputs_now import KeyPart, key_parts
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.restore import WHY
from bkgflow.campaign.ledger.rows import Kept
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.report.tables import human_bytes
from bkgflow.report.unit_tables import remarks
from bkgflow.texts import many
from bkgflow.verdict import State

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Attempt", "Explained", "Explanation", "FileNow", "Happened", "explain"]

COLUMNS = ("unit", "state", "standing", "target", "why", "reason", "run", "ended")

MOST = 5
"""Names of units that are like one which is not there."""


@dataclass(frozen=True, slots=True)
class FileNow:
    """A file that a unit has written; ``now`` says how it is not as the ledger says."""

    file: str
    size: int
    checksum: str
    now: str = ""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a unit: when (UTC), in which run, what."""

    time: str
    run: str
    event: str
    state: str
    words: str
    worker: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt at a unit; numbers are None where nobody measured them."""

    run: str
    number: int
    worker: str
    host: str
    started: str
    seconds: float | None
    read: int | None
    written: int | None
    peak_memory: int | None
    state: str
    reason: str
    log: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All that is known of a unit.

    Attributes
    ----------
    standing : str
        How it stands now, in a sentence.
    why : str
        Why it was last taken up: what had changed.
    error : mapping or None
        The error that stopped it, in its parts.
    parts : tuple of KeyPart
        What its result depends on, and how inputs differ on the disk now.
    """

    unit: str
    state: str
    standing: str
    target: str
    association: str
    kind: str
    digest: str
    why: str
    reason: str
    error: Mapping[str, str | None] | None
    run: str
    begun: str
    ended: str
    seconds: float | None
    warnings: tuple[str, ...] = ()
    parts: tuple[KeyPart, ...] = ()
    files: tuple[FileNow, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    events: tuple[Happened, ...] = ()

    @property
    def stale(self) -> bool:
        """Whether its product, or an input, is not as it was when it ended."""
        return any(each.now for each in self.parts) or any(each.now for each in self.files)

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        return asdict(self)

    def _lines(self) -> Iterator[str]:
        yield f"{self.unit}: {self.standing}"
        known = {
            "target": self.target or "unknown",
            "association": self.association or "none",
            "kind": self.kind or "unknown",
            "last taken up": f"{self.why} (run {self.run})",
        }
        if self.ended:
            took = "" if self.seconds is None else f", {self.seconds:.1f} s after it began"
            known["ended"] = f"{self.ended}{took}"
        for name, value in known.items():
            yield f"  {name}: {value}"
        if self.error is not None:
            for name in ("file", "rule", "value", "cure"):
                if self.error.get(name):
                    yield f"  {name}: {self.error[name]}"
        yield from (f"  warning: {each}" for each in self.warnings)
        yield from self._key_lines()
        if self.files:
            yield "products:"
        for file in self.files:
            now = f" — now on disk: {file.now}" if file.now else ""
            sum_ = f", {file.checksum}" if file.checksum else ""
            yield f"  {file.file}: {human_bytes(file.size)}{sum_}{now}"
        if self.attempts:
            yield "attempts:"
        yield from (f"  {_attempt_words(each)}" for each in self.attempts)
        if self.events:
            yield "events:"
        for event in self.events:
            words = " ".join(filter(None, (event.event, event.state, event.words)))
            by = f" ({event.worker})" if event.worker else ""
            yield f"  {event.time} run {event.run}: {words}{by}"

    def _key_lines(self) -> Iterator[str]:
        yield f"made from (key {self.digest}):"
        if not self.parts:
            yield "  nothing that the ledger knows: it was made again from the products"
        for part in self.parts:
            now = f" — now on disk: {part.now}" if part.now else ""
            unseen = "" if part.looked_at else " — not looked at: nobody knows where it lies"
            yield f"  {part.name}: {part.value}{now}{unseen}"

    def __str__(self) -> str:
        """All of it, a line for each thing."""
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows: how it stands, and what it was made from."""
        rows: list[Row] = [asdict(each) for each in self.parts]
        return html_of("\n".join(list(self._lines())[:8]), rows, ("name", "value", "now"))


@dataclass(frozen=True, slots=True)
class Explained:
    """Units that fit what was asked for, each explained.

    Attributes
    ----------
    running : str
        The run that goes on; empty where none does.
    """

    output: str
    units: tuple[Explanation, ...]
    running: str = ""

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        units = [each.to_dict() for each in self.units]
        return {"output": self.output, "running": self.running, "units": units}

    def _rows(self) -> list[Row]:
        return [{name: getattr(each, name) for name in COLUMNS} for each in self.units]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, a row for each unit."""
        return frame_of(self._rows(), COLUMNS)

    def __str__(self) -> str:
        """All of a single unit; of several, a line for each."""
        first = [self.running] if self.running else []
        if len(self.units) == 1:
            return "\n".join([*first, str(self.units[0])])
        lines = [f"{each.unit}: {each.standing}" for each in self.units]
        said = f"{many(len(self.units), 'unit')}; name one of them to see all of it"
        return "\n".join([*first, said, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        if len(self.units) == 1:
            return self.units[0]._repr_html_()
        return html_of(str(self).splitlines()[0], self._rows(), COLUMNS[:5])


def explain(output: PathLike, unit: str) -> Explained:
    """Say why units of a campaign stand as they do; see `bkgflow.explain`."""
    folder = Location.of(output)
    goes_on = running(folder)
    with asked(folder) as reader:
        everything = reader.units(all_of_them=True)
        chosen = _fitting(everything, unit, folder)
        settings = {each.run: {"s": each.settings, "a": each.asked} for each in reader.runs()}
        known = [_explained(reader, folder, each, settings, goes_on) for each in chosen]
    return Explained(str(folder), tuple(known), goes_on)


def _names(kept: Kept) -> tuple[str, ...]:
    """Return what people may call a unit."""
    target = Location.of(kept.target).name if kept.target else ""
    association = Location.of(kept.association).name if kept.association else ""
    return (kept.unit, *(each.file for each in kept.files), target, kept.target, association)


def _fitting(units: list[Kept], asked_for: str, folder: Location) -> list[Kept]:
    """Return the units of a name; else those that fit a pattern; else those with such a part."""
    word = asked_for.strip()
    path = Location.of(word).name if "/" in word else word

    def is_it(name: str) -> bool:
        return name in {word, path}

    def fits(name: str) -> bool:
        return fnmatch(name, word) or fnmatch(name, path)

    def has_it(name: str) -> bool:
        return bool(path) and path.lower() in name.lower()

    for fit in (is_it, fits, has_it):
        found = [each for each in units if any(fit(name) for name in _names(each) if name)]
        if found:
            return found
    names = [each.unit for each in units]
    close = get_close_matches(path, names, MOST, 0.3) or names[:MOST]
    raise UsageError(
        "A unit must be named by its product, its target, or a part of these",
        file=folder,
        value=asked_for,
        cure=f"Give, for example, {' or '.join(close)}" if close else "The campaign has no units",
    )


def _explained(
    reader: Reader,
    folder: Location,
    kept: Kept,
    settings: Mapping[str, Mapping[str, object]],
    goes_on: str,
) -> Explanation:
    verdict = kept.verdict
    parts = tuple(key_parts(kept, settings.get(kept.run, {})))
    files = tuple(
        FileNow(each.file, each.size, each.checksum, _file_now(folder / each.file, each.size))
        for each in kept.files
    )
    changed = [f"{each.name}: {each.now}" for each in parts if each.now]
    changed += [f"{each.file}: {each.now}" for each in files if each.now]
    took = None if kept.begun is None or kept.ended is None else kept.ended - kept.begun
    warnings = remarks(verdict) if verdict is not None else []
    return Explanation(
        unit=kept.unit,
        state=kept.state.value,
        standing=_standing(kept, changed, goes_on),
        target=kept.target,
        association=kept.association,
        kind=kept.kind,
        digest=kept.digest,
        why=kept.why,
        reason=verdict.reason if verdict is not None else "",
        error=verdict.error.to_dict() if verdict is not None and verdict.error else None,
        run=kept.run,
        begun=time_of(kept.begun),
        ended=time_of(kept.ended) if verdict is not None else "",
        seconds=took if verdict is not None else None,
        warnings=tuple(warnings),
        parts=parts,
        files=files,
        attempts=tuple(_attempt(each) for each in reader.attempts(kept.unit)),
        events=tuple(_happened(each) for each in reader.events(kept.unit)),
    )


def _standing(kept: Kept, changed: list[str], goes_on: str) -> str:
    if kept.verdict is None:
        if not goes_on:
            return "not done: " + ("interrupted" if kept.begun else "the run ended before its turn")
        return "being computed" if kept.begun else "waits for its turn"
    words = kept.state.value
    if kept.verdict.reason:
        words += f": {kept.verdict.reason}"
    if changed and kept.state.good:
        words += f"; stale, a run would do it again ({'; '.join(changed)})"
    elif changed:
        words += f"; since then: {'; '.join(changed)}"
    elif kept.state == State.COMPLETE:
        words += f" and valid{f' ({WHY})' if kept.why == WHY else ''}"
    return words


def _file_now(location: Location, size: int) -> str:
    now = location.size()
    if now < 0:
        return "missing"
    return "" if now == size else f"{now:,} bytes, the ledger says {size:,}"


def _attempt(row: Mapping[str, object]) -> Attempt:
    names = set(Attempt.__dataclass_fields__)
    values = {name: value for name, value in row.items() if name in names}
    started = row.get("started")
    values["started"] = time_of(started if isinstance(started, float) else None)
    return Attempt(**values)  # type: ignore[arg-type]


def _happened(row: Mapping[str, object]) -> Happened:
    when = row["time"]
    assert isinstance(when, float)
    words = [str(row[name] or "") for name in ("run", "event", "state", "words", "worker")]
    return Happened(time_of(when), *words)


def _attempt_words(each: Attempt) -> str:
    known = [f"{each.number}. on {each.worker or 'an unknown worker'}"]
    known += [f"({each.host})"] if each.host and each.host not in each.worker else []
    known += [f"began {each.started}"] if each.started else []
    known += [f"{each.seconds:.1f} s"] if each.seconds is not None else []
    for name, number in (("read", each.read), ("wrote", each.written), ("peak", each.peak_memory)):
        known += [f"{name} {human_bytes(number)}"] if number is not None else []
    known += [f"{each.state}{f': {each.reason}' if each.reason else ''}"]
    known += [f"log: {each.log}"] if each.log else []
    return f"run {each.run}, attempt {', '.join(known)}"
