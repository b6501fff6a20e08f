"""Whether headers are as the FITS standard has them; astropy decides where that is not plain.

A damaged byte in a header is seen here, before any pixel is read: astropy would warn of it, and
go on with what it takes the card for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import BinaryIO

from astropy.io import fits
from astropy.io.fits import Card, VerifyError

from bkgflow.errors import FileError
from bkgflow.io.fits.cards import Cards
from bkgflow.io.fits.hdus import Hdu, hdu_of
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.storage.location import PathLike
from bkgflow.io.storage.reading import said, understood

__all__ = ["check_standard"]

PLAIN = re.compile(
    rb"(?=.{8}= )[A-Z0-9_-]+ *= *"
    rb"(?:[+-]?\d+(?:\.\d*)?(?:E[+-]?\d+)?|'(?:[ -&(-~]|'')*'(?=[ /])|[TF]|) *(?:/[ -~]*)?"
    rb"|(?:COMMENT |HISTORY | {8})[ -~]{72}"
)
"""Cards that are certainly right, which nearly all are: asking astropy takes a hundred times as
long."""

COLUMN = re.compile(r"(\d*)([LXBIJKAEDCM])|[01]?([PQ])[LXBIJKAEDCM]\(\d+\)")

WIDTHS = dict(zip("LBAIJKEDCMPQ", (1, 1, 1, 2, 4, 8, 4, 8, 8, 16, 8, 16), strict=True))
"""Bytes of an element of a column of a binary table (FITS standard 4.0, table 18)."""

COUNTS = (b"NAXIS   ", b"TFIELDS ", b"ZNAXIS  ")
"""Cards that say how many others follow; the standard has none above 999."""

CURE = (
    "Fetch the file again; where a program wrote it so, mend it with astropy "
    '(fits.open(file, mode="update", output_verify="fix")) and look at what became of it'
)


def check_standard(path: PathLike, stream: BinaryIO, hdus: Sequence[Hdu]) -> None:
    """See that astropy's ``verify`` finds nothing wrong with an open file.

    Raises
    ------
    FileError
        If a card or a header is not as the standard has it; it names the extension.
    """
    doubtful = [hdu for hdu in hdus if not hdu.header.once(_is_right)]
    for hdu in doubtful:
        for card in hdu.header:
            if not PLAIN.fullmatch(card):
                _check_card(path, hdu, card)
            if card.startswith(COUNTS):
                _check_count(path, hdu, card)
    if not all(map(_is_plain, doubtful)):
        stream.seek(0)
        rule = "The headers of a FITS file must be as the standard has them"
        with understood(rule, path, CURE), unwarned():
            opened = fits.open(stream, memmap=False)
            opened.verify("exception")
            for each in opened:
                if isinstance(each, fits.BinTableHDU | fits.TableHDU):
                    _ = each.data


def _is_right(header: Cards) -> bool:
    """Whether a header is certainly right: all of its cards are plain, and so is their order."""
    hdu = hdu_of("", header, 0, int(header.is_extension))
    return all(map(_is_plain_card, header.single())) and _is_plain(hdu)


@lru_cache(maxsize=1 << 14)  # most cards of a program's files are the same in many
def _is_plain_card(card: bytes) -> bool:
    return PLAIN.fullmatch(card) is not None


def _check_card(path: PathLike, hdu: Hdu, raw: bytes) -> None:
    """Have astropy say whether a card, with what continues it, is as the standard has it."""
    try:
        raw.decode("ascii")
        card = Card.fromstring(raw)
        card.verify("exception")
        _ = card.value
    except (VerifyError, ValueError, AssertionError) as problem:
        raise FileError(
            "The cards of a header must be as the FITS standard has them",
            file=path,
            value=f"extension {hdu.name or hdu.index}: {raw[:80].decode('latin-1').rstrip()!r} "
            f"({said(problem)})",
            cure=CURE,
        ) from None


def _check_count(path: PathLike, hdu: Hdu, raw: bytes) -> None:
    """See that a count is one: astropy looks for as many cards, even for a thousand million."""
    card = Card.fromstring(raw)
    if not isinstance(card.value, int) or not 0 <= card.value <= 999:
        raise FileError(
            f"{card.keyword} must be a whole number from 0 to 999",
            file=path,
            value=f"extension {hdu.name or hdu.index}: {card.value!r}",
            cure=CURE,
        )


def _is_plain(hdu: Hdu) -> bool:
    """Whether a header begins with the cards that must be there, in their order, and fits."""
    axes = [f"NAXIS{i}" for i in range(1, len(hdu.data.shape) + 1)]
    wanted = ["XTENSION" if hdu.index else "SIMPLE", "BITPIX", "NAXIS", *axes]
    if hdu.index:
        wanted += ["PCOUNT", "GCOUNT"]
    return (
        len(axes) < 1000
        and _keywords(hdu, len(wanted)) == wanted
        and (
            # Nearly always this counts the axes alone; a comment may hold the word as well.
            hdu.header.raw.count(b"NAXIS") == len(axes) + 1
            or {each for each in hdu.header.keywords() if each.startswith("NAXIS")}.issubset(wanted)
        )
        and isinstance(hdu.header.get("EXTNAME", ""), str)
        and (_is_plain_extension if hdu.index else _is_plain_primary)(hdu, len(wanted))
    )


def _is_plain_primary(hdu: Hdu, place: int) -> bool:
    extend = hdu.header.get("EXTEND")
    in_place = _keywords(hdu, place + 1)[-1] == "EXTEND"
    return hdu.header.get("SIMPLE") is True and (extend is None or (extend is True and in_place))


def _is_plain_extension(hdu: Hdu, place: int) -> bool:
    header = hdu.header
    if header.get("GCOUNT") != 1:
        return False
    if header.get("XTENSION") == "IMAGE":
        return header.get("PCOUNT") == 0
    return header.get("XTENSION") == "BINTABLE" and _is_plain_table(hdu, place)


def _is_plain_table(hdu: Hdu, place: int) -> bool:
    header = hdu.header
    count = header.get("TFIELDS")
    if _keywords(hdu, place + 1)[-1:] != ["TFIELDS"] or type(count) is not int or count > 999:
        return False
    if len(hdu.data.shape) != 2 or hdu.data.bitpix != 8 or hdu.size < hdu.data.nbytes:
        return False
    return sum(_widths(hdu, count)) == hdu.data.shape[1]


def _widths(hdu: Hdu, count: int) -> Iterator[float]:
    """Yield the bytes of each column in a row; NaN where that is not plain."""
    for i in range(1, count + 1):
        form = COLUMN.fullmatch(str(hdu.header.get(f"TFORM{i}")).strip())
        if form is None or hdu.header.get(f"TDIM{i}") is not None or form[2] == "X":
            yield float("nan")
        else:
            yield int(form[1] or 1) * WIDTHS[form[2]] if form[2] else WIDTHS[form[3]]


def _keywords(hdu: Hdu, first: int) -> list[str]:
    """Return the keywords of a header's first cards."""
    raw = hdu.header.raw[: 80 * first]
    return [raw[i : i + 8].decode("latin-1").rstrip() for i in range(0, len(raw), 80)]
