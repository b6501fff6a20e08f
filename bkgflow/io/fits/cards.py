"""Headers whose cards are parsed when they are asked for.

A plan looks at a few dozen of a file's many hundred cards. The cards are found by their
keywords, and only what is asked for is handed to astropy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from struct import Struct
from typing import Any, BinaryIO, TypeVar, cast

from astropy.io.fits import Card, VerifyError

from bkgflow.errors import FileError
from bkgflow.io.storage.location import PathLike

__all__ = ["BLOCK", "END", "WIDTH", "Cards", "Value", "commented", "cut_card"]

BLOCK = 2880
"""A FITS file is made of blocks of this many bytes (FITS standard 4.0, section 3.1)."""

WIDTH = 80
"""Bytes of a card."""

END = b"END".ljust(WIDTH)

LAST = b"END".ljust(BLOCK)
"""The end of a header, with the blanks that may follow: as many as fill the block."""

LONGEST = 10_000 * BLOCK
"""Bytes of a header. The longest of JWST have some 200 blocks; what never ends is no header."""

PLAIN = re.compile(
    rb"= +(?:([+-]?\d+)|([+-]?\d+\.\d*(?:E[+-]?\d+)?)|'([ -%(-~]*)'|([TF])) *(?:/.*)?"
)
"""The values of nearly all cards: whole, real, text without quotes or continuation, logical.
Parsing them here takes a twentieth of the time; astropy is asked for all others."""

Value = str | float
"""Of a card: bool and int are floats to the typing of Python."""


Answer = TypeVar("Answer")


@lru_cache(maxsize=1024)
def _cut(card: str, number: int) -> Struct:
    """Return what cuts a header into its cards, five times as fast as a loop would."""
    return Struct(card * number)


class _Index:
    """The cards before END, the first of each keyword, and what was found out about them."""

    __slots__ = ("answers", "cards", "first")

    def __init__(self, raw: bytes) -> None:
        number = raw.rindex(END) // WIDTH
        self.cards: tuple[bytes, ...] = _cut("80s", number).unpack_from(raw)
        keywords = _cut("8s72x", number).unpack_from(raw)
        # From the last to the first: of several cards of one keyword the first stays.
        self.first = dict(zip(reversed(keywords), reversed(self.cards), strict=True))
        self.answers: dict[object, Any] = {}


_kept_index = lru_cache(maxsize=1024)(_Index)
"""Headers of one block, such as those of ERR and DQ, are the same in all files of a program."""


@lru_cache(maxsize=1024)  # the same few are asked for again and again
def _padded(keyword: str) -> bytes:
    return keyword.encode("ascii").ljust(8)


def _find_end(block: bytes) -> int:
    """Return where a card that may be END begins in a block; -1 where there is none."""
    end = block.find(b"END")
    while end >= 0 and (end % WIDTH or block[end + 3] not in b" \0"):
        end = block.find(b"END", end + 1)
    return end


@lru_cache(maxsize=1 << 14)  # so are most cards of the others
def _plain_value(card: bytes) -> Value | None:
    """Return the value of a card that is plain; None of all others."""
    plain = PLAIN.fullmatch(card, 8)
    if plain is None:
        return None
    whole, real, text, logical = plain.groups()
    if whole is not None:
        return int(whole)
    if real is not None:
        return float(real)
    return cast(bytes, text).rstrip().decode("ascii") if text is not None else logical == b"T"


class Cards:
    """The cards of one header: ``raw``, a whole number of blocks; ``file`` is named in errors."""

    __slots__ = ("_file", "_index", "raw")

    def __init__(self, file: PathLike, raw: bytes) -> None:
        self.raw = raw
        self._file = file
        self._index = _kept_index(raw) if len(raw) == BLOCK else _Index(raw)

    @classmethod
    def read(cls, file: PathLike, stream: BinaryIO, begin: bytes = b"") -> Cards:
        """Read the header that begins where a stream stands; `FileError` if it does not end.

        ``begin`` is its first block, where that was read already.
        """
        raw, found = bytearray(), "no END"
        while len(raw) < LONGEST and found == "no END":
            block = begin or stream.read(BLOCK)
            if len(block) < BLOCK:
                break
            raw += block
            begin, end = b"", _find_end(block)
            if end < 0:
                continue
            if block[end:] == LAST[: BLOCK - end]:
                return cls(file, bytes(raw))
            # Read on, the header would swallow its data, and end where the next one does.
            found = f"END and {'other' if block[end + 3] else 'zero'} bytes"
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
        card = self._index.first.get(_padded(keyword))
        if card is None:
            return default
        plain = _plain_value(card)
        if plain is not None:
            return plain
        start = WIDTH * self._index.cards.index(card)
        stop = start + WIDTH
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
        """Yield the keywords in no order, each once, the empty one among them."""
        for each in self._index.first:
            yield each.decode("latin-1").rstrip()

    @property
    def is_extension(self) -> bool:
        """Whether it is an extension's header, and not the primary's."""
        return self.raw.startswith(b"XTENSION")

    def single(self) -> tuple[bytes, ...]:
        """Return the cards before END, a CONTINUE like any other."""
        return self._index.cards

    def once(self, question: Callable[[Cards], Answer]) -> Answer:
        """Return what a function of the cards alone gives; short headers alike are asked once."""
        answers = self._index.answers
        if question not in answers:
            answers[question] = question(self)
        return cast(Answer, answers[question])

    def has(self, keyword: str) -> bool:
        """Whether there is a card, be it without a value."""
        return _padded(keyword) in self._index.first

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
    if not comment or len(bare) > WIDTH or len(f"{bare.rstrip():30} / {comment}") <= WIDTH:
        return None
    return Card.fromstring(commented(bare, comment))


def commented(bare: str, comment: str) -> str:
    """Return a card without a comment, 80 characters, with as much of one as it has room for."""
    return f"{bare.rstrip():30} / {comment}"[:WIDTH].ljust(WIDTH)
