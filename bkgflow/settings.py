"""The step's arguments: names and defaults of the reference step, bounds, what each means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)  # fmt: skip

from bkgflow.complaints import settings_error
from bkgflow.detector import EVERY_BIT, bits_of
from bkgflow.forms import (
    DEFAULT_PERCENTILES,
    Bits,
    File,
    Files,
    Keywords,
    Percentiles,
    Share,
    SourcePercentile,
)  # fmt: skip
from bkgflow.rules import (
    ClipMethod,
    ClipRule,
    ClipSide,
    Combine,
    MaskRule,
    ScaleRule,
    SossRule,
    StackRule,
    Weights,
)  # fmt: skip
from bkgflow.strun import without_foreign

__all__ = [
    "MASK_ARGUMENTS",
    "NAMED_FILES",
    "STACK_ARGUMENTS",
    "StepSettings",
    "usual_values",
]

MOST_ROUNDS = 2**31 - 1
"""More than this and a kernel's counter would overflow."""


RARE = (
    "clip", "clip_side", "combine", "bkg_weights", "bkg_bad_bits", "bkg_good_bits", "bkg_dq",
    "mask_sources", "mask_threshold", "mask_smooth", "mask_grow", "bkg_scale", "bkg_scale_map",
    "bkg_fill", "allow_mismatch", "allow_subtracted", "bkg_tilt", "bkg_outlier",
)  # fmt: skip
"""Arguments that stand in keys and products only where they are not the default: what was made
before they were there keeps its key."""

STACK_ARGUMENTS = (
    "sigma", "maxiters", "clip", "clip_side", "combine", "bkg_weights", "bkg_bad_bits",
    "bkg_good_bits", "bkg_dq",
)  # fmt: skip
"""Arguments that decide how exposures are combined: `StepSettings.stack_rule` is made of them."""

MASK_ARGUMENTS = (
    "mask_sources", "mask_threshold", "mask_smooth", "mask_grow", "bkg_scale", "bkg_scale_map",
)  # fmt: skip
"""Arguments that decide what is done to exposures before they are combined."""

NAMED_FILES = ("mask_sources", "bkg_scale_map")
"""Arguments that name files, of which a combined background's key has the versions: a unit's key
does not have their paths, so that files may be moved."""


