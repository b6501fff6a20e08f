"""Templates of what shines in images: what their headers say, and their pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np

from bkgflow.detector import Window
from bkgflow.io.references.accepted import PATTERNS, accepted_values
from bkgflow.io.references.images import find_image
from bkgflow.io.references.skies import Templates, read_templates
from bkgflow.io.storage.identity import Identity
from bkgflow.io.storage.location import Location

__all__ = ["ImageTemplates", "TemplateWords", "read_image_templates", "template_words"]

WORDS = ("INSTRUME", "DETECTOR", "EXP_TYPE", "MODULE", "CHANNEL", "FILTER", "PUPIL", "CORONMSK")
"""Keywords of a template that must agree with its image: they say what it is a picture of."""

CURE = "Give an image of the template in SCI, or alone in its file, with override_bkg"


@dataclass(frozen=True, slots=True, eq=False)
class ImageTemplates:
    """Templates on an exposure's window, each with its name and file.

    Attributes
    ----------
    skies : Templates
        Their pixels, and their flags together.
    names : tuple of str
        The file's name, with a number where a file has several.
    files : tuple of Location
        Where each is from.
    """

    skies: Templates
    names: tuple[str, ...]
    files: tuple[Location, ...]


TemplateWords = tuple[tuple[str, frozenset[str]], ...]
"""The values that a template is for, by keyword, in capitals."""


@lru_cache(maxsize=64)  # all exposures of a program ask for the same few
def template_words(location: Location, _version: Identity) -> TemplateWords:
    """Return what a template's headers say it is for: values by keyword, those that say anything.

    Raises
    ------
    FileError
        If the file cannot be read, or does not say which image is meant.
    """
    image = find_image(location, ("SCI",), "A template", CURE)
    words = []
    for name in WORDS:
        listed = image.keyword(PATTERNS[name][0]) if name in PATTERNS else None
        if values := accepted_values(listed, image.keyword(name)):
            words.append((name, values))
    return tuple(words)


def read_image_templates(
    paths: Iterable[Location], window: Window, instrument: str
) -> ImageTemplates:
    """Read templates and cut them to a window by detector coordinates; see `read_templates`.

    Raises
    ------
    FileError, ShapeError, WindowError, BackgroundError
        As `read_templates`.
    """
    versions = tuple((each, each.identity("A template")) for each in paths)
    return _read(versions, window, instrument)


# What is kept is the last that was used: a worker reads it for the first image of a program.
@lru_cache(maxsize=1)
def _read(
    files: tuple[tuple[Location, Identity], ...], window: Window, instrument: str
) -> ImageTemplates:
    skies, names, origins = list[Templates](), list[str](), list[Location]()
    for location, _ in files:
        part = read_templates(location, window, instrument=instrument)
        count = len(part.sci)
        several = (f"{location.name}[{number}]" for number in range(1, count + 1))
        skies.append(part)
        names += several if count > 1 else [location.name]
        origins += [location] * count
    together = Templates(
        np.concatenate([part.sci for part in skies]),
        reduce(np.bitwise_or, (part.dq for part in skies)),
    )
    return ImageTemplates(together, tuple(names), tuple(origins))
