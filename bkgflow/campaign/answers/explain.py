"""Why units of a campaign stand as they do: all that its ledger knows of them, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatch

from bkgflow.campaign.answers.asked import asked, running, time_of
from bkgflow.campaign.answers.explanation import (
    Attempt,
    Explained,
    Explanation,
    FileNow,
    Happened,
)
from bkgflow.campaign.answers.inputs_now import KeyPart, Places, key_parts, places_of
from bkgflow.campaign.answers.wanted import still_wanted
from bkgflow.campaign.ledger.reader import Reader
from bkgflow.campaign.ledger.restore import WHY
from bkgflow.campaign.ledger.rows import Kept, KeptFile, RunRow
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.report.unit_tables import remarks
from bkgflow.texts import listed
from bkgflow.verdict import State

__all__ = ["explain"]

MOST = 5
"""Names of units that are like one which is not there."""


def explain(output: PathLike, unit: str) -> Explained:
    """Say why units of a campaign stand as they do; see `bkgflow.explain`."""
    folder = Location.of(output)
    goes_on = running(folder)
    with asked(folder) as reader:
        everything = reader.units(all_of_them=True)
        chosen = _fitting(everything, unit, folder)
        wanted = still_wanted(everything, {each.unit for each in reader.units()})
        runs, places = {each.run: each for each in reader.runs()}, places_of(folder)
        known = [
            _explained(reader, folder, each, runs, places, goes_on, wanted=each.unit in wanted)
            for each in chosen
        ]
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
    runs: Mapping[str, RunRow],
    places: Places,
    goes_on: str,
    *,
    wanted: bool,
) -> Explanation:
    verdict = kept.verdict
    parts = tuple(key_parts(kept, runs.get(kept.run), places))
    files = tuple(
        FileNow(each.file, each.size, each.checksum, _file_now(folder / each.file, each))
        for each in kept.files
    )
    changed = [f"{each.name}: {each.now}" for each in parts if each.now]
    changed += [f"{each.file}: {each.now}" for each in files if each.now]
    took = None if kept.begun is None or kept.ended is None else kept.ended - kept.begun
    warnings = remarks(verdict) if verdict is not None else []
    return Explanation(
        unit=kept.unit,
        state=kept.state.value,
        standing=_standing(kept, parts, changed, goes_on) if wanted else _unwanted(kept),
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


def _standing(kept: Kept, parts: Sequence[KeyPart], changed: Sequence[str], goes_on: str) -> str:
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
        missing = [part.value for part in parts if not part.looked_at]
        words += (
            f"; nothing that was found has changed (not found, nor compared: {listed(missing)})"
            if missing
            else f" and valid{f' ({WHY})' if kept.why == WHY else ''}"
        )
    return words


def _unwanted(kept: Kept) -> str:
    gone = "the program has no such unit any more"
    return f"{kept.state.value}; {gone}" if kept.verdict is not None else f"not done: {gone}"


def _file_now(location: Location, file: KeptFile) -> str:
    """Say how a product differs from what the ledger has; its bytes are read if its time does."""
    now = location.stamp()
    if now is None:
        return "missing"
    if now.size != file.size:
        return f"{now.size:,} bytes, the ledger says {file.size:,}"
    if now.mtime_ns == file.mtime_ns or location.checksum() == file.checksum:
        return ""
    return "other bytes than the ledger says"


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
