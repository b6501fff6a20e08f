"""The WCS of a slitless exposure: whether it has one, and from the sky to its detector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bkgflow.errors import MetadataError
from bkgflow.io.exposures.facts import ExposureFacts

if TYPE_CHECKING:
    from astropy.modeling import Model

__all__ = ["check_wcs", "sky_to_grism"]

ASSIGN = "Run the pipeline's assign_wcs step"


def check_wcs(facts: ExposureFacts) -> None:
    """See that an exposure whose sources are to be boxed has a WCS, without making it.

    Raises
    ------
    MetadataError
        If it has none, as the archive's rate files of slitless exposures.
    """
    if not facts.source.has_wcs():
        raise _no_wcs(facts)


def _no_wcs(facts: ExposureFacts) -> MetadataError:
    return MetadataError(
        "A slitless exposure with a source catalog must have a WCS",
        file=facts.location,
        value="none, as in rate files of the archive",
        cure=f"{ASSIGN} first, or mask what stands out of the sky (wfss_mask_mode=residual), "
        "or give a mask of the background (wfss_mask)",
    )


def sky_to_grism(facts: ExposureFacts) -> Model:
    """Return the transform (ra, dec, wavelength, order) to (x, y, ...)."""
    wcs = facts.source.wcs()
    if wcs is None:
        raise _no_wcs(facts)
    try:
        transform = wcs.backward_transform
        inputs, outputs = transform.n_inputs, transform.n_outputs
        found = "" if inputs == 4 and outputs >= 2 else f"{inputs} inputs, {outputs} outputs"
    except (AttributeError, NotImplementedError) as problem:
        found = str(problem)[:200] or type(problem).__name__
    if found:
        raise MetadataError(
            "The WCS of a slitless exposure must lead from (ra, dec, wavelength, order) to the "
            "detector",
            file=facts.location,
            value=found,
            cure=f"{ASSIGN} on the exposure; its EXP_TYPE must be a WFSS one",
        )
    return transform
