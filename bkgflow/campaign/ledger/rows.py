"""What a ledger tells and is told: plain values between the tables and the campaign."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from bkgflow.io.storage.owner import Owner
from bkgflow.planning.keys import Key
from bkgflow.planning.unit import Unit
from bkgflow.verdict import State, Verdict

__all__ = [
    "NUMBER",
    "Kept",
    "KeptFile",
    "RunRow",
    "names_of",
    "refused_name",
    "verdict_from",
    "verdict_to",
]

NUMBER = "number"
"""What, beside a run's command, says the how manieth of its campaign it is."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file that a unit has written: its name in the output folder, and which version it is."""

    file: str
    size: int
    mtime_ns: int
    checksum: str
    digest: str


@dataclass(frozen=True, slots=True)
class Kept:
    """How a unit stands in the ledger.

    Attributes
    ----------
    unit : str
        Its name there: that of its product.
    key_text, shared_text : str
        JSON of its key and of that of the shared result that it waits for; see `Key.to_json`.
    verdict : Verdict or None
        None where it never ended.
    why : str
        Why it was last taken up.
    files : tuple of KeptFile
        What it has written: for this key, or for an earlier one.
    begun, ended : float or None
        When, in seconds since 1970.
    """

    unit: str
    state: State
    digest: str
    key_text: str
    verdict: Verdict | None
    why: str
    run: str
    target: str
    association: str
    kind: str
    files: tuple[KeptFile, ...] = ()
    shared_text: str = ""
    begun: float | None = None
    ended: float | None = None

    @property
    def key(self) -> Key:
        """What determines what it stands for; read only where it is asked for."""
        return Key.from_json(self.key_text)

    @property
    def shared_key(self) -> Key | None:
        """The key of the shared result that it waits for; None without one."""
        return Key.from_json(self.shared_text) if self.shared_text else None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run of a campaign.

    Attributes
    ----------
    asked : mapping
        The command that makes such a run again: program, arguments, cluster.
    number : int
        The how manieth of its campaign it is: clocks may be wrong. 0 where nobody has counted.
    """

    run: str
    version: str
    owner: Owner
    user: str
    started: float
    to_do: int
    kept: int
    settings: Mapping[str, object] = field(default_factory=dict)
    asked: Mapping[str, object] = field(default_factory=dict)
    ended: float | None = None
    stopped: str | None = None
    number: int = 0


def names_of(units: Iterable[Unit]) -> dict[str, str]:
    """Return what a ledger calls each unit, by the digests of their keys: each name once.

    It is the name of its product, wherever the program lies, so that a program which was moved,
    or planned anew, has the same units.
    """
    seen: Counter[str] = Counter()
    names = {}
    for unit in units:
        if unit.digest in names:
            continue
        name = unit.output or refused_name(unit)
        seen[name] += 1
        names[unit.digest] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return names


def refused_name(unit: Unit) -> str:
    """Return what a ledger calls a unit that is refused: it has no product."""
    return f"{PurePath(unit.association).name}: {unit.product or unit.name}"


def verdict_to(verdict: Verdict) -> str:
    """Return a verdict as JSON text; its files stand in a table of their own."""
    parts = verdict.to_dict()
    for name in ("products", "sizes", "checksums"):
        parts[name] = []
    return json.dumps(parts, separators=(",", ":"))


def verdict_from(text: str | None, products: Iterable[str]) -> Verdict | None:
    """Return the verdict that `verdict_to` wrote, with the files that are there."""
    if not text:
        return None
    return Verdict.from_dict(json.loads(text) | {"products": list(products)})
