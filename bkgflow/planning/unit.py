"""What a plan is made of: units, what several of them share, and the references they rest on."""

from __future__ import annotations

from dataclasses import dataclass, field

from bkgflow.detector import Window
from bkgflow.io.references.masking import Masking
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location
from bkgflow.planning.keys import Key
from bkgflow.texts import many
from bkgflow.verdict import State, Verdict

__all__ = ["IMPRINT_BYTES", "Imprint", "References", "Shared", "Unit"]


IMPRINT_BYTES = 8
"""Of a pixel of an imprint: SCI (float32) and DQ (uint32)."""


@dataclass(frozen=True, slots=True)
class References:
    """Files that a fit reads beside its exposure.

    Attributes
    ----------
    background : tuple of Location
        The reference skies; several are components of one fit.
    wavelengthrange, catalog, mask : Location or None
        None where not needed.
    origins : tuple of (str, str)
        Where each reference came from, such as ("bkg", "crds jwst_1303.pmap").
    identities : tuple of (str, Identity)
        Which version of each file it was, with what it is: "reference bkg", "catalog", "mask".
    keywords : tuple of (str, str)
        FITS keywords that name them in a product, as the reference step writes them.
    """

    background: tuple[Location, ...]
    wavelengthrange: Location | None = None
    catalog: Location | None = None
    mask: Location | None = None
    origins: tuple[tuple[str, str], ...] = ()
    identities: tuple[tuple[str, Identity], ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()

    @property
    def files(self) -> tuple[Location, ...]:
        """All of them."""
        others = (self.wavelengthrange, self.catalog, self.mask)
        return (*self.background, *(each for each in others if each is not None))


@dataclass(frozen=True, slots=True)
class Imprint:
    """What becomes of the imprint that a target has, before anything else is done to it.

    Attributes
    ----------
    state : State
        COMPLETE where it is subtracted, SKIPPED where none of those given belongs to the target.
    location : Location or None
        Of the imprint that is subtracted.
    """

    state: State
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """A result that is computed once, for all units that wait for it.

    Attributes
    ----------
    kind : str
        Of the units: it knows how the result is computed.
    window : Window
        Of the units, on the detector.
    members : tuple of Location
        The exposures that it is made of.
    references : tuple of Location
        The reference files that it is made of.
    imprints : tuple of (Location or None)
        For each member, what is subtracted from it first; empty where that is nothing.
    masking : Masking or None
        By what sources are masked in the members.
    target : Location or None
        The exposure to whose level they are scaled; None where they are not.
    target_imprint : Location or None
        What is subtracted from that first.
    scale_map : Location or None
        Says which regions are scaled apart.
    """

    kind: str
    key: Key
    window: Window
    members: tuple[Location, ...]
    references: tuple[Location, ...] = ()
    imprints: tuple[Location | None, ...] = ()
    masking: Masking | None = None
    target: Location | None = None
    target_imprint: Location | None = None
    scale_map: Location | None = None

    @property
    def pairs(self) -> tuple[tuple[Location, Location | None], ...]:
        """Each member with its imprint."""
        imprints = self.imprints or (None,) * len(self.members)
        return tuple(zip(self.members, imprints, strict=True))

    def __repr__(self) -> str:
        """Short: at a prompt there may be hundreds."""
        return f"<Shared {self.kind} {self.digest[:8]}: {many(len(self.members), 'exposure')}>"

    @property
    def digest(self) -> str:
        """What stands for its key, in units and graphs."""
        return self.key.digest


@dataclass(frozen=True, slots=True)
class Unit:
    """One product of one association.

    Attributes
    ----------
    association : str
        Where it was asked for; empty without an association.
    product : str
        What the association calls it.
    kind : str
        How it is done, by the exposure's type; empty where that could not be found out.
    target : Location
        The science exposure; the association, where that could not be found out.
    output : str
        File name of the product, within the plan's output folder; empty where there is none.
    companions : tuple of str
        File names of what is written beside it.
    verdict : Verdict
        PLANNED; or SKIPPED or QUARANTINED where the headers decide it already.
    shared : str
        Digest of the shared result that it waits for; empty without one.
    imprint : Imprint or None
        What becomes of the target's imprint; None where there is nothing to be said of one.
    notes : tuple of str
        What a user should know about how the members were read.
    mismatches : tuple of str
        In what backgrounds differ from the target because it was allowed.
    keywords : tuple of (str, str)
        FITS keywords of the product that name what it was made with.
    """

    key: Key
    association: str
    product: str
    kind: str
    target: Location
    output: str
    companions: tuple[str, ...] = ()
    verdict: Verdict = field(default_factory=Verdict.planned)
    shared: str = ""
    references: References | None = None
    notes: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    imprint: Imprint | None = None
    keywords: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        """Short: at a prompt there may be thousands."""
        return f"<Unit {self.name} → {self.output or 'none'}: {self.verdict.state}>"

    @property
    def digest(self) -> str:
        """What stands for its key, in graphs and events."""
        return self.key.digest

    @property
    def name(self) -> str:
        """File name of the target."""
        return self.target.name

    @property
    def files(self) -> tuple[str, ...]:
        """File names of all that it writes."""
        return (self.output, *self.companions) if self.output else ()
