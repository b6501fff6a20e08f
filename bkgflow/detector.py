"""Windows on the detector, where they overlap, and the DQ flags that matter here.

A window is what SUBSTRT1/2 and SUBSIZE1/2 say, kept 0-based and half-open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from bkgflow.texts import nearest

__all__ = [
    "DO_NOT_USE", "EVERY_BIT", "FLUX_ESTIMATED", "PIXEL_FLAGS", "REFERENCE_PIXEL", "Window",
    "bits_of", "enclosing", "full_frame", "names_of_bits",
]  # fmt: skip

DO_NOT_USE = 1
"""DQ bit 0, ``stdatamodels.jwst.datamodels.dqflags.pixel["DO_NOT_USE"]``."""

REFERENCE_PIXEL = 1 << 31
"""DQ bit 31, ``stdatamodels.jwst.datamodels.dqflags.pixel["REFERENCE_PIXEL"]``."""

PIXEL_FLAGS = (
    "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE", "AD_FLOOR",
    "CHARGELOSS", "RESERVED", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE", "RC",
    "TELEGRAPH", "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE",
    "NO_LIN_CORR", "NO_SAT_CHECK", "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE",
    "UNRELIABLE_FLAT", "OPEN", "ADJ_OPEN", "FLUX_ESTIMATED", "MSA_FAILED_OPEN",
    "OTHER_BAD_PIXEL", "REFERENCE_PIXEL",
)  # fmt: skip
"""The DQ flags as ``stdatamodels.jwst.datamodels.dqflags.pixel`` names them, by the bit that each
of them is, from the lowest."""

FLUX_ESTIMATED = 1 << PIXEL_FLAGS.index("FLUX_ESTIMATED")

EVERY_BIT = (1 << len(PIXEL_FLAGS)) - 1

MIRI_FULL = (1024, 1032)
NIR_FULL = (2048, 2048)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """A rectangle of detector pixels: first column and row (0-based), width and height."""

    x0: int
    y0: int
    nx: int
    ny: int

    @property
    def x1(self) -> int:
        """The column behind the last one."""
        return self.x0 + self.nx

    @property
    def y1(self) -> int:
        """The row behind the last one."""
        return self.y0 + self.ny

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx), as numpy has it."""
        return self.ny, self.nx

    def overlap(self, other: Window) -> Window | None:
        """Return the pixels both windows hold, or None where there are none."""
        wide = self.x0 <= other.x0 < other.x1 <= self.x1
        if wide and self.y0 <= other.y0 < other.y1 <= self.y1:  # as most often
            return other
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        nx, ny = min(self.x1, other.x1) - x0, min(self.y1, other.y1) - y0
        return Window(x0, y0, nx, ny) if nx > 0 and ny > 0 else None

    def contains(self, other: Window) -> bool:
        """Whether every pixel of the other window is one of this window's."""
        return self.overlap(other) == other

    def slices_in(self, frame: Window) -> tuple[slice, slice]:
        """Return where this window lies in an array that covers ``frame``: (y, x) slices."""
        y, x = self.y0 - frame.y0, self.x0 - frame.x0
        return slice(y, y + self.ny), slice(x, x + self.nx)

    def bands(self, rows: int) -> Iterator[Window]:
        """Cut into bands of at most ``rows`` detector rows, from the first row on."""
        for y in range(self.y0, self.y1, rows):
            yield Window(self.x0, y, self.nx, min(rows, self.y1 - y))

    def __str__(self) -> str:
        """Columns and rows, 1-based and inclusive as in the header."""
        return f"x {self.x0 + 1}–{self.x1}, y {self.y0 + 1}–{self.y1}"


def enclosing(windows: Sequence[Window]) -> Window:
    """Return the smallest window that contains all the given ones (at least one)."""
    x0, y0 = min(w.x0 for w in windows), min(w.y0 for w in windows)
    return Window(x0, y0, max(w.x1 for w in windows) - x0, max(w.y1 for w in windows) - y0)


def full_frame(instrument: str, shape: tuple[int, int]) -> Window | None:
    """Return the full-frame window where (ny, nx) is an instrument's full frame, else None.

    The frames are 1024×1032 for MIRI and 2048×2048 for the near-infrared detectors.
    """
    full = MIRI_FULL if instrument.upper() == "MIRI" else NIR_FULL
    return Window(0, 0, shape[1], shape[0]) if shape == full else None


def bits_of(flags: object) -> int:
    """Return the bits that flags name, as `astropy.nddata.bitmask.interpret_bit_flags` has it.

    Parameters
    ----------
    flags : int, str, or sequence of these
        A number, or text: names of `PIXEL_FLAGS` or numbers with one of ``+``, ``|`` or commas
        between them; a ``~`` before all of it means all other bits.

    Raises
    ------
    ValueError
        If a name is unknown, or a number is not a sum of flags.
    """
    text = "+".join(map(str, flags)) if isinstance(flags, list | tuple | set) else str(flags)
    inner = text.strip()
    if flip := inner.startswith("~"):
        inner = inner[1:].strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1]
    bits = reduce(or_, map(_bits_of_word, re.split(r"[+|,]", inner)))
    return EVERY_BIT & ~bits if flip else bits


def _bits_of_word(word: str) -> int:
    name = word.strip().upper()
    if name in PIXEL_FLAGS:
        return 1 << PIXEL_FLAGS.index(name)
    if name.isdecimal() and int(name) <= EVERY_BIT:
        return int(name)
    close = nearest(name, PIXEL_FLAGS)
    # A command line may bring bytes that no text can hold.
    said = word.strip().encode(errors="backslashreplace").decode()
    raise ValueError(
        f"flags must be names of DQ flags or numbers below 2**{len(PIXEL_FLAGS)}, and "
        f"{said or 'nothing'} is neither{f'; the nearest is {close}' if close else ''}"
    )


def names_of_bits(bits: int) -> str:
    """Write bits as the names of their flags, with ``+`` between them; 0 where there are none."""
    return "+".join(name for i, name in enumerate(PIXEL_FLAGS) if bits >> i & 1) or "0"
