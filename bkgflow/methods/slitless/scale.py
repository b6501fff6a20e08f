"""Fitting reference skies to the background pixels of a slitless exposure.

    factor = Σ(s·b/v) / Σ(b²/v),  v = ERR²

over the background pixels; with several templates, the weighted least squares of all of them
together. Then residuals below percentile p or above 100 - p are rejected and the fit repeated,
on what the round before left. The rejection serves the fit alone, the output keeps all pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bkgflow.errors import ShapeError
from bkgflow.methods.arrays import Bools, Doubles, Reals
from bkgflow.methods.slitless._pixels import BackgroundPixels
from bkgflow.rules import ScaleRule

__all__ = ["ScaleFit", "fit_scale"]

DEFAULT = ScaleRule()

TO_SIGMA = 1.482602218505602
"""Standard deviation over median absolute deviation of a normal distribution."""


@dataclass(frozen=True, slots=True)
class ScaleFit:
    """How strongly each template is in an exposure.

    Attributes
    ----------
    coefficients : (n_templates,) float64
        Data over template, 0 where there is no fit.
    covariance : (n_templates, n_templates) float64
        Of the coefficients, what the rejection may have moved them by included; NaN where there
        is no fit.
    n_used, fraction : int, float
        Pixels with a weight that the last fit rests on; that over all pixels of the image.
    iterations : int
        Rounds of rejection.
    noise_scale : float
        By how much the scatter of the residuals exceeds ERR, at least 1; the random part of the
        covariance includes it squared.
    reason : str or None
        Why there is no fit.
    """

    coefficients: Doubles
    covariance: Doubles
    n_used: int
    fraction: float
    iterations: int
    noise_scale: float
    reason: str | None = None

    @property
    def standard_errors(self) -> Doubles:
        """One standard deviation of each coefficient, (n_templates,) float64."""
        errors: Doubles = np.sqrt(np.diagonal(self.covariance))
        return errors

    @classmethod
    def failed(cls, n_templates: int, reason: str, iterations: int = 0) -> ScaleFit:
        """Return the fit that could not be made."""
        nothing = np.full((n_templates, n_templates), np.nan)
        return cls(np.zeros(n_templates), nothing, 0, 0.0, iterations, 1.0, reason)


def fit_scale(
    sci: Reals,
    err: Reals,
    mask: Bools,
    templates: Reals,
    rule: ScaleRule = DEFAULT,
    *,
    dispersion_axis: int | None = None,
) -> ScaleFit:
    """Fit the templates to the background pixels of an exposure, or give a reason why not.

    The standard errors come from the weights of the pixels that were kept. That is not
    optimistic: trimming the tails of normal noise costs less than the lost weight claims. Where
    the residuals of all background pixels scatter more than ERR says (a robust measure, which
    single outliers do not move), they are enlarged by that ratio. Counting noise is skewed, and
    trimming moves the factors of skewed residuals: how far follows from how they went on moving
    from round to round, and is added in quadrature. Noise that is correlated from pixel to
    pixel, and light of sources that is not masked, are not in them.

    Parameters
    ----------
    sci, err : (ny, nx) float, DN/s
        The exposure and its uncertainty. NaN and ERR = 0 do not take part. Left as they are.
    mask : (ny, nx) bool
        True for background.
    templates : (n_templates, ny, nx) or (ny, nx) float
        The reference skies.
    dispersion_axis : int or None
        1 for x, 2 for y; wanted where the rule has an ``rms_stop``.

    Raises
    ------
    MetadataError
        ``rms_stop`` lacks its axis.
    ShapeError
        The arrays do not fit each other.
    """
    rule.check_axis(dispersion_axis)
    templates = _as_stack(sci, err, mask, templates)
    by_columns = rule.rms_stop > 0 and dispersion_axis == 1
    with BackgroundPixels.of(sci, err, mask, templates, by_columns=by_columns) as pixels:
        reason, iteration = None, 0
        if pixels.n:
            fit = _rejecting(pixels, rule, sci.size)
            reason, iteration = fit.reason, fit.iterations
            if reason is None:
                return fit
        return _no_fit(sci, err, mask, templates, reason, iteration)


def _rejecting(pixels: BackgroundPixels, rule: ScaleRule, size: int) -> ScaleFit:
    """Fit again and again to what each round leaves of an image of so many pixels."""
    sample = pixels.sample()  # now: a rejection overwrites what it drops
    factors, covariance, reason = pixels.solve()
    last_rms, iteration = np.inf, 0
    course, left = [factors], [pixels.left]
    while reason is None and iteration < rule.maxiter:
        if rule.rms_stop > 0:
            rms = pixels.profile_rms(factors)
            if not last_rms - rms >= rule.rms_stop / 100 * last_rms:
                break
            last_rms = rms
        iteration += 1
        pixels.reject(factors, rule.outlier_percent)
        factors, covariance, reason = pixels.solve()
        course.append(factors)
        left.append(pixels.left)
    if reason is not None:
        return ScaleFit.failed(len(factors), reason, iteration)
    scale = _noise_scale(sample, factors)
    shift = _moved_by_rejection(course, [each / pixels.n for each in left])
    covariance = covariance * scale**2 + np.outer(shift, shift)
    used = pixels.used
    return ScaleFit(factors, covariance, used, used / size, iteration, scale)


def _moved_by_rejection(course: Sequence[Doubles], kept: Sequence[float]) -> Doubles:
    """Return how far the rejection moved the factors away from those of all residuals.

    Taken from the rounds after the first one, which removes what are outliers indeed; from the
    first where there are no others. ``course`` has the factors before any rejection and after
    each round, ``kept`` the shares of the pixels that they rest on.
    """
    start = 1 if len(course) > 2 else 0
    before, after = _reach(kept[start]), _reach(kept[-1])
    if not after > before:
        return np.zeros_like(course[-1])
    return (course[-1] - course[start]) * (after / (after - before))


def _reach(kept: float) -> float:
    """How far trimming both tails moves the mean, in units of skewness × sigma / 6.

    First order in the skewness: -E[z² - 1] over the normal quantiles that are kept, after
    Cornish & Fisher (1938).
    """
    if not 0 < kept < 1:
        return 0.0
    normal = NormalDist()
    z = normal.inv_cdf((1 + kept) / 2)
    return 2 * z * normal.pdf(z) / kept


def _noise_scale(sample: tuple[Reals, Reals, Reals], factors: Doubles) -> float:
    """Scatter of residual / ERR as a standard deviation, robustly; at least 1."""
    s, b, v = sample
    weighted = v < np.inf
    if not weighted.any():
        return 1.0
    # Not as a product of matrices: BLAS would do it in threads, which then spin for 25 ms.
    sky = factors[0] * b[0].astype(np.float64)
    for factor, template in zip(factors[1:], b[1:], strict=True):
        sky += factor * template
    ratio = np.abs(s - sky)[weighted] / np.sqrt(v[weighted])
    return max(1.0, TO_SIGMA * float(np.median(ratio)))


def _as_stack(sci: Reals, err: Reals, mask: Bools, templates: Reals) -> Reals:
    stack = templates[np.newaxis] if templates.ndim == 2 else templates
    shapes = {sci.shape, err.shape, mask.shape, stack.shape[1:]}
    if len(shapes) > 1 or sci.ndim != 2 or stack.ndim != 3 or not len(stack):
        raise ShapeError(
            "SCI, ERR, mask and every template must be images of one shape",
            value=f"SCI {sci.shape}, ERR {err.shape}, mask {mask.shape}, "
            f"templates {templates.shape}",
            cure="Cut all of them to the exposure's window",
        )
    return stack


def _no_fit(
    sci: Reals, err: Reals, mask: Bools, templates: Reals, reason: str | None, iterations: int
) -> ScaleFit:
    """Return the fit that failed, with the plainest reason that holds."""
    variance = err[mask] * err[mask]
    if not mask.any():
        reason = "No finite factor: the mask leaves no background pixel"
    elif not ((variance > 0) & np.isfinite(variance)).any():
        reason = "No finite factor: ERR is 0 or not finite at every background pixel"
    elif not np.isfinite(sci[mask]).any():
        reason = "No finite factor: SCI is not finite at any background pixel"
    elif not any((np.isfinite(t[mask]) & (t[mask] != 0)).any() for t in templates):
        reason = "No finite factor: the reference is 0 or not finite at every background pixel"
    elif reason is None:
        reason = "No finite factor: no background pixel has SCI, ERR and reference all at once"
    return ScaleFit.failed(len(templates), reason, iterations)
