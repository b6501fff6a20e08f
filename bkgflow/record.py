"""What a product says of itself: typed, versioned, written into ``meta.bkgflow`` and HISTORY.

A record is flat in the product's tree, so that people find a value by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sized
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

__all__ = [
    "HAD_IMPRINT",
    "NO_IMPRINT",
    "Found",
    "ImageFound",
    "Record",
    "Scale",
    "SlitlessFound",
    "SossFound",
    "TemplateFound",
    "history",
    "plain",
    "printable",
]

LAYOUT = 2
"""Of the names in a product's record; raised when one is renamed or changes its meaning."""

NO_IMPRINT = "none"
"""What a record says of a background from which no imprint was subtracted."""

HAD_IMPRINT = "subtracted before"
"""What it says of one whose header says that this was done already."""

MOST_WORDS = 20
"""Items of a list in HISTORY, such as scales over time; ``meta.bkgflow`` has them all."""

UNSPOKEN = {"layout", "version", "state"}
"""Names that HISTORY has in its first line, or can do without."""

Scale = float | tuple[float, ...]
"""One for an exposure, or one for each of its integrations."""


@dataclass(frozen=True, slots=True)
class ImageFound:
    """What was found while backgrounds were combined; their files are named without folders.

    ``unsubtracted_pixels`` are valid in the target and have no valid background; unused
    backgrounds have no valid pixel, constant ones have one value everywhere, the level of
    outlying ones is far from all others, which the warnings say in sentences; these three are
    None where there is nothing to say. ``variance_array`` is the array to which the background's
    variance was added, ``error_notes`` what a user should know about it; None where it was added
    nowhere. ``filled_pixels`` had no background and got one from their neighbours; None where that
    was not asked for.

    In the order of the backgrounds: ``masked_fractions`` is the share of the pixels of each that
    was masked, ``background_offsets`` or ``background_factors`` is what was added to it or what it
    was multiplied by, with errors (1 sigma) and the pixels that these rest on; a number for each
    background, or with several regions one for each of these. None where nothing was masked or
    scaled.
    """

    TELLING: ClassVar = "unsubtracted_pixels"

    unsubtracted_pixels: int = 0
    unused_backgrounds: tuple[str, ...] = ()
    constant_backgrounds: tuple[str, ...] | None = None
    outlying_backgrounds: tuple[str, ...] | None = None
    warnings: tuple[str, ...] | None = None
    variance_array: str | None = None
    error_notes: tuple[str, ...] | None = None
    filled_pixels: int | None = None
    masked_fractions: tuple[float, ...] | None = None
    background_offsets: tuple[Scale, ...] | None = None
    background_factors: tuple[Scale, ...] | None = None
    background_scale_errors: tuple[Scale, ...] | None = None
    background_scale_pixels: tuple[Scale, ...] | None = None
    background_scale_regions: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class SlitlessFound:
    """What the fit of one or several reference skies found; NaN where there is no fit.

    ``mask`` says how the background pixels were chosen, ``noise_scale`` by how much the residuals
    scatter more than ERR says; errors are one standard deviation, of each component. Warnings
    are what speaks against the fit.
    """

    TELLING: ClassVar = "scaling_factors"

    mask: str = ""
    masked_fraction: float = 0.0
    scaling_factors: tuple[float, ...] = ()
    scaling_factor_errors: tuple[float, ...] = ()
    fit_pixels: int = 0
    fit_fraction: float = 0.0
    fit_iterations: int = 0
    noise_scale: float = 1.0
    scaling_factor_covariance: tuple[tuple[float, ...], ...] | None = None
    fit_notes: tuple[str, ...] = ()
    fit_warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateFound(SlitlessFound):
    """What the fit of an image's templates found, and of the constant beside them, the last one.

    ``components`` names what each factor belongs to; ``unsubtracted`` counts the pixels for which
    a template has no value: they are as they were.
    """

    TELLING: ClassVar = "components"

    components: tuple[str, ...] = ()
    unsubtracted: int = 0

    @classmethod
    def of(
        cls, fit: SlitlessFound, *, components: tuple[str, ...], unsubtracted: int
    ) -> TemplateFound:
        """Return what a fit found, with the names of its components."""
        values: dict[str, Any] = {f.name: getattr(fit, f.name) for f in fields(fit)}
        return cls(**values, components=components, unsubtracted=unsubtracted)