class StepSettings(BaseModel):
    """The arguments that decide a result. Frozen: they are part of every key."""

    # Built when the first settings are checked: the command line's help needs none.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    sigma: float = Field(
        3.0, gt=0, description="Clip at this many standard deviations from the median."
    )
    maxiters: int | None = Field(
        None,
        ge=0,
        le=MOST_ROUNDS,
        description="Clip at most this often; None and 0: until nothing changes.",
    )
    clip: ClipMethod = Field(
        "sigma",
        description="What is clipped: what is far in standard deviations, in robust ones, in ERR "
        "(noise), or the lowest and highest value.",
    )
    clip_side: ClipSide = Field(
        "both", description="Clip on both sides, or high (sources only add) or low values alone."
    )
    combine: Combine = Field("mean", description="What the values that are kept become.")
    bkg_weights: Weights = Field(
        "err", description="Weigh by 1/ERR² or exposure times, with combine=weighted."
    )
    bkg_bad_bits: Bits = Field(
        None, description="Values with one of these DQ flags take no part, such as DO_NOT_USE."
    )
    bkg_good_bits: Bits = Field(
        None, description="Values with any other DQ flag than these take no part; 0: with any."
    )
    bkg_dq: Share = Field(
        "any",
        description="Which DQ flags of backgrounds are joined: those that any has, all used ones "
        "have, or a share of these in percent.",
    )
    mask_sources: File = Field(
        None,
        description="Mask sources in backgrounds: detect, or a catalog, a segmentation image, a "
        "mosaic (_i2d) or a folder of masks.",
    )
    mask_threshold: float = Field(
        3.0, gt=0, description="mask_sources=detect: sigmas by which a source exceeds the sky."
    )
    mask_smooth: float = Field(
        2.0, ge=0, le=50, description="mask_sources=detect: FWHM in pixels of the smoothing before."
    )
    mask_grow: float = Field(
        3.0, ge=0, le=100, description="Pixels by which a mask reaches beyond a source."
    )
    bkg_scale: Literal["none", "offset", "factor"] = Field(
        "none",
        description="Bring each background to its target's level, by what is added or multiplied.",
    )
    bkg_scale_map: File = Field(
        None, description="An image of whole numbers: regions of the detector scaled apart."
    )
    bkg_fill: bool = Field(
        False,
        description="Fill pixels without a background from their neighbours: FLUX_ESTIMATED in DQ.",
    )
    save_combined_background: bool = Field(
        False, description="Also write the combined background of every target."
    )
    propagate_errors: bool = Field(
        False, description="Add the background's uncertainty to the target's: ERR and variances."
    )
    imprint_subtract: bool = Field(
        True,
        description="Subtract the imprints of NIRSpec IFU and MSA exposures, where they are given.",
    )
    allow_mismatch: Keywords = Field(
        (),
        description="Keywords in which backgrounds may differ from their target, such as "
        "filter,bunit.",
    )
    allow_subtracted: bool = Field(
        False, description="Take exposures from which a background was subtracted before."
    )
    bkg_tilt: Literal["skip", "leave_out"] = Field(
        "skip",
        description="NIRSpec: where the grating wheel stood differently for a background, skip "
        "the target, or leave that background out.",
    )
    bkg_outlier: float = Field(
        0.25,
        ge=0,
        description="Warn of a background whose level is farther from all others than this "
        "fraction of theirs; 0: never.",
    )
    soss_source_percentile: SourcePercentile = Field(
        35.0,
        description="SOSS: pixels at or above this percentile are sources; two: one for each side "
        "of the step, left and right.",
    )
    soss_bkg_percentile: Percentiles = Field(
        DEFAULT_PERCENTILES,
        description="SOSS: ratios of data to template between these percentiles are the sky.",
    )
    soss_fit: Literal["exposure", "file", "integration"] = Field(
        "exposure",
        description="SOSS: one fit for all segments of an exposure, for each file, or scales for "
        "each integration.",
    )
    soss_max_error: float | None = Field(
        None,
        gt=0,
        description="SOSS: fail where a scale's error is more than this share of it.",
    )
    wfss_mmag_extract: float | None = Field(
        None, description="Slitless: only sources brighter than this AB magnitude are masked."
    )
    wfss_mask: File = Field(
        None, description="Slitless: a file with a mask of the background pixels, instead of boxes."
    )
    wfss_maxiter: int = Field(
        5, ge=0, le=MOST_ROUNDS, description="Slitless: reject outliers at most this often."
    )
    wfss_rms_stop: float = Field(
        0.0, ge=0, description="Slitless: stop where a rejection gains less than this, in percent."
    )
    wfss_outlier_percent: float = Field(
        1.0, ge=0, lt=50, description="Slitless: percent of pixels rejected at each end, each time."
    )
    wfss_mask_mode: Literal["boxes", "residual", "auto"] = Field(
        "boxes",
        description="Slitless: mask boxes of sources, what stands out of the sky, or that where "
        "the boxes leave too little.",
    )
    wfss_orders: Literal["extract", "all"] = Field(
        "extract", description="Slitless: mask the orders that are extracted, or all listed ones."
    )
    wfss_max_error: float | None = Field(
        None,
        gt=0,
        description="Slitless: fail where the factor's error is more than this share of it.",
    )
    template_mask: File = Field(
        None, description="Template: a file with a mask of the background pixels (1: background)."
    )
    template_maxiter: int = Field(
        5, ge=0, le=MOST_ROUNDS, description="Template: reject outliers at most this often."
    )
    template_outlier_percent: float = Field(
        1.0, ge=0, lt=50, description="Template: percent of pixels rejected at each end, each time."
    )
    template_max_error: float | None = Field(
        None,
        gt=0,
        description="Template: fail where the first factor's error is more than this share of it.",
    )
    override_bkg: Files = Field(
        None,
        description="Slitless, SOSS: the reference background; imaging: templates that are scaled "
        "and subtracted; several with commas, or N/A.",
    )
    override_wavelengthrange: File = Field(
        None, description="Slitless: the wavelengthrange reference, or N/A."
    )

    @classmethod
    def of(cls, **arguments: object) -> Self:
        """Check the arguments and return the settings.

        Raises
        ------
        SettingsError
            If a name is unknown or a value is out of bounds. Arguments that every step of the
            reference pipeline has are passed over where they say what bkgflow does anyway.
        """
        try:
            return cls.model_validate(without_foreign(arguments))
        except ValidationError as problem:
            raise settings_error(cls, problem) from None

    @field_validator("bkg_good_bits")
    @classmethod
    def _one_of_them(cls, given: str | None, info: ValidationInfo) -> str | None:
        if given is not None and info.data.get("bkg_bad_bits") is not None:
            raise ValueError("bkg_good_bits and bkg_bad_bits must not both be given")
        return given

    @field_validator("bkg_scale_map")
    @classmethod
    def _with_a_scale(cls, given: str | None, info: ValidationInfo) -> str | None:
        if given is not None and info.data.get("bkg_scale") == "none":
            raise ValueError("bkg_scale_map must come with bkg_scale")
        return given

    @property
    def stack_rule(self) -> StackRule:
        """How backgrounds are combined."""
        bad = bits_of(self.bkg_bad_bits or 0)
        if self.bkg_good_bits is not None:
            bad = EVERY_BIT & ~bits_of(self.bkg_good_bits)
        return StackRule(
            clip=ClipRule(
                method=self.clip, side=self.clip_side, sigma=self.sigma, maxiters=self.maxiters
            ),
            combine=self.combine,
            weights=self.bkg_weights,
            bad_bits=bad,
            dq_percent=float({"any": 0.0, "all": 100.0}.get(str(self.bkg_dq), self.bkg_dq)),
        )

    @property
    def mask_rule(self) -> MaskRule:
        """How sources are found and masked."""
        return MaskRule(threshold=self.mask_threshold, smooth=self.mask_smooth, grow=self.mask_grow)

    @property
    def scale_rule(self) -> ScaleRule:
        """How a slitless sky is fitted."""
        return ScaleRule(
            maxiter=self.wfss_maxiter,
            rms_stop=self.wfss_rms_stop,
            outlier_percent=self.wfss_outlier_percent,
        )

    @property
    def template_rule(self) -> ScaleRule:
        """How the templates of an image are fitted."""
        return ScaleRule(
            maxiter=self.template_maxiter, outlier_percent=self.template_outlier_percent
        )

    @property
    def soss_rule(self) -> SossRule:
        """How a SOSS sky is fitted."""
        return SossRule(
            source_percentile=self.soss_source_percentile,
            bkg_percentile=self.soss_bkg_percentile,
            fit=self.soss_fit,
        )

    @property
    def with_errors(self) -> bool:
        """Whether ERR of backgrounds is read: for their ERR when combined, or by the rule."""
        wanted = self.propagate_errors or self.save_combined_background
        return wanted or self.stack_rule.needs_errors

    def only(self, names: Sequence[str]) -> dict[str, object]:
        """Return some of the arguments as plain values, in their order; `RARE` ones if set."""
        fields = type(self).model_fields
        usual = {name for name in RARE if getattr(self, name) == fields[name].default}
        return self.model_dump(include=set(names) - usual, mode="json")


def usual_values() -> dict[str, object]:
    """Return the defaults of the arguments that no key holds at them (`RARE`)."""
    return {name: StepSettings.model_fields[name].default for name in RARE}
