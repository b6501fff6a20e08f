"""The inputs of a unit as they are on the disk now, beside those that its key names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bkgflow.campaign.asked import Asked
from bkgflow.campaign.ledger.rows import Kept, RunRow
from bkgflow.errors import BkgflowError
from bkgflow.io.exposures.kept import KeptFacts
from bkgflow.io.storage.checksum import with_checksums
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.planning.keys import Part

__all__ = ["KeyPart", "Places", "key_parts", "places_of"]

HIDDEN = {"shared result"}
"""Parts of keys that are digests: what they stand for is told."""

INPUTS = {"--bkg-list", "--data", "--references"}
"""Options whose values name inputs, beside those that are settings."""

SECONDS = 1e9


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A thing that a unit's result depends on.

    Attributes
    ----------
    name, value : str
        What it is, and which; a file by its name, size and time.
    now : str
        How a file is on the disk now, where it differs; empty where it does not.
    looked_at : bool
        Whether a file was found, to be compared; true of what is no file.
    """

    name: str
    value: str
    now: str = ""
    looked_at: bool = True


Places = Mapping[str, Sequence[Location]]
"""Where files were when their headers were read, by their names."""


def places_of(output: Location) -> Places:
    """Return where the last run of an output folder found exposures."""
    places: dict[str, list[Location]] = defaultdict(list)
    for location in KeptFacts.read(output).found:
        places[location.name].append(location)
    return places


def key_parts(kept: Kept, run: RunRow | None, places: Places) -> list[KeyPart]:
    """Return the parts of a unit's key and of the result that it shares, in words.

    Parameters
    ----------
    run : RunRow, optional
        The one that did the unit: its settings and its command may name references.
    places : mapping
        See `places_of`.
    """
    shared = kept.shared_key.parts if kept.shared_key is not None else ()
    own = [part for part in kept.key.parts if part.name not in HIDDEN]
    names = {part.name for part in own}
    # Settings and the method stand in both; files of the shared result in its own key alone.
    parts = [*own, *(part for part in shared if part.name not in names | HIDDEN)]
    folders = list(dict.fromkeys(_folders(kept, run)))
    return [_told(part, kept, folders, places) for part in sorted(parts, key=_order)]


def _order(part: Part) -> int:
    """Files first: the target, what is subtracted from it, references; then settings."""
    if not isinstance(part.value, Identity):
        return 3
    return 0 if part.name == "target" else 2 if part.name.startswith("reference") else 1


def _told(part: Part, kept: Kept, folders: Sequence[Location], known: Places) -> KeyPart:
    if not isinstance(part.value, Identity):
        value = part.value
        words = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        return KeyPart(part.name, words or "none")
    before = part.value
    words = f"{before.name} ({before.size:,} bytes)"
    target = Location.of(kept.target) if kept.target else None
    if part.name == "target" and target is not None:
        places = [target]
    else:
        places = [*known.get(before.name, ()), *(folder / before.name for folder in folders)]
    found = [each for each in places if each.size() >= 0]
    if not found:
        if part.name == "target" and target is not None:
            return KeyPart(part.name, words, f"not there ({target})")
        if before.name in known and target is not None and target.size() >= 0:
            return KeyPart(part.name, words, f"not there ({known[before.name][0]})")
        return KeyPart(part.name, words, looked_at=False)
    differs = [_differs(each, before) for each in found]
    return KeyPart(part.name, words, "" if "" in differs else differs[0])


def _differs(location: Location, before: Identity) -> str:
    """Say how a file differs now from the one that a key names; empty where it does not."""
    try:
        now = location.identity("An input")
        if before.checksum and (now.size, now.mtime_ns) != (before.size, before.mtime_ns):
            with with_checksums():
                now = location.identity("An input")
    except BkgflowError as error:
        return f"not readable ({error.value})"
    if now.size != before.size:
        return f"{now.size:,} bytes"
    if now.checksum and before.checksum:
        return "" if now.checksum == before.checksum else "other bytes, of the same size"
    if now.mtime_ns != before.mtime_ns:
        seconds = (now.mtime_ns - before.mtime_ns) / SECONDS
        return f"written again, {abs(seconds):,.0f} s {'later' if seconds > 0 else 'earlier'}"
    return ""


def _folders(kept: Kept, run: RunRow | None) -> Iterator[Location]:
    """Yield folders where members and references may lie: beside the files that are known."""
    for each in (kept.target, kept.association):
        if each:
            yield Location.of(each).parent
    record = kept.verdict.record if kept.verdict is not None else None
    for origin in (record.reference_origins or {}).values() if record is not None else ():
        yield from _named(origin.partition(" ")[2], "")
    if run is not None:
        asked = Asked.from_dict(run.asked)
        yield from _named(run.settings, asked.folder)
        yield from _named(list(_inputs(asked.command)), asked.folder)


def _inputs(command: Sequence[str]) -> Iterator[str]:
    """Yield the words of a command that may name inputs.

    A word behind another option may be its value, or a program behind a flag: no server is asked
    for it. What a program's URL names is known by its units.
    """
    before = ""
    for word in command:
        name, equals, value = word.partition("=")
        option = word.startswith("-") and before != "--"
        if option and equals and name.replace("_", "-") in INPUTS:
            yield value
        elif not option and (before in {"", "--", *INPUTS} or "://" not in word):
            yield word
        if before != "--":
            before = name.replace("_", "-") if option and not equals else ""


def _named(value: object, where: str) -> Iterator[Location]:
    """Yield the folders that settings or a command name, and those of the files they name.

    ``where`` is the folder from which relative names count; empty where nobody knows it.
    """
    if isinstance(value, Mapping):
        for each in value.values():
            yield from _named(each, where)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _named(each, where)
    elif isinstance(value, str) and "\n" not in value:
        for name in value.split(","):
            if name.startswith("/") or "://" in name:
                location = Location.of(name)
            elif where and name and not name.startswith("-"):
                location = Location.of(where) / name
            else:
                continue
            yield location
            yield location.parent
