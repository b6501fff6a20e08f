"""The rules that decide a method's numbers, as values: checked once, when they are made.

The step's arguments are flat (`bkgflow.settings`); the methods take these. All of them raise
SettingsError where an attribute is out of bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from bkgflow.errors import MetadataError, SettingsError
from bkgflow.texts import nearest

__all__ = [
    "MOST_ROUNDS", "ClipMethod", "ClipRule", "ClipSide", "Combine", "MaskRule", "ScaleRule",
    "SossFitMode", "SossRule", "StackRule", "Weights", "can_clip",
]  # fmt: skip

ClipMethod = Literal["sigma", "robust", "noise", "minmax", "none"]
ClipSide = Literal["both", "high", "low"]
Combine = Literal["mean", "median", "weighted"]
Weights = Literal["err", "exptime"]

SossFitMode = Literal["exposure", "file", "integration"]

MOST_ROUNDS = 2**31 - 1  # more than this and a kernel's counter would overflow

ROBUST_OF_TWO = 1.4826022 * 1.196
"""The robust spread of two values, over the distance of each from their median."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRule:
    """Which values of a pixel are outliers.

    Attributes
    ----------
    method : str
        ``sigma``: outside the median ± sigma standard deviations of what is kept, as the
        reference step; ``robust``: the same with a spread from the median absolute deviation;
        ``noise``: farther from the others' mean than sigma times what ERR says, one value at a
        time, the farthest first; ``minmax``: the lowest and the highest value; ``none``.
    side : str
        Whether values are dropped on both sides, or only high or low ones.
    sigma : float
        Half the distance of the bounds, in spreads; inf for no clip. ``minmax`` takes no notice.
    maxiters : int or None
        Clip at most this often; None until nothing changes. 0 becomes None.
    """

    method: ClipMethod = "sigma"
    side: ClipSide = "both"
    sigma: float = 3.0
    maxiters: int | None = None

    def __post_init__(self) -> None:
        """Check the bounds."""
        _must_be_one("clip", self.method, get_args(ClipMethod))
        _must_be_one("clip_side", self.side, get_args(ClipSide))
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

    def can_clip(self, n: int) -> bool:
        """Whether the clip can ever drop one of n values."""
        if self.method == "minmax":
            return n > (2 if self.side == "both" else 1)
        if self.method == "none" or self.sigma == math.inf:
            return False
        if self.method == "sigma":
            return can_clip(n, self.sigma)
        if n == 2 and self.method == "robust":
            return self.sigma * ROBUST_OF_TWO < 1.0
        return n > 2 or (n == 2 and self.method == "noise" and self.side != "both")

    @property
    def drops_all(self) -> bool:
        """Whether it can drop all values of a pixel: bounds so narrow may hold none of them."""
        return self.method in ("sigma", "robust") and self.side == "both" and self.sigma < 1.0


def can_clip(n: int, sigma: float) -> bool:
    """Whether a clip at so many standard deviations around the median can drop one of n values.

    One of n values stands farthest from the median, in standard deviations, where the
    n // 2 + 1 values around and below the median are equal and those between are at the mean,
    where they add nothing to the variance. With m = n // 2 + 2 values away from the mean, that
    is sqrt(n m / (m - 1)): 2.96 for seven values, 3.10 for eight.
    """
    if n <= 2:
        return n == 2 and sigma < 1.0
    m = n // 2 + 2
    return sigma < math.sqrt(n * m / (m - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class StackRule:
    """How several exposures become one background, pixel by pixel.

    Attributes
    ----------
    clip : ClipRule
        Which values are dropped first.
    combine : str
        ``mean``, ``median``, or ``weighted``: what becomes of those that are kept.
    weights : str
        ``err``: 1 / ERR²; ``exptime``: exposure times. Only a weighted mean looks at it.
    bad_bits : int
        DQ bits; a value that has one of them takes no part. 0 where every value counts.
    dq_percent : float
        A flag is set where at least this share of the used exposures has it, in percent. Used
        are those whose value entered the average of the pixel. 0: where any exposure has it,
        used or not, as the reference step.
    """

    clip: ClipRule = field(default_factory=ClipRule)
    combine: Combine = "mean"
    weights: Weights = "err"
    bad_bits: int = 0
    dq_percent: float = 0.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        _must_be_one("combine", self.combine, get_args(Combine))
        _must_be_one("bkg_weights", self.weights, get_args(Weights))
        _must(
            0 <= self.bad_bits < 1 << 32,
            "Bad bits must be bits of DQ, of which there are 32",
            self.bad_bits,
            "Give a number from 0 to 4294967295",
        )
        _must(
            0 <= self.dq_percent <= 100,
            "bkg_dq must be a share from 0 to 100 percent",
            self.dq_percent,
            "Give 0 for any exposure, 100 for all",
        )
        if self.combine != "weighted":  # equal rules are equal values
            object.__setattr__(self, "weights", "err")

    @property
    def usual(self) -> bool:
        """Whether it is what the reference step does, at any sigma and maxiters."""
        return self == StackRule(clip=ClipRule(sigma=self.clip.sigma, maxiters=self.clip.maxiters))

    @property
    def of_means(self) -> StackRule:
        """The same for means of cubes: flagged values were left out of these, their flags not."""
        return replace(self, bad_bits=0)

    @property
    def needs_errors(self) -> bool:
        """Whether ERR decides about the values: one without a positive ERR then takes no part."""
        return self.clip.method == "noise" or (self.combine, self.weights) == ("weighted", "err")

    @property
    def needs_times(self) -> bool:
        """Whether it asks how long each exposure was."""
        return (self.combine, self.weights) == ("weighted", "exptime")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskRule:
    """How sources are found in an exposure, and how far their masks reach.

    Attributes
    ----------
    threshold : float
        A source stands so many standard deviations of the smoothed noise above the sky.
    smooth : float, pixels
        FWHM of the Gaussian with which the exposure is smoothed first; 0: not at all.
    grow : float, pixels
        By which a mask reaches beyond what was found, or what a catalog or a map says.
    """

    threshold: float = 3.0
    smooth: float = 2.0
    grow: float = 3.0

    def __post_init__(self) -> None:
        """Check the bounds."""
        cure = "Leave it out for the default"
        _must(self.threshold > 0, "mask_threshold must be greater than 0", self.threshold, cure)
        _must(self.smooth >= 0, "mask_smooth must not be negative", self.smooth, cure)
        _must(self.grow >= 0, "mask_grow must not be negative", self.grow, cure)


def _must(holds: bool, rule: str, value: object, cure: str) -> None:
    if not holds:
        raise SettingsError(rule, value=value, cure=cure)


def _must_be_one(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = nearest(value, known)
        cure = f"Give {near}" if near else "Name one of them"
        _must(False, f"{name} must be one of {', '.join(known)}", value, cure)