@dataclass(frozen=True, slots=True)
class SossFound:
    """What the fit of a sky library found; without a template, only its notes say anything.

    Scales are left and right of the step; errors are one standard deviation, random ones the part
    that changes by chance from one integration to the next. Pixels at or above the threshold were
    sources: one threshold, or one for each side. ``template_rms`` is (n_templates, 2),
    ``fit_pixels`` has one number for each side. Warnings are what speaks against the fit;
    integrations that took no part in it are counted from 1 within their file.
    """

    TELLING: ClassVar = "fit_notes"

    template: int | None = None
    left_scale: Scale | None = None
    right_scale: Scale | None = None
    left_scale_error: Scale | None = None
    right_scale_error: Scale | None = None
    left_scale_random_error: Scale | None = None
    right_scale_random_error: Scale | None = None
    source_threshold: Scale | None = None
    template_rms: tuple[tuple[float, ...], ...] | None = None
    fit_pixels: tuple[int, ...] | None = None
    fit_segments: int | None = None
    segments_left_out: tuple[str, ...] | None = None
    fit_notes: tuple[str, ...] = ()
    fit_warnings: tuple[str, ...] = ()
    outlying_integrations: tuple[int, ...] = ()


Found = ImageFound | SlitlessFound | TemplateFound | SossFound


@dataclass(frozen=True, slots=True)
class Record:
    """What was done to an exposure, and with what; files are named without their folders.

    Attributes
    ----------
    version : str
        Of bkgflow.
    key, background_key : str
        The unit's, and that of the result that it shares; empty without one.
    settings : mapping
        The arguments that its kind looks at.
    reference_origins : mapping
        Who chose each reference.
    mismatches : tuple of str
        In what backgrounds differ from the target because it was allowed, a sentence for each.
    found : ImageFound, SlitlessFound, TemplateFound, SossFound or None
        What the method found; None where it never ran.
    imprint : str or None
        What was subtracted from the exposure before anything else.
    background_imprints : tuple of str
        For each background the same, or `NO_IMPRINT`, or `HAD_IMPRINT`; None where nothing was
        subtracted from any.
    """

    version: str
    key: str = ""
    background_key: str = ""
    association: str = ""
    backgrounds: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
    references: tuple[str, ...] | None = None
    reference_origins: Mapping[str, str] | None = None
    found: Found | None = None
    imprint: str | None = None
    background_imprints: tuple[str, ...] | None = None

    def to_dict(self) -> dict[str, object]:
        """Return all values by name, on one level."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "found"}
        return {"layout": LAYOUT, **own, **({} if self.found is None else asdict(self.found))}

    def to_tree(self) -> dict[str, object]:
        """Return plain values by name, on one level; what is None is left out."""
        return {name: plain(value) for name, value in self.to_dict().items() if value is not None}

    @classmethod
    def from_tree(cls, tree: Mapping[str, object]) -> Record:
        """Read what `to_tree` gave, of this layout or an earlier one; unknown names are skipped."""
        values = {f.name: _frozen(tree[f.name]) for f in fields(cls) if f.name in tree}
        return cls(**{"version": "", **values}, found=_found(tree))


def _found(tree: Mapping[str, object]) -> Found | None:
    """Tell by its telling name which method wrote a record."""
    for kind in (ImageFound, TemplateFound, SlitlessFound, SossFound):  # the narrower one first
        if kind.TELLING in tree:
            return kind(**{f.name: _frozen(tree[f.name]) for f in fields(kind) if f.name in tree})
    return None


def plain(value: object) -> object:
    """Return lists for tuples, and leave out what is None, as a data model does."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value if item is not None]
    return value


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _frozen(item) for key, item in value.items()}
    if isinstance(value, str) or not isinstance(value, Iterable):
        return value
    return tuple(_frozen(item) for item in value)


def history(said: Mapping[str, object]) -> list[str]:
    """Return what a product says in words, for HISTORY: printable ASCII, a line for each name."""
    lines = [f"bkgflow {said['version']}: background subtraction {said['state']}"]
    for name, value in said.items():
        empty = value is None or (isinstance(value, Sized) and not len(value))
        if name not in UNSPOKEN and not empty:
            lines.append(f"bkgflow {name}: {_in_words(value)}")
    return [printable(line) for line in lines]


def printable(line: str) -> str:
    """Return text as FITS headers hold it, printable ASCII; the rest becomes question marks."""
    line = line.translate({ord("–"): "-", ord("×"): "x", ord("±"): "+/-"})
    return re.sub(r"[^ -~]", "?", line)


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        words = [str(plain(item)) for item in value]
        if len(words) > MOST_WORDS:
            words[MOST_WORDS - 1 : -1] = [f"... ({len(words)} in all)"]
        return ", ".join(words)
    return str(value)
