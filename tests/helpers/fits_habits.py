"""Exposures as programs other than the pipeline leave them: one function a habit.

Each takes the open HDUs of an exposure that stdatamodels wrote, and returns the bytes of the file.
"""

from __future__ import annotations

import gzip
import io
import re
import warnings
from collections.abc import Callable

import numpy as np
from astropy.io import fits

Habit = Callable[[fits.HDUList], bytes]

HABITS: dict[str, Habit] = {}
"""By what was done, who does it: all of these the peer reads."""


def habit(function: Callable[[fits.HDUList], object]) -> Habit:
    """List a habit; what it returns is written, or the HDUs that it changed."""

    def done(hdus: fits.HDUList) -> bytes:
        result = function(hdus)
        if isinstance(result, bytes):
            return result
        return written(hdus if result is None else result)

    HABITS[function.__name__.replace("_", " ")] = done
    return done


def written(hdus: fits.HDUList, **options: object) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hdus.writeto(out, **options)
    return out.getvalue()


def card(raw: bytes, extension: bytes, keyword: str, new: bytes) -> bytes:
    """Replace the first card of a keyword behind the first occurrence of some bytes."""
    start = raw.index(f"{keyword:<8}".encode(), raw.index(extension) if extension else 0)
    return raw[:start] + new.ljust(80)[:80] + raw[start + 80 :]


def spelled(hdus: fits.HDUList, how: Callable[[str], str]) -> bytes:
    """Spell the names of the extensions otherwise; astropy itself writes capitals."""
    raw = written(hdus)
    for name in ("SCI", "ERR", "DQ", "VAR_POISSON"):
        text = f"'{how(name):<8}'".encode()
        raw = re.sub(
            rf"EXTNAME = '{name} *'.{{{60 - len(name)}}}".encode(),
            lambda m, t=text: (b"EXTNAME = " + t).ljust(len(m[0]))[: len(m[0])],
            raw,
        )
    return raw


@habit
def as_it_was(hdus):
    """Nothing."""


@habit
def names_in_small_letters(hdus):
    return spelled(hdus, str.lower)


@habit
def names_in_mixed_letters(hdus):
    return spelled(hdus, str.title)


@habit
def names_with_blanks(hdus):
    return spelled(hdus, lambda name: f"  {name} ")


@habit
def another_version_of_each_extension(hdus):
    del hdus["ASDF"]  # its sources name the versions
    for hdu in hdus[1:]:
        hdu.ver = 3


@habit
def a_second_sci(hdus):
    hdus.insert(len(hdus) - 1, fits.ImageHDU(np.full((3, 3), 7, "f4"), name="SCI", ver=2))


@habit
def another_order(hdus):
    return fits.HDUList([hdus[0], *list(hdus)[:0:-1]])


@habit
def sci_in_the_primary(hdus):
    primary = fits.PrimaryHDU(hdus["SCI"].data, hdus[0].header)
    primary.header["EXTNAME"] = "SCI"
    primary.header["BUNIT"] = hdus["SCI"].header["BUNIT"]
    return fits.HDUList([primary, *(hdu for hdu in hdus[1:] if hdu.name not in ("SCI", "ASDF"))])


@habit
def no_err(hdus):
    del hdus["ERR"], hdus["ASDF"]


@habit
def no_dq(hdus):
    del hdus["DQ"], hdus["ASDF"]


@habit
def sci_alone(hdus):
    return fits.HDUList([hdus[0], hdus["SCI"]])


@habit
def no_asdf(hdus):
    del hdus["ASDF"]


@habit
def no_asdf_and_no_model_type(hdus):
    del hdus["ASDF"], hdus[0].header["DATAMODL"]


@habit
def tile_compressed(hdus):
    def packed(hdu):
        if not hdu.is_image:
            return hdu
        lossless = "GZIP_2" if hdu.data.dtype.kind == "f" else "RICE_1"
        return fits.CompImageHDU(hdu.data, hdu.header, hdu.name, lossless, quantize_level=0)

    return fits.HDUList([hdus[0], *map(packed, hdus[1:])])


@habit
def scaled_integers(hdus):
    hdus["SCI"].scale("int16", bscale=0.25, bzero=100)


@habit
def double_precision(hdus):
    for name in ("SCI", "ERR"):
        hdus[name].data = hdus[name].data.astype("f8")


@habit
def whole_numbers(hdus):
    hdus["SCI"].data = hdus["SCI"].data.astype("i2")


@habit
def whole_numbers_of_64_bits(hdus):
    hdus["SCI"].data = hdus["SCI"].data.astype("i8")


@habit
def unsigned_bytes(hdus):
    hdus["SCI"].data = hdus["SCI"].data.astype("u1")


@habit
def dq_of_bytes(hdus):
    hdus["DQ"].data = hdus["DQ"].data.astype("u1")


@habit
def dq_of_16_bits(hdus):
    hdus["DQ"].data = (hdus["DQ"].data % 1000).astype("i2")


@habit
def dq_with_a_sign(hdus):
    hdus["DQ"].data = hdus["DQ"].data.astype("i4")


@habit
def long_strings_and_hierarch(hdus):
    hdus[0].header["TARGPROP"] = "a long name " * 20
    hdus[0].header["HIERARCH ESO DET NAME"] = "an archive's own"
    hdus[0].header["HIERARCH lower case"] = 3.5


@habit
def comments_and_blank_cards(hdus):
    for i in range(5):
        hdus[0].header.insert(8 + i, ("", "between the cards"))
        hdus[0].header.add_comment("kept by an archive")
        hdus["SCI"].header.add_history("seen by an archive")


@habit
def a_card_twice(hdus):
    hdus[0].header.append(("TARGNAME", "one"))
    hdus[0].header.append(("TARGNAME", "two"))


@habit
def a_card_without_a_value(hdus):
    hdus[0].header.append(("TITLE", fits.card.UNDEFINED, "nobody knows"))
    hdus[0].header.append(("ARCHIVE", None, "nor this"))


@habit
def a_header_of_five_thousand_cards(hdus):
    for i in range(5000):
        hdus[0].header.append((f"MORE{i:04}", i / 3, "of an archive"), bottom=True)


@habit
def zero_bytes_at_the_end(hdus):
    return written(hdus) + bytes(10_000)


@habit
def extra_extensions(hdus):
    more = fits.ImageHDU(np.arange(6, dtype="i2").reshape(2, 3), name="MINE")
    more.header["MYWORD"] = ("kept", "mine")
    columns = [
        fits.Column("x", "1E", "mm", array=[1, 2, 3]),
        fits.Column("y", "4A", array=["a"] * 3),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SOURCES")
    hdus.insert(2, more)
    hdus.append(table)


@habit
def extensions_without_a_name(hdus):
    hdus.insert(1, fits.ImageHDU(np.ones((2, 2), "f4")))
    hdus.append(fits.ImageHDU(np.zeros((2, 2), "f8")))


@habit
def checksums(hdus):
    return written(hdus, checksum=True)


@habit
def packed(hdus):
    return gzip.compress(written(hdus))


@habit
def packed_in_members(hdus):
    raw = written(hdus)
    return b"".join(gzip.compress(raw[i : i + 5000]) for i in range(0, len(raw), 5000))


@habit
def free_format(hdus):
    raw = written(hdus)
    return card(raw, b"", "EXP_TYPE", b"EXP_TYPE= 'MIR_IMAGE' / not padded")
