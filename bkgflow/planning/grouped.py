"""Units that stand as they do for the same reason, told once and counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from bkgflow.planning.unit import Unit
from bkgflow.texts import listed, many
from bkgflow.verdict import State, Verdict

__all__ = ["Group", "Told", "first_lines", "group_reasons", "grouped"]

MOST = 5
"""Groups of a plan or a result that is printed."""

MOST_LETTERS = 300
"""Of the reason of one of them."""

NUMBERS = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True, slots=True)
class Group:
    """Units of one state whose reasons are equal but for numbers, files and values.

    Attributes
    ----------
    state : State
        Of all of them.
    text : str
        The reason; of several that differ, the first.
    same : bool
        Whether all reasons are the same to the letter.
    units : tuple of str
        Names of the targets.
    files : tuple of str
        The files at fault, each once.
    """

    state: State
    text: str
    same: bool
    units: tuple[str, ...]
    files: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """Give what is to be said, a line each: what and how many, which files, which units."""
        such = "" if self.same else "such as: "
        yield f"{many(len(self.units), 'unit')} {self.state}: {such}{self.text}"
        names = [PurePosixPath(each).name for each in self.files]
        if len(self.files) == 1:
            yield f"File: {self.files[0]}"
        elif self.files:
            yield f"Files: {listed(names)}"
        if list(self.units) != names:
            yield f"{'Target' if len(self.units) == 1 else 'Targets'}: {listed(self.units)}"


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of one unit: its text, the rule by which it is like others, a file at fault."""

    state: State
    text: str
    rule: str
    unit: str
    file: str = ""


def grouped(
    pairs: Iterable[tuple[Unit, Verdict]],
    words: Callable[[Verdict], Iterable[str]] = lambda verdict: (),
) -> list[Group]:
    """Group units by their reasons; those that went well come first, without what is as usual.

    ``words`` gives what is to be said of a unit beside its reason, a sentence each.
    """
    return group_reasons(_told(pairs, words))


def _told(
    pairs: Iterable[tuple[Unit, Verdict]], words: Callable[[Verdict], Iterable[str]]
) -> Iterator[Told]:
    for unit, verdict in pairs:
        error = verdict.error
        said = [_reason(verdict)] if verdict.reason else []
        for text in (*said, *words(verdict)):
            rule = error.rule if error is not None and text in said else text
            file = error.file if error is not None and error.file else ""
            yield Told(verdict.state, text, rule, unit.name, file)


def group_reasons(told: Iterable[Told]) -> list[Group]:
    """Group what is said of units, as `grouped` does."""
    found: dict[tuple[State, str], list[tuple[str, str, str]]] = {}
    for each in told:
        key = each.state, NUMBERS.sub("#", each.rule)
        found.setdefault(key, []).append((each.text, each.unit, each.file))
    groups = [_group(state, told) for (state, _), told in found.items()]
    return sorted(groups, key=lambda group: not group.state.good)


def _reason(verdict: Verdict) -> str:
    """Return the reason without the file, which is listed apart."""
    file = verdict.error.file if verdict.error is not None else None
    return verdict.reason.removeprefix(f"{file}: ")


def _group(state: State, told: list[tuple[str, str, str]]) -> Group:
    texts, units, files = zip(*told, strict=True)
    return Group(
        state,
        texts[0],
        len(set(texts)) == 1,
        tuple(dict.fromkeys(units)),
        tuple(dict.fromkeys(filter(None, files))),
    )


def first_lines(groups: list[Group]) -> list[str]:
    """Return what the first groups say, and how many are left."""
    lines = []
    for group in groups[:MOST]:
        first, *others = group.lines()
        cut = first if len(first) <= MOST_LETTERS else f"{first[:MOST_LETTERS]}…"
        lines += [cut, *(f"  {each}" for each in others)]
    left = len(groups) - MOST
    return [*lines, f"… and {many(left, 'more reason')}"] if left > 0 else lines
