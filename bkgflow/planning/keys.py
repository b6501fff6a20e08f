"""Keys: what determines a result, in named parts. Same key, same result.

A key can say in words where it differs from another. What does not change the result is no part
of it: memory, threads, the cluster, and where files lie.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from bkgflow.detector import Window
from bkgflow.io.storage.identity import Identity

__all__ = ["Key", "Part"]

Plain = str | int | float | bool | None
Atom = Plain | Identity
Value = Atom | tuple[Plain, ...]
"""What a part may be: anything else would go into a hash by chance."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a result depends on, in a user's words: ``sigma``, ``reference bkg``."""

    name: str
    value: Value


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
        names = dict.fromkeys(part.name for part in (*before.parts, *self.parts))
        return [
            words
            for name in names
            for words in _differences(name, before._of(name), self._of(name))
        ]

    def _of(self, name: str) -> list[Value]:
        return [part.value for part in self.parts if part.name == name]


def _checked(name: str, value: object) -> Value:
    if isinstance(value, Atom):
        return value
    if isinstance(value, Window):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(item, Plain) for item in value):
        return tuple(value)
    raise TypeError(f"a key cannot hold {name} = {value!r} ({type(value).__name__})")


def _plain(value: Value) -> object:
    if isinstance(value, Identity):
        return [value.name, value.size, value.mtime_ns, value.checksum]
    return value


def _differences(name: str, before: list[Value], now: list[Value]) -> Iterator[str]:
    """Compare the values of one name, in any order; single ones by what changed in them."""
    gone = [value for value in before if value not in now]
    new = [value for value in now if value not in before]
    match gone, new:
        case [Identity() as old], [Identity() as other]:
            yield f"{name}: {old.differs(other)}"
        case [old], [other]:
            yield f"{name} {_word(old)} → {_word(other)}"
        case _:
            yield from (f"{name}: without {_word(value)}" for value in gone)
            yield from (f"{name}: with {_word(value)}" for value in new)


def _word(value: Value) -> str:
    if isinstance(value, Identity):
        return value.name
    if isinstance(value, tuple):
        return ", ".join(map(_word, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
