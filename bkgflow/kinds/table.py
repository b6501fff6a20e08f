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
    "template": "bkgflow.kinds.template:TemplateKind",
}
"""Where each kind is at home: it is imported when a unit of it is met, with all that it needs."""


IMAGING = frozenset(
    {
        *("NRC_IMAGE", "NRC_TSIMAGE", "NRC_CORON", "NIS_IMAGE", "FGS_IMAGE"),
        *("MIR_IMAGE", "MIR_LYOT", "MIR_4QPM", "MIR_CORONCAL"),
    }
)
"""Exposure types of images of the sky, those behind a coronagraph among them."""

NOT_APPLICABLE = "N/A"


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds of units by their names: of exposure types (EXP_TYPE, in capitals), of those that
    take templates where ``override_bkg`` names some, and of all others."""

    usual: str
    special: tuple[tuple[frozenset[str], str], ...]
    templated: tuple[tuple[frozenset[str], str], ...] = ()

    def of(self, exp_type: str, override_bkg: object = None) -> Kind:
        """Return the kind for an exposure type, and for what ``override_bkg`` is."""
        named = override_bkg is not None and str(override_bkg).strip().upper() != NOT_APPLICABLE
        rows = (*self.special, *(self.templated if named else ()))
        return self.named(next((name for types, name in rows if exp_type in types), self.usual))

    def named(self, name: str) -> Kind:
        """Return the kind with a name; there is one."""
        return _imported(HOMES[name])

    @property
    def names(self) -> tuple[str, ...]:
        """Of every kind."""
        return (self.usual, *(name for _, name in (*self.special, *self.templated)))


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
    templated=((IMAGING, "template"),),
)
"""Exposure types whose background is a scaled reference have kinds of their own; all others use
other exposures, but for images for which a template is named."""
