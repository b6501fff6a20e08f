"""Exposures whose bytes were changed at random."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.helpers.exposures import make_model
from tests.helpers.fits_habits import HABITS

SHAPE = (40, 48)

KINDS = ("as it was", "checksums", "packed", "tile compressed", "no asdf", "extra extensions",
         "long strings and hierarch", "cube")  # fmt: skip


@cache
def sound(kind: str) -> bytes:
    """An exposure without damage."""
    shape = (2, *SHAPE) if kind == "cube" else SHAPE
    random = np.random.default_rng(3)
    out = io.BytesIO()
    with make_model(random.normal(20, 2, shape), 0.5, random.integers(0, 3, shape)) as model:
        model.meta.target.catalog_name = "NGC 1333"
        model.meta.cal_step.dq_init = "COMPLETE"
        if kind == "cube":
            table = np.zeros(2, model.get_dtype("int_times"))
            model.int_times = table
        path = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path("/tmp")
        place = path / f"bkgflow-fuzz-{id(out)}.fits"
        try:
            model.save(str(place))
            with fits.open(place, memmap=False) as hdus:
                return HABITS["checksums" if kind == "cube" else kind](hdus)
        finally:
            place.unlink(missing_ok=True)


def damaged(raw: bytes, random: np.random.Generator) -> bytes:
    """Change a few bytes, lose some, or repeat some."""
    changed = bytearray(raw)
    match random.choice(["header", "header", "card", "data", "anywhere", "cut", "lost", "twice"]):
        case "header":
            for _ in range(random.integers(1, 6)):
                changed[_in_a_header(raw, random)] = int(random.integers(256))
        case "card":
            _card(changed, raw, random)
        case "data" | "anywhere":
            for place in random.integers(0, len(raw), random.integers(1, 20)):
                changed[place] ^= 1 << int(random.integers(8))
        case "cut":
            del changed[int(random.integers(len(raw))) :]
        case "lost":
            place = int(random.integers(len(raw)))
            del changed[place : place + int(random.integers(1, 4000))]
        case "twice":
            place = int(random.integers(len(raw)))
            changed[place:place] = raw[place : place + int(random.integers(1, 4000))]
    return bytes(changed)


def _headers(raw: bytes) -> list[int]:
    return [i for i in range(0, len(raw), 2880) if raw[i : i + 8] in (b"SIMPLE  ", b"XTENSION")]


def _in_a_header(raw: bytes, random: np.random.Generator) -> int:
    starts = _headers(raw) or [0]
    start = int(random.choice(starts))
    return min(start + int(random.integers(2880)), len(raw) - 1)


NUMBERS = ("-1", "0", "9", "999999999999", "99999999999999999999", "-9223372036854775808", "1E400",
           "'text'", "T", "", "(1, 2)", "nan")  # fmt: skip

KEYWORDS = ("NAXIS", "NAXIS1", "NAXIS2", "BITPIX", "PCOUNT", "GCOUNT", "BSCALE", "BZERO", "EXTNAME",
            "SUBSTRT1", "SUBSIZE2", "TFIELDS", "TFORM1", "XTENSION", "DATAMODL", "EXP_TYPE",
            "CHECKSUM", "DATASUM", "ZNAXIS1", "ZTILE1", "ZCMPTYPE")  # fmt: skip


def _card(changed: bytearray, raw: bytes, random: np.random.Generator) -> None:
    """Give a card that matters a value without sense."""
    keyword = str(random.choice(KEYWORDS)).ljust(8).encode() + b"="
    places = [i for i in range(0, len(raw) - 80, 80) if raw[i : i + 9] == keyword]
    if places:
        place = int(random.choice(places))
        card = keyword + f" {random.choice(NUMBERS):>20}".encode()
        changed[place : place + 80] = card.ljust(80)


def cases(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many damaged files, each with its name."""
    random = np.random.default_rng(seed)
    for i in range(count):
        kind = KINDS[i % len(KINDS)]
        raw = sound(kind)
        if kind == "packed" and random.integers(2):  # damage before the file was packed
            raw = gzip.compress(damaged(gzip.decompress(raw), random))
        else:
            raw = damaged(raw, random)
        yield f"{i:04}_{kind.replace(' ', '_')}_rate.fits", raw
