"""Keys: what determines a result, in named parts. Same key, same result.

A key can say in words where it differs from another. What does not change the result is no part
of it: memory, threads, the cluster, and where files lie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from types import MappingProxyType
from typing import Any

from bkgflow.detector import Window
from bkgflow.io.storage.identity import Identity

__all__ = ["Difference", "Key", "Part"]

Plain = str | int | float | bool | None
Atom = Plain | Identity
Value = Atom | tuple[Plain, ...]
"""What a part may be: anything else would go into a hash by chance."""

IDENTITY = tuple(each.name for each in fields(Identity))


EMPTY: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a result depends on, in a user's words: ``sigma``, ``reference bkg``."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two keys differ: the name of a part, and what is other, in words."""

    name: str
    words: str


@dataclass(frozen=True)
class Key:
    """What determines a result, in a fixed order.

    Several parts may have one name, such as the members of a background.
    """

    parts: tuple[Part, ...]

    @classmethod
    def of(cls, parts: Iterable[tuple[str, object]]) -> Key:
        """Make a key of pairs of name and value; windows and lists become plain.

        Raises
        ------
        TypeError
            If a value is of a type that no key holds.
        """
        return cls(tuple(Part(name, _checked(name, value)) for name, value in parts))

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits that stand for the parts."""
        text = json.dumps([(part.name, _plain(part.value)) for part in self.parts])
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def differs(self, before: Key) -> list[str]:
        """Say in words where this key differs from an earlier one; nothing where it does not."""
        return [each.words for each in self.differences(before)]

    def differences(self, before: Key, usual: Mapping[str, object] = EMPTY) -> list[Difference]:
        """Return where this key differs from an earlier one, part by part.

        ``usual`` has the values of parts that stand in keys only where they are others.
        """
        names = dict.fromkeys(part.name for part in (*before.parts, *self.parts))
        return [
            Difference(name, words)
            for name in names
            for words in _differences(
                name,
                before.values(name) or _usual(name, usual),
                self.values(name) or _usual(name, usual),
            )
        ]

    def values(self, name: str) -> list[Value]:
        """Return the values of all parts with a name."""
        return [part.value for part in self.parts if part.name == name]

    @property
    def checksums(self) -> int:
        """Of how many files it knows the bytes."""
        files = (part.value for part in self.parts if isinstance(part.value, Identity))
        return sum(bool(each.checksum) for each in files)

    def without(self, *names: str) -> Key:
        """Return the key without some of its parts."""
        return Key(tuple(part for part in self.parts if part.name not in names))

    def to_json(self) -> str:
        """Return the parts as JSON text."""
        return json.dumps([(part.name, _told(part.value)) for part in self.parts])

    @classmethod
    def from_json(cls, text: str) -> Key:
        """Return the key that `to_json` wrote."""
        return cls(tuple(Part(name, _read(value)) for name, value in json.loads(text)))


def _checked(name: str, value: object) -> Value:
    if isinstance(value, Atom):
        return value
    if isinstance(value, Window):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(item, Plain) for item in value):
        return tuple(value)
    raise TypeError(f"a key cannot hold {name} = {value!r} ({type(value).__name__})")


def _usual(name: str, usual: Mapping[str, object]) -> list[Value]:
    return [_checked(name, usual[name])] if name in usual else []


def _plain(value: Value) -> object:
    if isinstance(value, Identity):
        # Where the bytes are known, it does not matter when they were written.
        when = 0 if value.checksum else value.mtime_ns
        return [value.name, value.size, when, value.checksum]
    return value


def _told(value: Value) -> object:
    if not isinstance(value, Identity):
        return value
    # By hand: a plan has tens of thousands of them, and `asdict` copies every value.
    return {each: getattr(value, each) for each in IDENTITY}


def _read(value: Any) -> Value:
    if isinstance(value, dict):
        return Identity(**value)
    return tuple(value) if isinstance(value, list) else value


def _differences(name: str, before: list[Value], now: list[Value]) -> Iterator[str]:
    """Compare the values of one name, in any order; single ones by what changed in them."""
    gone = [value for value in before if not any(_same(value, each) for each in now)]
    new = [value for value in now if not any(_same(value, each) for each in before)]
    match gone, new:
        case [Identity() as old], [Identity() as other]:
            yield f"{name}: {old.differs(other)}"
        case [old], [other]:
            yield f"{name} {_word(old)} → {_word(other)}"
        case _:
            yield from (f"{name}: without {_word(value)}" for value in gone)
            yield from (f"{name}: with {_word(value)}" for value in new)


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, Identity) and isinstance(other, Identity):
        return not one.differs(other)
    return one == other


def _word(value: Value) -> str:
    if isinstance(value, Identity):
        return value.name
    if isinstance(value, tuple):
        return ", ".join(map(_word, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value) or "none"
