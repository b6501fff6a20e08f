"""Which kind an exposure is: the only place that asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pkgutil import resolve_name

from bkgflow.kinds.base import Kind

__all__ = ["KINDS", "Kinds"]

HOMES = {
    "image": "bkgflow.kinds.image:ImageKind",
    "slitless": "bkgflow.kinds.slitless:SlitlessKind",
    "soss": "bkgflow.kinds.soss:SossKind",
}
"""Where each kind is at home: it is imported when a unit of it is met, with all that it needs."""


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of units by their names: of exposure types (EXP_TYPE, in capitals), and of all
    others."""

    usual: str
    special: tuple[tuple[frozenset[str], str], ...]

    def of(self, exp_type: str) -> Kind:
        """Return the kind for an exposure type."""
        return self.named(
            next((name for types, name in self.special if exp_type in types), self.usual)
        )

    def named(self, name: str) -> Kind:
        """Return the kind with a name; there is one."""
        return _imported(HOMES[name])

    @property
    def names(self) -> tuple[str, ...]:
        """Of every kind."""
        return (self.usual, *(name for _, name in self.special))


@cache
def _imported(home: str) -> Kind:
    kind: Kind = resolve_name(home)()
    return kind


KINDS = Kinds(
    usual="image",
    special=(
        (frozenset({"NIS_WFSS", "NRC_WFSS", "MIR_WFSS"}), "slitless"),
        (frozenset({"NIS_SOSS"}), "soss"),
    ),
)
"""Exposure types whose background is a scaled reference have kinds of their own; all others use
other exposures."""
