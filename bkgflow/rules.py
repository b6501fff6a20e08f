"""The rules that decide a method's numbers, as values: checked once, when they are made.

The step's arguments are flat (`bkgflow.settings`); the methods take these. All three raise
SettingsError where an attribute is out of bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bkgflow.errors import MetadataError, SettingsError

__all__ = ["MOST_ROUNDS", "ClipRule", "ScaleRule", "SossFitMode", "SossRule"]

SossFitMode = Literal["exposure", "file", "integration"]

MOST_ROUNDS = 2**31 - 1  # more than this and a kernel's counter would overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRule:
    """Which values of a pixel are outliers.

    Attributes
    ----------
    centre, spread : str
        What the bounds lie around, and what they are measured in: the median and the standard
        deviation of what is kept.
    sigma : float
        Half the distance of the bounds, in spreads; inf for no clip.
    maxiters : int or None
        Clip at most this often; None until nothing changes. 0 becomes None.
    """

    centre: str = "median"
    spread: str = "std"
    sigma: float = 3.0
    maxiters: int | None = None

    def __post_init__(self) -> None:
        """Check the bounds."""
        _must(
            (self.centre, self.spread) == ("median", "std"),
            "A clip must be around the median, by the standard deviation",
            f"{self.centre}, {self.spread}",
            'Give centre="median" and spread="std"',
        )
        _must(
            self.sigma > 0,
            "sigma must be greater than 0",
            self.sigma,
            "Give a positive number, such as 3",
        )
        _must(
            0 <= (self.maxiters or 0) <= MOST_ROUNDS,
            f"maxiters must not be negative, nor more than {MOST_ROUNDS}",
            self.maxiters,
            "Give None to clip until nothing changes",
        )
        # The only place that knows that 0 means no limit: equal rules are equal values.
        object.__setattr__(self, "maxiters", self.maxiters or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRule:
    """How reference skies are fitted to a slitless exposure, or templates to an image.

    Attributes
    ----------
    maxiter : int
        Rounds of rejection at most; 0 for a plain fit of the mask as it is.
    rms_stop : float, percent
        Stop where the rms of the median profile gains less than this in a round; 0 for never.
    outlier_percent : float
        Percentile rejected at each end in each round.
    """

    maxiter: int = 5
    rms_stop: float = 0.0
    outlier_percent: float = 1.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        _must(
            0 <= self.maxiter <= MOST_ROUNDS,
            f"wfss_maxiter must not be negative, nor more than {MOST_ROUNDS}",
            self.maxiter,
            "Give 0 for a plain fit",
        )
        _must(
            self.rms_stop >= 0,
            "wfss_rms_stop must not be negative",
            self.rms_stop,
            "Give 0 for never",
        )
        _must(
            0 <= self.outlier_percent < 50,
            "wfss_outlier_percent must be at least 0 and below 50",
            self.outlier_percent,
            "Give the percentile to reject at each end, such as 1",
        )

    def check_axis(self, dispersion_axis: int | None, file: str | None = None) -> None:
        """Raise MetadataError where ``rms_stop`` needs the dispersion axis, and it is not known."""
        if self.rms_stop > 0 and dispersion_axis not in (1, 2):
            raise MetadataError(
                "wfss_rms_stop needs the dispersion axis of the exposure, which must be 1 or 2",
                file=file,
                value=f"DISPAXIS {dispersion_axis}",
                cure="Run the pipeline's assign_wcs step, which sets DISPAXIS, or leave out "
                "wfss_rms_stop",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SossRule:
    """How a library of sky templates is fitted to a SOSS time series.

    Attributes
    ----------
    source_percentile : float, or (float, float)
        Pixels at or above this percentile of all good ones are sources. Two are of the fitted
        pixels left and right of the step, each side for itself.
    bkg_percentile : (float, float)
        Ratios of data to template strictly between these percentiles are the sky.
    fit : "exposure", "file" or "integration"
        One template and pair of scales for all segments; for each segment, as the reference
        step does; or one template for all, and a pair of scales for each integration.
    """

    source_percentile: float | tuple[float, float] = 35.0
    bkg_percentile: tuple[float, float] = (25.0, 50.0)
    fit: SossFitMode = "exposure"

    def __post_init__(self) -> None:
        """Check the bounds."""
        given = self.source_percentile
        both = given if isinstance(given, tuple) else (given, given)
        _must(
            len(both) == 2 and all(0 <= each <= 100 for each in both),
            "soss_source_percentile must be from 0 to 100, for both sides or for each of them",
            given,
            "Give a percentile, such as 35, or two, such as 60,35",
        )
        low, high = self.bkg_percentile
        _must(
            0 <= low < high <= 100,
            "soss_bkg_percentile must be two percentiles from 0 to 100, the lower one first",
            self.bkg_percentile,
            "Give two, such as 25 and 50",
        )
        _must(
            self.fit in ("exposure", "file", "integration"),
            "soss_fit must be exposure, file or integration",
            self.fit,
            "Name one of the three",
        )


def _must(holds: bool, rule: str, value: object, cure: str) -> None:
    if not holds:
        raise SettingsError(rule, value=value, cure=cure)
