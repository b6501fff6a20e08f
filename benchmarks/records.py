"""What two products say of themselves: which fields came, went, or have another name.

A product's record may be laid out anew, and its keys are others once the method's version or
the parts of a key are. All else that both records say has to be the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Fields", "flat", "is_key", "shown"]

_KEY = re.compile(r"[0-9a-f]{32,64}")
_INDEX = re.compile(r"\[\d+\]")

LAID_OUT = ("version",)
"""Fields that say how a record is laid out and who wrote it, not what was done."""


def is_key(value: object) -> bool:
    """Whether a value is a digest, such as a unit's key."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Give the leaves of a tree of mappings and sequences, each with the path to it.

    An empty mapping or sequence is a leaf.
    """
    if isinstance(node, Mapping) and node:
        for name, item in node.items():
            yield from flat(item, f"{path}.{name}" if path else str(name))
    elif isinstance(node, Sequence) and not isinstance(node, str) and node:
        for i, item in enumerate(node):
            yield from flat(item, f"{path}[{i}]")
    else:
        yield path, node


def shown(value: object, most: int = 60) -> str:
    """Return a value for a line of text."""
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"


@dataclass
class Fields:
    """Counts over many records what may differ in them.

    Attributes
    ----------
    records : int
        Pairs that were looked at.
    keys, written : Counter
        Fields whose digests differ; other differences that are allowed, in words.
    gone, new, moved : Counter
        Fields that only the old records have, only the new ones, and pairs of a field that is
        gone and the one field that came with the same value.
    """

    records: int = 0
    keys: Counter[str] = field(default_factory=Counter)
    written: Counter[str] = field(default_factory=Counter)
    gone: Counter[str] = field(default_factory=Counter)
    new: Counter[str] = field(default_factory=Counter)
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)

    def compare(self, old: Any, new: Any, name: str = "") -> list[str]:
        """Compare two records; count what may differ, return what may not, in words.

        ``name`` is put before the fields' names.
        """
        self.records += 1
        before, after = dict(flat(old)), dict(flat(new))
        found = []
        for path in [path for path in before if path in after]:
            values = before.pop(path), after.pop(path)
            if repr(values[0]) == repr(values[1]):
                continue
            if all(map(is_key, values)):
                self.keys[f"{name}{_plain(path)}"] += 1
            elif path in LAID_OUT:
                self.written[f"{name}{path}"] += 1
            else:
                found.append(f"{name}{path} is {shown(values[1])}, was {shown(values[0])}")
        gone, come = _gathered(before), _gathered(after)
        for path in [path for path in gone if path in come]:  # a list that grew or shrank
            values = gone.pop(path), come.pop(path)
            found.append(f"{name}{path} is {shown(values[1])}, was {shown(values[0])}")
        self._count(gone, come, name)
        return found

    def add(self, other: Fields) -> None:
        """Add the counts of others."""
        self.records += other.records
        for name in ("keys", "written", "gone", "new", "moved"):
            getattr(self, name).update(getattr(other, name))

    def summary(self) -> list[str]:
        """Return what differs and may, one line for each field."""
        moved = dict(self.moved)
        gone, new = self.gone.copy(), self.new.copy()
        lines = []
        for (before, after), times in sorted(moved.items()):
            if times == self.gone[before] == self.new[after]:  # wherever they are, they go together
                lines.append(f"{before} is now {after} ({times}×)")
                del gone[before], new[after]
        lines += [f"{path} is gone ({times}×)" for path, times in sorted(gone.items())]
        lines += [f"{path} is new ({times}×)" for path, times in sorted(new.items())]
        lines += [f"{path} is another key ({times}×)" for path, times in sorted(self.keys.items())]
        lines += [f"{what} differs ({times}×)" for what, times in sorted(self.written.items())]
        return lines

    def _count(self, gone: _Gathered, new: _Gathered, name: str) -> None:
        """Count the fields that only one record has, each once however long its list is."""
        self.gone.update(name + path for path in gone)
        self.new.update(name + path for path in new)
        for path, values in gone.items():
            same = [other for other, found in new.items() if repr(found) == repr(values)]
            if len(same) == 1:
                self.moved[name + path, name + same[0]] += 1


_Gathered = dict[str, list[Any]]
"""The values by field, the items of a list together."""


def _gathered(leaves: Mapping[str, Any]) -> _Gathered:
    found: _Gathered = {}
    for path, value in leaves.items():
        found.setdefault(_plain(path), []).append(value)
    return found


def _plain(path: str) -> str:
    return _INDEX.sub("", path)
