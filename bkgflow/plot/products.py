"""What became of an exposure, as a picture: before, what was subtracted, after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bkgflow.detector import DO_NOT_USE, REFERENCE_PIXEL
from bkgflow.errors import ShapeError, UsageError
from bkgflow.explore.exposure import open_exposure
from bkgflow.io.exposures.from_fits import inspect
from bkgflow.io.products.nodes import read_said
from bkgflow.io.references.mask import product_mask
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.zarr.stream import walk_product
from bkgflow.kinds.segments import SEGMENT
from bkgflow.methods.soss.regions import fit_regions
from bkgflow.plot.cubes import check_pixels, integrations_of, mean_of, said_of
from bkgflow.plot.panels import Panel, SkyScales, fit_panels, picture_of, subtraction_panels
from bkgflow.record import Found, ImageFound, Scale, SlitlessFound, SossFound, TemplateFound
from bkgflow.texts import many
from bkgflow.verdict import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["found_in", "panels_of", "product_picture", "residual", "slitless", "soss"]

SHOWN = ("DETECTOR", "FILTER", "PUPIL", "GRATING", "CHANNEL", "BAND")
"""Keywords in the title of a picture, after the instrument."""

NAMES = {SlitlessFound: "slitless", SossFound: "SOSS"}


def residual(target: PathLike | xr.Dataset, product: PathLike | xr.Dataset) -> Figure:
    """Draw a target, what was subtracted from it, and what is left, in one grey scale.

    Parameters
    ----------
    target, product : path or Dataset
        The exposure and what became of it: files, or what `bkgflow.open_exposure` and
        `bkgflow.subtract_background` return. Of a cube, the mean over the integrations is drawn.

    Raises
    ------
    InputError
        If a file is bad.
    ShapeError
        If the two are of other pixels.
    UsageError
        If matplotlib is not installed.
    """
    before, after = (_dataset(each) for each in (target, product))
    check_pixels(before["sci"])
    sci, changed = (mean_of(each["sci"]).transpose("y", "x") for each in (before, after))
    if sci.shape != changed.shape:
        raise ShapeError(
            "A target and its product must have the same pixels",
            value=f"{sci.shape} and {changed.shape}",
            cure="Give both whole, or the same part of both",
        )
    left = changed.values
    unit = str(before["sci"].attrs.get("units", ""))
    name = Location.of(str(after.attrs.get("path") or before.attrs.get("path", ""))).name
    panels = subtraction_panels(sci.values, sci.values - left, left, unit)
    corner = int(sci["x"].values[0]), int(sci["y"].values[0])
    words = said_of(integrations_of(before["sci"]))
    title = "\n".join(filter(None, [name, words]))
    return picture_of([each._replace(corner=corner) for each in panels], title)


def slitless(target: PathLike, product: PathLike) -> Figure:
    """Draw a slitless exposure, or an image with a template: mask, scaled sky, what is left.

    Parameters
    ----------
    target, product : path
        The exposure and its product, which says what was found.

    Raises
    ------
    InputError
        If a file is bad.
    UsageError
        If it is no slitless product, or matplotlib is not installed.
    """
    return _of_kind(SlitlessFound, target, product)


def soss(target: PathLike, product: PathLike) -> Figure:
    """Draw a SOSS exposure, where its sky was fitted, the sky, what is left, and the scales.

    The scales are those of all segments whose products lie in one folder, over the integrations.

    Parameters
    ----------
    target, product : path
        The exposure, or one segment of it, and its product, which says what was found.

    Raises
    ------
    InputError
        If a file is bad.
    UsageError
        If it is no SOSS product, or matplotlib is not installed.
    """
    return _of_kind(SossFound, target, product)


def _of_kind(kind: type[Found], target: PathLike, product: PathLike) -> Figure:
    found, *_ = found_in(product)
    if not isinstance(found, kind):
        raise UsageError(
            f"A product must be a {NAMES[kind]} one for this picture",
            file=Location.of(product),
            value="another kind of product" if found else "no record of a method",
            cure="Draw it with bkgflow.plot.residual",
        )
    return product_picture(target, product)


def product_picture(target: PathLike, product: PathLike) -> Figure:
    """Draw a target and its product as the product's kind wants it.

    Raises
    ------
    InputError
        If a file is bad.
    """
    product = Location.of(product)
    _, _, integrations = found_in(product)
    panels, series = panels_of(target, product)
    window = inspect(target).window
    panels = [each._replace(corner=(window.x0, window.y0)) for each in panels]
    lines = product.name, ", ".join(_words(target, product)), said_of(integrations)
    return picture_of(panels, "\n".join(filter(None, lines)), series)


def _dataset(given: PathLike | xr.Dataset) -> xr.Dataset:
    return given if isinstance(given, xr.Dataset) else open_exposure(given)


def _words(target: PathLike, product: Location) -> Iterator[str]:
    """Yield what a reader wants to know beside a name: how it was taken, what was done."""
    facts, (found, _, _) = inspect(target), found_in(product)
    shown = (facts.keyword(name) for name in SHOWN)
    yield " ".join(value for value in (facts.instrument, *shown) if value not in ("", "N/A"))
    match found:
        case ImageFound(unsubtracted_pixels=number):
            yield "background exposures combined and subtracted"
            if number:
                yield f"{many(number, 'pixel')} without a valid background"
        case TemplateFound(components=names, scaling_factors=factors) if factors:
            pairs = zip(names, factors, strict=True)
            yield f"subtracted: {', '.join(f'{each:.4g} × {name}' for name, each in pairs)}"
        case SlitlessFound(scaling_factors=factors) if factors:
            yield f"sky scaled by {', '.join(f'{each:.4g}' for each in factors)}"
        case SossFound(template=template) if template is not None:
            yield f"sky template {template + 1} of the library, scaled on both sides of its step"


def panels_of(target: PathLike, product: Location) -> tuple[list[Panel], list[SkyScales] | None]:
    """Return the images of such a picture; and the scales of a SOSS exposure, else None.

    Raises
    ------
    InputError
        If a file is bad.
    """
    exposure = open_exposure(target)
    sci = mean_of(exposure["sci"])
    unit = sci.attrs.get("units", "")
    before, after = sci.values, mean_of(open_exposure(product)["sci"]).values
    sky = before - after
    found, _, _ = found_in(product)
    if isinstance(found, SossFound) and found.source_threshold is not None:
        regions = _regions(exposure, found.source_threshold, sky)
        title = "where the sky was fitted: share of the integrations"
        fitted = Panel(title, regions, (-1.0, 1.0), "left < 0 < right", "RdBu_r")
        return fit_panels(before, fitted, sky, after, unit, regions != 0), _scales(product)
    mask = product_mask(product, sky.shape)
    if mask is None:
        return subtraction_panels(before, sky, after, unit), None
    title = f"mask: {mask.mean():.0%} background"
    fitted = Panel(title, mask.astype(np.float32), (0.0, 1.0), "0: source, 1: background")
    return fit_panels(before, fitted, sky, after, unit, mask), None


def _regions(
    exposure: xr.Dataset, threshold: Scale, sky: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return where the sky was fitted: (ny, nx), left negative; see `fit_regions`."""
    left, right = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    dark = fit_regions(_dark_share(exposure, left), sky)
    if left == right:
        return dark
    return np.where(dark < 0, dark, fit_regions(_dark_share(exposure, right), sky).clip(0.0))


