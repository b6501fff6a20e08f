"""Where an exposure lies on the detector, from the numbers in its headers."""

from __future__ import annotations

from os import PathLike
from typing import cast

from bkgflow.detector import Window, full_frame
from bkgflow.errors import ShapeError, WindowError

__all__ = ["CORNER_AND_SIZE", "number", "slit_corner", "whole_number", "window_of"]

CORNER_AND_SIZE = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
"""The keywords of a window, in the order of `window_of`."""

Pair = tuple[object, object]
"""Two header values."""


def slit_corner(corner: Pair, start: Pair) -> Pair:
    """Return the detector's 1-based corner of a cut-out that begins at ``start`` in its frame.

    Where one of the numbers is missing, so is the corner's; what is no number comes back as it
    is, for `window_of` to refuse.
    """
    return _shifted(corner[0], start[0]), _shifted(corner[1], start[1])


def _shifted(frame: object, cut: object) -> object:
    if frame is None or cut is None:
        return None
    if isinstance(frame, int | float) and isinstance(cut, int | float):
        return frame + cut - 1
    return cut if isinstance(frame, int | float) else frame


def window_of(
    file: str | PathLike[str], instrument: str, shape: tuple[int, ...], corner: Pair, size: Pair
) -> Window:
    """Work out an exposure's window on the detector.

    Parameters
    ----------
    instrument : str
        INSTRUME, which decides what a full frame is.
    shape : (ny, nx)
        Of the array.
    corner : (SUBSTRT1, SUBSTRT2)
        First column and row, 1-based; None where missing.
    size : (SUBSIZE1, SUBSIZE2)
        Columns and rows; None where missing.

    Raises
    ------
    WindowError
        If a keyword is missing and the array is not a full frame, or is below 1.
    ShapeError
        If SUBSIZE contradicts the array.
    """
    ny, nx = shape
    keywords = dict(zip(CORNER_AND_SIZE, (*corner, *size), strict=True))
    missing = [name for name, value in keywords.items() if value is None]
    if missing:
        full = full_frame(instrument, (ny, nx))
        if full is None:
            raise WindowError(
                "A subarray must say where it lies on the detector",
                file=file,
                value=f"no {', '.join(missing)}; the array is {ny}×{nx}, not a full frame",
                cure="Put SUBSTRT1/2 and SUBSIZE1/2 into the primary header",
            )
        return full
    x, y, columns, rows = (_whole(file, *each) for each in keywords.items())
    if (rows, columns) != (ny, nx):
        raise ShapeError(
            "SUBSIZE2 × SUBSIZE1 must be the shape of the array",
            file=file,
            value=f"SUBSIZE2 × SUBSIZE1 = {rows}×{columns}, the array is {ny}×{nx}",
            cure="Correct the keywords, or make the product again",
        )
    if x < 1 or y < 1:
        rule = "SUBSTRT1 and SUBSTRT2 must count the detector's pixels from 1"
        raise WindowError(rule, file=file, value=f"{x}, {y}", cure="Correct the keywords")
    return Window(x - 1, y - 1, nx, ny)


def _whole(file: str | PathLike[str], name: str, value: object) -> int:
    found = whole_number(value)
    if found is None:
        rule, cure = f"{name} must be a whole number", "Correct the keyword"
        raise WindowError(rule, file=file, value=repr(value), cure=cure)
    return found


def number(value: object) -> float | None:
    """Return a header value as a float; None where it is missing or no number at all."""
    try:
        return None if value is None else float(cast(float, value))
    except (TypeError, ValueError):
        return None


def whole_number(value: object) -> int | None:
    """Return a header value that is a whole number; None for all others."""
    found = number(value)
    return None if found is None or not found.is_integer() else int(found)
