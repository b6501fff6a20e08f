"""What a group and its arrays say of themselves: CF's words, and OME-NGFF's."""

from __future__ import annotations

from collections.abc import Mapping

from bkgflow.io.fits.cards import Cards
from bkgflow.io.zarr.flags import flag_attributes
from bkgflow.io.zarr.layout import DIMENSIONS, Attributes
from bkgflow.version import VERSION

__all__ = ["LAYOUT", "array_attributes", "coordinate_attributes", "group_attributes"]

LAYOUT = 1
"""Of the group; it grows when readers must know of a change."""

LONG_NAMES: Mapping[str, str] = {
    "sci": "science",
    "err": "uncertainty, one standard deviation",
    "dq": "data quality",
    "var_poisson": "variance of the photons' noise",
    "var_rnoise": "variance of the read noise",
    "var_flat": "variance of the flat field",
    "mask": "pixels that the background was fitted to: 1",
    "background": "background that was subtracted",
    "n_used": "exposures that the background is the mean of",
}

KEYWORDS = (
    "TELESCOP", "INSTRUME", "DETECTOR", "FILTER", "PUPIL", "GRATING", "EXP_TYPE", "SUBARRAY",
    "TARGNAME", "PROGRAM", "OBSERVTN", "VISIT", "EXPOSURE", "DATE-OBS", "TIME-OBS", "DATAMODL",
    "FILENAME", "S_BKDSUB",
)  # fmt: skip
"""Of the primary header, what a person looks for first; all cards are in the group ``fits``."""


def array_attributes(name: str, header: Cards, sci: Cards) -> Attributes:
    """Return the attributes of an array of pixels.

    Parameters
    ----------
    header, sci : Cards
        Of its own extension, and of SCI, whose unit is that of ERR as well.
    """
    said: Attributes = {"long_name": LONG_NAMES.get(name, name)}
    unit = str(header.get("BUNIT") or "").strip()
    science = str(sci.get("BUNIT") or "").strip()
    if not unit and name in {"err", "background"}:
        unit = science
    elif not unit and name.startswith("var_") and science:
        unit = f"({science})2" if "/" in science or " " in science else f"{science}2"
    if name in {"dq", "mask", "n_used"}:
        unit = "1"
    if unit:
        said["units"] = unit
    if name == "sci":
        said["ancillary_variables"] = "err dq"
    if name == "dq":
        said |= {"standard_name": "status_flag", **flag_attributes()}
    return said


def coordinate_attributes(name: str) -> Attributes:
    """Return the attributes of a coordinate."""
    match name:
        case "y":
            return {"long_name": "row of the detector, counted from 0", "units": "pixel"}
        case "x":
            return {"long_name": "column of the detector, counted from 0", "units": "pixel"}
    return {"long_name": "integration of the exposure, counted from 1", "units": "1"}


def group_attributes(
    name: str, primary: Cards, dimensions: tuple[str, ...], corner: tuple[int, int]
) -> Attributes:
    """Return the attributes of a product's group.

    Parameters
    ----------
    corner : (y0, x0)
        Where the first pixel lies on the detector.
    """
    said = {each: primary.get(each) for each in KEYWORDS}
    return {
        "Conventions": "CF-1.11",
        "title": name,
        "source": f"bkgflow {VERSION}",
        "bkgflow_layout": LAYOUT,
        **{each: value for each, value in said.items() if value is not None},
        "ome": {"version": "0.5", "multiscales": [_multiscale(name, dimensions, corner)]},
    }


def _multiscale(name: str, dimensions: tuple[str, ...], corner: tuple[int, int]) -> Attributes:
    """Describe ``sci`` as an image of one resolution, as OME-NGFF 0.5 has it: no copy of it."""
    translation = [0.0] * (len(dimensions) - 2) + [float(each) for each in corner]
    types = {DIMENSIONS[0]: "time"}
    return {
        "name": name,
        "axes": [{"name": each, "type": types.get(each, "space")} for each in dimensions],
        "datasets": [
            {
                "path": "sci",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [1.0] * len(dimensions)},
                    {"type": "translation", "translation": translation},
                ],
            }
        ],
    }
