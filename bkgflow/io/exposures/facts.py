"""What is known of an exposure before anything is computed, whatever it is stored as."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated

from pydantic import Field

from bkgflow.detector import Window
from bkgflow.errors import MetadataError, ShapeError, WindowError
from bkgflow.io.exposures.segments import UNKNOWN, Segment, read_segment
from bkgflow.io.exposures.setup import exposure_id, read_setup, read_subtracted, written_as
from bkgflow.io.exposures.source import SavedSource, Source
from bkgflow.io.exposures.taken import NOWHERE, Taken, read_taken
from bkgflow.io.exposures.windows import number, slit_corner, whole_number, window_of
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

__all__ = [
    "ABOUT_KEYS",
    "ABOUT_SCI_KEYS",
    "IMPRINT_KEYS",
    "META_KEYS",
    "ExposureFacts",
    "look_up",
    "read_facts",
]

META_KEYS = {
    "INSTRUME": "instrument.name",
    "DETECTOR": "instrument.detector",
    "MODULE": "instrument.module",
    "CHANNEL": "instrument.channel",
    "BAND": "instrument.band",
    "FILTER": "instrument.filter",
    "PUPIL": "instrument.pupil",
    "GRATING": "instrument.grating",
    "EXP_TYPE": "exposure.type",
    "SUBARRAY": "subarray.name",
    "DATE-OBS": "observation.date",
    "TIME-OBS": "observation.time",
    "SCATFILE": "source_catalog",
}
"""What decides which reference files an exposure needs, and names its source catalog: FITS
keyword to the key below ``meta`` (the core schema of stdatamodels)."""

IMPRINT_KEYS = {
    "OBSERVTN": "observation.observation_number",
    "BKGDTARG": "observation.bkgdtarg",
    "PATT_NUM": "dither.position_number",
    "S_IMPRNT": "cal_step.imprint",
}
"""What decides which imprint belongs to an exposure, and whether it was subtracted already."""

ABOUT_KEYS = {
    "PROGRAM": "observation.program_number",
    "OBSERVTN": "observation.observation_number",
    "VISIT": "observation.visit_number",
    "EXPOSURE": "observation.exposure_number",
    "PATT_NUM": "dither.position_number",
    "TARGPROP": "target.proposer_name",
    "TARGNAME": "target.catalog_name",
    "TARG_RA": "target.ra",
    "TARG_DEC": "target.dec",
    "BKGDTARG": "observation.bkgdtarg",
    "EFFEXPTM": "exposure.exposure_time",
    "S_BKDSUB": "cal_step.bkg_subtract",
}
"""By which people find an exposure among others, in the primary header."""

ABOUT_SCI_KEYS = {
    "RA_REF": "meta.wcsinfo.ra_ref",
    "DEC_REF": "meta.wcsinfo.dec_ref",
    "ROLL_REF": "meta.wcsinfo.roll_ref",
}
"""The same in SCI's header: where the telescope pointed."""


@dataclass(frozen=True, slots=True)
class ExposureFacts:
    """An exposure as its headers describe it.

    Attributes
    ----------
    location : Location
        Where it is; the bare name of a model in memory.
    n_integrations : int or None
        Integrations of a cube; None for a 2-D image.
    model, instrument, detector, exp_type, bunit : str
        DATAMODL, INSTRUME, DETECTOR, EXP_TYPE and the BUNIT of SCI; empty where missing.
    gwa : tuple of (float or None)
        GWA_XTIL and GWA_YTIL, in degrees.
    dispersion_axis : int or None
        DISPAXIS, 1 for x, 2 for y; None where it is missing.
    keywords : tuple of (str, str)
        Those of `META_KEYS` that it has.
    setup : tuple of (str, str)
        How it was taken: what is compared with other exposures (`bkgflow.matching`), and there.
    exposure_id : str
        What tells the exposure from all others, whatever its files are called; empty where the
        headers do not say it.
    written_as : str
        Of one without: the name by which the file was written, and when.
    subtracted : str
        The keyword of a step that has subtracted a background already; empty where none has.
    imprint_keywords : tuple of (str, str)
        Those of `IMPRINT_KEYS` that it has.
    variances : tuple of str
        EXTNAME of the VAR_… arrays that it has in the shape of SCI.
    segment : Segment
        Which part of which exposure it is.
    absent : tuple of str
        ERR, DQ or both, where it has none.
    exposure_time : float or None
        EFFEXPTM, in seconds; None where it is missing or no number.
    taken : Taken
        For what, when and where on the sky it was taken.
    about : tuple of (str, str)
        Those of `ABOUT_KEYS` and `ABOUT_SCI_KEYS` that it has: for people, who look for an
        exposure. They decide nothing, and a plan that is saved has them not.
    """

    location: Location
    identity: Identity
    window: Window
    n_integrations: int | None
    model: str
    instrument: str
    detector: str
    exp_type: str
    bunit: str
    gwa: tuple[float | None, float | None]
    dispersion_axis: int | None
    keywords: tuple[tuple[str, str], ...]
    source: SavedSource
    setup: tuple[tuple[str, str], ...] = ()
    exposure_id: str = ""
    written_as: str = ""
    subtracted: str = ""
    imprint_keywords: tuple[tuple[str, str], ...] = ()
    variances: tuple[str, ...] = ()
    segment: Segment = UNKNOWN
    absent: tuple[str, ...] = ()
    exposure_time: float | None = None
    taken: Taken = NOWHERE
    about: Annotated[tuple[tuple[str, str], ...], Field(exclude=True)] = field(
        default=(), compare=False
    )

    def __repr__(self) -> str:
        """Short: at a prompt there may be thousands."""
        kind = self.exp_type or "of no type"
        return f"<Exposure {self.name}: {kind}, {self.window}>"

    @property
    def name(self) -> str:
        """The file's name, without its folder."""
        return self.location.name

    @property
    def shape(self) -> tuple[int, ...]:
        """Of SCI: (ny, nx) or (n_integrations, ny, nx)."""
        depth = () if self.n_integrations is None else (self.n_integrations,)
        return (*depth, *self.window.shape)

    @property
    def n_pixels(self) -> int:
        """Pixels of all integrations."""
        return math.prod(self.shape)

    def keyword(self, name: str) -> str:
        """Return one of `keywords`; empty where it is missing."""
        return dict(self.keywords).get(name, "")

    def imprint_keyword(self, name: str) -> str:
        """Return one of `imprint_keywords`; empty where it is missing."""
        return dict(self.imprint_keywords).get(name, "")

    @property
    def had_imprint(self) -> bool:
        """Whether its header says that its imprint was subtracted already."""
        return self.imprint_keyword("S_IMPRNT").upper() == "COMPLETE"

    def gwa_tilt(self) -> tuple[float, float]:
        """Return the tilt of the grating wheel, in degrees.

        Raises
        ------
        MetadataError
            If one of the two is missing or not a number.
        """
        tilt = []
        for keyword, value in zip(("GWA_XTIL", "GWA_YTIL"), self.gwa, strict=True):
            if value is None or not math.isfinite(value):
                raise MetadataError(
                    f"A NIRSpec exposure must say its grating wheel's tilt in {keyword}",
                    file=self.location,
                    value="missing" if value is None else value,
                    cure="Put the keyword in from the telemetry, or run the pipeline's first "
                    "stage again",
                )
            tilt.append(value)
        return tilt[0], tilt[1]