def _dark_share(exposure: xr.Dataset, threshold: float) -> NDArray[np.float32]:
    """Share of the integrations in which a pixel is good and below the threshold: (ny, nx)."""
    good = (exposure["dq"] & np.uint32(DO_NOT_USE | REFERENCE_PIXEL)) == 0
    share: NDArray[np.float32] = mean_of((good & (exposure["sci"] < threshold)).astype("f4")).values
    return share


def found_in(product: PathLike) -> tuple[Found | None, int, int]:
    """Return what a product's method found, its first integration, and how many it has.

    Raises
    ------
    FileError
        If it cannot be read.
    """
    hdus = walk_product(Location.of(product))
    said = read_said(product, hdus)
    record = None if said is None else Verdict.from_tree(said).record
    first = hdus["PRIMARY"].header.whole("INTSTART", 1)
    shape = hdus["SCI"].data.shape
    return record.found if record else None, first, shape[0] if len(shape) == 3 else 1


def _scales(product: Location) -> list[SkyScales]:
    """Return the scales of a product and of the segments of its exposure that lie beside it."""
    exposure = SEGMENT.sub("", product.name)
    segments = [each for each in product.parent.listing() if SEGMENT.sub("", each.name) == exposure]
    scales = []
    for path in sorted(segments):
        found, first, n = found_in(path)
        if not isinstance(found, SossFound) or found.left_scale is None:
            continue  # a segment without a fit has no point in the curves
        sides = found.left_scale, found.right_scale
        errors = found.left_scale_error, found.right_scale_error
        scales.append(SkyScales(first, _curves(sides, n), _curves(errors, n)))
    return scales


def _curves(sides: tuple[float | tuple[float, ...] | None, ...], n: int) -> NDArray[np.float64]:
    """Return one value for each integration and side: (2, n)."""
    return np.array([np.broadcast_to(np.nan if side is None else side, n) for side in sides])
