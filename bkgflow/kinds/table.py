"""Which kind an exposure is: the only place that asks."""

from __future__ import annotations

from dataclasses import dataclass

from bkgflow.kinds.base import Kind
from bkgflow.kinds.image import ImageKind
from bkgflow.kinds.slitless import SlitlessKind
from bkgflow.kinds.soss import SossKind

__all__ = ["KINDS", "Kinds"]


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of units: of exposure types (EXP_TYPE, in capitals), and of all others."""

    usual: Kind
    special: tuple[tuple[frozenset[str], Kind], ...]

    def of(self, exp_type: str) -> Kind:
        """Return the kind for an exposure type."""
        return next((kind for types, kind in self.special if exp_type in types), self.usual)

    def named(self, name: str) -> Kind:
        """Return the kind with a name; there is one."""
        return {kind.name: kind for kind in self.all}[name]

    @property
    def all(self) -> tuple[Kind, ...]:
        """Every kind."""
        return (self.usual, *(kind for _, kind in self.special))


KINDS = Kinds(
    usual=ImageKind(),
    special=(
        (frozenset({"NIS_WFSS", "NRC_WFSS", "MIR_WFSS"}), SlitlessKind()),
        (frozenset({"NIS_SOSS"}), SossKind()),
    ),
)
"""Exposure types whose background is a scaled reference have kinds of their own; all others use
other exposures."""