def read_facts(
    location: Location,
    identity: Identity,
    shape: tuple[int, ...],
    primary: Callable[[str], Hashable],
    sci: Callable[[str], object],
    source: Callable[[Window], Source],
    variances: Iterable[str] = (),
    absent: tuple[str, ...] = (),
    *,
    anywhere: bool = False,
) -> ExposureFacts:
    """Return what an exposure's keywords say of it.

    A slit cut-out keeps the subarray keywords of the exposure it was cut from and says with
    SLTSTRT1/2 (1-based in that exposure) and SLTSIZE1/2 where it was cut.

    Parameters
    ----------
    shape : (ny, nx) or (n_integrations, ny, nx)
        Of SCI.
    primary, sci : callable
        Return the value of a keyword of the primary header and of SCI's; None where it is missing.
    source : callable
        Makes the source from its window.
    variances : iterable of str
        See `ExposureFacts`.
    absent : tuple of str
        See `ExposureFacts`.
    anywhere : bool
        Whether an array may lie on no detector, such as a mosaic: its window then begins at 0.
    """
    primary = cache(primary)  # several questions are about the same few keywords
    corner = (primary("SUBSTRT1"), primary("SUBSTRT2"))
    size = (primary("SUBSIZE1"), primary("SUBSIZE2"))
    cut = (sci("SLTSTRT1"), sci("SLTSTRT2"))
    if cut != (None, None):
        corner, size = slit_corner(corner, cut), (sci("SLTSIZE1"), sci("SLTSIZE2"))
    instrument = _text(primary("INSTRUME"))
    try:
        window = window_of(location, instrument, shape[-2:], corner, size)
    except (ShapeError, WindowError):
        if not anywhere:
            raise
        window = Window(0, 0, shape[-1], shape[-2])

    def present(
        names: Iterable[str], header: Callable[[str], object] = primary
    ) -> tuple[tuple[str, str], ...]:
        values = ((name, _text(header(name)).strip()) for name in names)
        return tuple((name, value) for name, value in values if value)

    known = exposure_id(primary)
    return ExposureFacts(
        location=location,
        identity=identity,
        window=window,
        n_integrations=shape[0] if len(shape) == 3 else None,
        model=_text(primary("DATAMODL")),
        instrument=instrument.upper(),
        detector=_text(primary("DETECTOR")),
        exp_type=_text(primary("EXP_TYPE")).upper(),
        bunit=_text(sci("BUNIT")),
        gwa=(number(primary("GWA_XTIL")), number(primary("GWA_YTIL"))),
        dispersion_axis=whole_number(sci("DISPAXIS")),
        keywords=present(META_KEYS),
        source=source(window),
        setup=read_setup(primary, instrument.strip().upper(), window),
        exposure_id=known,
        written_as="" if known else written_as(primary),
        subtracted=read_subtracted(primary),
        imprint_keywords=present(IMPRINT_KEYS),
        variances=tuple(variances),
        segment=read_segment(primary),
        absent=absent,
        exposure_time=number(primary("EFFEXPTM")),
        taken=read_taken(primary, sci),
        about=present(ABOUT_KEYS) + present(ABOUT_SCI_KEYS, sci),
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def look_up(tree: object, key: str) -> object:
    """Return what lies at a dotted key of a tree of dictionaries or attributes, or None."""
    for name in key.split("."):
        tree = tree.get(name) if isinstance(tree, dict) else getattr(tree, name, None)
    return tree
