"""Headers whose cards are parsed when they are asked for.

A plan looks at a few dozen of a file's many hundred cards. The cards are found by their
keywords, and only what is asked for is handed to astropy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

from astropy.io.fits import Card, VerifyError

from bkgflow.errors import FileError
from bkgflow.io.storage.location import PathLike

__all__ = ["BLOCK", "Cards", "Value", "cut_card"]

BLOCK = 2880
"""A FITS file is made of blocks of this many bytes (FITS standard 4.0, section 3.1)."""

WIDTH = 80
"""Bytes of a card."""

END = b"END".ljust(WIDTH)

MAY_END = re.compile(rb"END[ \0]")

LONGEST = 10_000 * BLOCK
"""Bytes of a header. The longest of JWST have some 200 blocks; what never ends is no header."""

PLAIN = re.compile(
    rb"= +(?:([+-]?\d+)|([+-]?\d+\.\d*(?:E[+-]?\d+)?)|'([ -%(-~]*)'|([TF])) *(?:/.*)?"
)
"""The values of nearly all cards: whole, real, text without quotes or continuation, logical.
Parsing them here takes a twentieth of the time; astropy is asked for all others."""

Value = str | float
"""Of a card: bool and int are floats to the typing of Python."""


class Cards:
    """The cards of one header: ``raw``, a whole number of blocks; ``file`` is named in errors."""

    def __init__(self, file: PathLike, raw: bytes) -> None:
        self.raw = raw
        self._file = file
        self._starts: dict[bytes, int] = {}
        for start in range(0, len(raw), WIDTH):
            self._starts.setdefault(raw[start : start + 8].rstrip(), start)

    @classmethod
    def read(cls, file: PathLike, stream: BinaryIO) -> Cards:
        """Read the header that begins where a stream stands; `FileError` if it does not end."""
        raw, found = bytearray(), "no END"
        while len(raw) < LONGEST and found == "no END":
            block = stream.read(BLOCK)
            if len(block) < BLOCK:
                break
            raw += block
            for i in range(0, BLOCK, WIDTH) if MAY_END.search(block) else ():
                if block.startswith(END, i) and not block[i + WIDTH :].strip(b" "):
                    return cls(file, bytes(raw))
                # Read on, the header would swallow its data, and end where the next one does.
                if MAY_END.match(block, i):
                    zeros = block.startswith(b"END\0", i)
                    found = f"END and {'zero' if zeros else 'other'} bytes"
                    break
        raise FileError(
            "A FITS header must end with END and blanks, in a whole block",
            file=file,
            value=f"{found} before byte {stream.tell()}",
            cure="Fetch the file again; it was cut off, damaged, or has bytes behind its end",
        )

    def __iter__(self) -> Iterator[bytes]:
        """Yield the cards in their order, as they are, without END; with a card its CONTINUEs."""
        stop = self.raw.rindex(END)
        starts = (i for i in range(0, stop, WIDTH) if self.raw[i : i + 8] != b"CONTINUE" or not i)
        for start, end in pairwise((*starts, stop)):
            yield self.raw[start:end]

    def get(self, keyword: str, default: Value | None = None) -> Value | None:
        """Return the value of a keyword's first card; `FileError` if it is not written as FITS."""
        start = self._starts.get(keyword.encode("ascii"))
        if start is None:
            return default
        stop = start + WIDTH
        if plain := PLAIN.fullmatch(self.raw, start + 8, stop):
            whole, real, text, logical = plain.groups()
            if whole is not None:
                return int(whole)
            if real is not None:
                return float(real)
            return text.rstrip().decode("ascii") if text is not None else logical == b"T"
        while self.raw[stop : stop + 8] == b"CONTINUE":
            stop += WIDTH
        card = self.raw[start:stop]
        try:
            value: Value = Card.fromstring(card).value
            return value
        except (VerifyError, ValueError):
            raise FileError(
                f"The header's card {keyword} must have a value as FITS writes them",
                file=self._file,
                value=card.decode("latin-1").rstrip(),
                cure="Correct the card, or fetch the file again",
            ) from None

    def keywords(self) -> Iterator[str]:
        """Yield the keywords, each once, END and the empty one among them."""
        for each in self._starts:
            yield each.decode("latin-1")

    def all_match(self, pattern: re.Pattern[bytes]) -> bool:
        """Whether a pattern matches every card, each for itself."""
        match, stop = pattern.fullmatch, self.raw.rindex(END)
        return all(match(self.raw, i, i + WIDTH) for i in range(0, stop, WIDTH))

    def has(self, keyword: str) -> bool:
        """Whether there is a card, be it without a value."""
        return keyword.encode("ascii") in self._starts

    def whole(self, keyword: str, default: int | None = None) -> int:
        """Return a value that must be a whole number; `FileError` if it is none, or missing."""
        value = self.get(keyword, default)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        found = "missing" if value is None else repr(value)
        raise FileError(
            f"The header must say {keyword}, a whole number",
            file=self._file,
            value=f"extension {self.get('EXTNAME', 'PRIMARY')}: {found}",
            cure="Fetch the file again",
        )


def cut_card(keyword: str, value: Value, comment: str) -> Card | None:
    """Return a card with as much of its comment as it has room for; None where all of it fits.

    stdatamodels has astropy cut the comment behind a long value, byte for byte like this; astropy
    would say so with a warning, each time that it writes the card.
    """
    bare = Card(keyword, value).image
    whole = f"{bare.rstrip():30} / {comment}"
    if not comment or len(bare) > WIDTH or len(whole) <= WIDTH:
        return None
    return Card.fromstring(whole[:WIDTH])
