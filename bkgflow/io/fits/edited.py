"""Headers of which a few cards change: all others stay as they are written, byte by byte.

astropy's `Header` would take every card of a file apart and put it together again. New cards go
where it puts them, and it writes them.
"""

from __future__ import annotations

from functools import lru_cache

from astropy.io.fits import Card

from bkgflow.io.fits.cards import BLOCK, END, WIDTH, Cards, Value, commented, cut_card
from bkgflow.io.storage.location import PathLike

__all__ = ["EditedCards"]

BLANK = b" " * WIDTH

COMMENTARY = ("COMMENT", "HISTORY", "")
"""Keywords whose cards have no value, and may be many."""

TEXT = WIDTH - 8
"""Bytes of the text of a commentary card."""


class EditedCards:
    """The cards of a header, a card with its CONTINUEs as one.

    Parameters
    ----------
    file : path-like
        Named in errors.
    raw : bytes
        A header, in whole blocks.
    """

    def __init__(self, file: PathLike, raw: bytes) -> None:
        self._cards = list(Cards(file, raw))
        self._keywords = [_keyword(card) for card in self._cards]
        self._known = set(self._keywords)  # asked a thousand times; only blanks ever go

    def __contains__(self, keyword: str) -> bool:
        """Whether there is a card of a keyword."""
        return keyword in self._known

    def set(self, keyword: str, value: Value) -> None:
        """Give the first card of a keyword a value; one that says so already stays as it is."""
        at = self._keywords.index(keyword)
        card = Card.fromstring(self._cards[at])
        cut = None if card.value == value else cut_card(keyword, value, card.comment)
        if cut is None:
            card.value = value
        self._cards[at] = str(cut or card).encode("ascii")

    def insert(self, before: str, *cards: tuple[str, Value, str], after: bool = False) -> None:
        """Put cards, each a keyword, a value and a comment, before or after a keyword's first."""
        at = self._keywords.index(before) + after
        for keyword, value, comment in reversed(cards):
            self._put(at, keyword, _image(keyword, value, comment))

    def add_history(self, line: str) -> None:
        """Add a line to HISTORY, in as many cards as it takes."""
        for start in range(0, len(line), TEXT) if line else (0,):
            if "HISTORY" in self._keywords:
                at = len(self._keywords) - self._keywords[::-1].index("HISTORY")
            else:
                at = len(self._cards)
                while at and self._cards[at - 1] == BLANK:
                    at -= 1
            text = line[start : start + TEXT]
            self._put(at, "HISTORY", _history(text))

    def to_bytes(self) -> bytes:
        """Return the header, in whole blocks."""
        raw = b"".join((*self._cards, END))
        return raw + b" " * (-len(raw) % BLOCK)

    def _put(self, at: int, keyword: str, image: bytes) -> None:
        """Put a card somewhere, in the place of blank ones at the end as far as there are any."""
        last = at >= len(self._cards)
        self._cards.insert(at, image)
        self._keywords.insert(at, keyword)
        self._known.add(keyword)
        # What is put behind everything is put behind the blanks as well.
        for _ in range(0 if last else len(image) // WIDTH):
            if self._cards[-1] != BLANK:
                break
            self._cards.pop()
            self._keywords.pop()


def _keyword(card: bytes) -> str:
    return card[:8].decode("latin-1").rstrip()


@lru_cache(maxsize=1 << 12, typed=True)
def _image(keyword: str, value: Value, comment: str) -> bytes:
    """Return a card as stdatamodels has astropy write it; long values take several."""
    # Behind an empty string astropy puts a comment elsewhere.
    bare = Card(keyword, value).image if keyword and comment and value != "" else None
    if bare is None or len(bare) > WIDTH:
        return str(Card(keyword, value, comment or None)).encode("ascii")
    return commented(bare, comment).encode("ascii")


@lru_cache(maxsize=1 << 12)
def _history(text: str) -> bytes:
    return str(Card("HISTORY", text)).encode("ascii")
