"""What is known of an exposure before anything is computed, whatever it is stored as."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bkgflow.detector import Window
from bkgflow.errors import MetadataError
from bkgflow.io.exposures.source import SavedSource
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

__all__ = ["ExposureFacts"]


@dataclass(frozen=True, slots=True)
class ExposureFacts:
    """An exposure as its headers describe it.

    Attributes
    ----------
    location : Location
        Where it is; the bare name of a model in memory.
    identity : Identity
        Which version of it was looked at.
    window : Window
        Its pixels on the detector.
    n_integrations : int or None
        Integrations of a cube; None for a 2-D image.
    model, instrument, detector, exp_type, bunit : str
        DATAMODL, INSTRUME, DETECTOR, EXP_TYPE and the BUNIT of SCI; empty where missing.
    gwa : tuple of (float or None)
        GWA_XTIL and GWA_YTIL, in degrees.
    dispersion_axis : int or None
        DISPAXIS, 1 for x, 2 for y; None where it is missing.
    keywords : tuple of (str, str)
        What reference files are chosen by, and SCATFILE; see `bkgflow.io.exposures.keywords`.
    source : Source
        Its pixels and its WCS.
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
        found: Mapping[str, str] = dict(self.keywords)
        return found.get(name, "")

    def gwa_tilt(self) -> tuple[float, float]:
        """Return the tilt of the grating wheel, in degrees.

        Raises
        ------
        MetadataError
            If one of the two is missing or not a number.
        """
        xtilt, ytilt = self.gwa
        for keyword, value in (("GWA_XTIL", xtilt), ("GWA_YTIL", ytilt)):
            if value is None or not math.isfinite(value):
                raise MetadataError(
                    f"A NIRSpec exposure says its grating wheel's tilt in {keyword}",
                    file=self.location,
                    value="missing" if value is None else value,
                    cure="Put the keyword in from the telemetry, or run the pipeline's first "
                    "stage again",
                )
        assert xtilt is not None and ytilt is not None
        return xtilt, ytilt
