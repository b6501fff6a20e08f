"""Two versions of a product as a picture: both in one grey scale, and what is other."""

from __future__ import annotations

from pathlib import Path

from bkgflow.io.products.compare import mean_image
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.plot.panels import difference_panels, picture_of
from bkgflow.report.drawing import save_picture

__all__ = ["draw_difference"]


def draw_difference(
    files: tuple[Location, Location], names: tuple[str, str], picture: PathLike, words: str
) -> Path | Location:
    """Draw two versions of a product side by side, and their difference, as PNG.

    Parameters
    ----------
    files : (Location, Location)
        The versions, of one shape; of cubes, the mean over the integrations is drawn.
    names : (str, str)
        What stands in the title for A and B.
    words : str
        What is different, for the title.

    Raises
    ------
    InputError
        If a file cannot be read.
    UsageError
        If matplotlib is not installed.
    OutputError
        If the picture cannot be written.
    """
    (one, unit), (other, _) = (mean_image(each) for each in files)
    title = f"{files[0].name}\nA = {names[0]}, B = {names[1]}\n{words}"
    panels = difference_panels(one, other, ("A", "B"), unit)
    return save_picture(picture_of(panels, title), picture)
