"""Units explained, as values: how they stand, what they were made from, what happened to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.inputs_now import KeyPart
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.report.tables import human_bytes
from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Attempt", "Explained", "Explanation", "FileNow", "Happened"]

COLUMNS = ("unit", "state", "standing", "target", "why", "reason", "run", "ended")


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
            unseen = "" if part.looked_at else " — not compared: it is not where it may lie"
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


def _attempt_words(each: Attempt) -> str:
    known = [f"{each.number}. on {each.worker or 'an unknown worker'}"]
    known += [f"({each.host})"] if each.host and each.host not in each.worker else []
    known += [f"began {each.started}"] if each.started else []
    known += [f"{each.seconds:.1f} s"] if each.seconds is not None else []
    for name, number in (("read", each.read), ("wrote", each.written), ("peak", each.peak_memory)):
        known += [f"{name} {human_bytes(number)}"] if number is not None else []
    known += [f"{each.state}{f': {each.reason}' if each.reason else ''}"]
    words = f"run {each.run}, attempt {', '.join(known)}"
    said = each.log.splitlines() if each.state not in {"COMPLETE", "SKIPPED"} else []
    return "\n".join((words, *(f"    {line}" for line in said)))
