"""Where an exposure lies on the detector, from the numbers in its headers."""

from __future__ import annotations

from os import PathLike
from typing import Any

from bkgflow.detector import Window, full_frame
from bkgflow.errors import ShapeError, WindowError

__all__ = ["CORNER_AND_SIZE", "number", "slit_corner", "window_of"]

CORNER_AND_SIZE = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
"""The keywords of a window, in the order of `window_of`."""


def slit_corner(corner: tuple[Any, Any], start: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the detector's 1-based corner of a cut-out that begins at ``start`` in its frame.

    Where one of the numbers is missing, so is the corner's; what is no number comes back as it
    is, for `window_of` to refuse.
    """
    x, y = (_shifted(frame, cut) for frame, cut in zip(corner, start, strict=True))
    return x, y


def _shifted(frame: Any, cut: Any) -> Any:
    if frame is None or cut is None:
        return None
    wrong = [value for value in (frame, cut) if not isinstance(value, int | float)]
    return wrong[0] if wrong else frame + cut - 1


def window_of(
    file: str | PathLike[str],
    instrument: str,
    shape: tuple[int, ...],
    corner: tuple[Any, Any],
    size: tuple[Any, Any],
) -> Window:
    """Work out an exposure's window on the detector.

    Parameters
    ----------
    file : path-like
        Named in errors.
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
                "A subarray says where it lies on the detector",
                file=file,
                value=f"no {', '.join(missing)}; the array is {ny}×{nx}, not a full frame",
                cure="Put SUBSTRT1/2 and SUBSIZE1/2 into the primary header",
            )
        return full
    x, y, columns, rows = (_whole(file, name, value) for name, value in keywords.items())
    if (rows, columns) != (ny, nx):
        raise ShapeError(
            "SUBSIZE2 × SUBSIZE1 is the shape of the array",
            file=file,
            value=f"SUBSIZE2 × SUBSIZE1 = {rows}×{columns}, the array is {ny}×{nx}",
            cure="Correct the keywords, or make the product again",
        )
    if x < 1 or y < 1:
        raise WindowError(
            "SUBSTRT1 and SUBSTRT2 count the detector's pixels from 1",
            file=file,
            value=f"{x}, {y}",
            cure="Correct the keywords",
        )
    return Window(x - 1, y - 1, nx, ny)


def _whole(file: str | PathLike[str], keyword: str, value: Any) -> int:
    """Return a header value that must be a whole number."""
    found = number(value)
    if found is None or not found.is_integer():
        raise WindowError(
            f"{keyword} is a whole number",
            file=file,
            value=repr(value),
            cure="Correct the keyword",
        )
    return int(found)


def number(value: Any) -> float | None:
    """Return a header value as a float; None where it is missing or no number at all."""
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None
