"""Files that were made to do harm: to fill the memory, to run for ever, to be run."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from tests.fuzz.files import sound

Hostile = Callable[[Path], Path]

HOSTILE: dict[str, Hostile] = {}
"""By what it is, who makes one in a folder."""


def hostile(function: Hostile) -> Hostile:
    """List one."""
    HOSTILE[function.__name__.replace("_", " ")] = function
    return function


def with_tree(folder: Path, text: bytes, *, keep: bool = False) -> Path:
    """An exposure whose ASDF extension says something else."""
    path = folder / "t_rate.fits"
    path.write_bytes(sound("as it was"))
    with fits.open(path) as hdus:
        old = hdus["ASDF"].data["ASDF_METADATA"].tobytes()
        if keep:
            text = old.replace(b"\n...", b"\n" + text + b"\n...", 1)
        else:
            text = old[: old.index(b"---")] + b"--- !core/asdf-1.1.0\n" + text + b"\n...\n"
        data = np.frombuffer(text, np.uint8)[None]
        column = fits.Column("ASDF_METADATA", f"{len(text)}B", array=data)
        hdus["ASDF"] = fits.BinTableHDU.from_columns([column], name="ASDF")
        hdus.writeto(path, overwrite=True)
    return path


def laughs(depth: int) -> bytes:
    lines = [b"l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]".encode() for i in range(1, depth)]
    return b"\n".join(lines)


@hostile
def a_billion_laughs(folder):
    return with_tree(folder, laughs(12))


@hostile
def a_billion_laughs_beside_what_is_there(folder):
    return with_tree(folder, laughs(12), keep=True)


@hostile
def a_tree_that_holds_itself(folder):
    return with_tree(folder, b"mine: &a [1, *a]", keep=True)


@hostile
def a_python_object(folder):
    marker = folder / "was_run"
    call = f"mine: !!python/object/apply:os.system ['touch {marker}']"
    return with_tree(folder, call.encode(), keep=True)


@hostile
def brackets_without_an_end(folder):
    return with_tree(folder, b"mine: " + b"[" * 200_000, keep=True)


@hostile
def brackets_within_brackets(folder):
    return with_tree(folder, b"mine: " + b"[" * 100_000 + b"]" * 100_000, keep=True)


@hostile
def lists_within_lists(folder):
    return with_tree(folder, b"mine:\n  " + b"- " * 50_000 + b"1", keep=True)


@hostile
def a_tree_of_thirty_megabytes(folder):
    return with_tree(folder, b"mine: [" + b"0," * 15_000_000 + b"0]", keep=True)


def array_at(source: str, length: int = 4) -> bytes:
    shape = f"shape: [{length}], datatype: uint8, byteorder: little"
    return f"mine: !core/ndarray-1.1.0 {{source: {source}, {shape}}}".encode()


@hostile
def an_array_in_another_file(folder):
    secret = folder / "secret.txt"
    secret.write_text("nobody's business")
    return with_tree(folder, array_at(f"'{secret}'"), keep=True)


@hostile
def an_array_from_the_net(folder):
    return with_tree(folder, array_at("'http://127.0.0.1:9/x.asdf'"), keep=True)


@hostile
def an_array_of_a_terabyte(folder):
    return with_tree(folder, array_at("0", 1 << 40), keep=True)


@hostile
def a_packed_file_of_zeros(folder):
    path = folder / "t_rate.fits.gz"
    with gzip.open(path, "wb", compresslevel=6) as out:
        out.write(sound("as it was"))
        for _ in range(1500):
            out.write(bytes(1 << 20))
    return path


@hostile
def a_packed_image_of_zeros(folder):
    path = folder / "t_rate.fits.gz"
    header = fits.ImageHDU(np.zeros((1, 1), "f4"), name="SCI").header
    header["NAXIS1"], header["NAXIS2"] = 1 << 20, 1 << 20
    with gzip.open(path, "wb", compresslevel=6) as out:
        out.write(sound("as it was")[:2880])
        out.write(header.tostring().encode())
        for _ in range(1500):
            out.write(bytes(1 << 20))
    return path


@hostile
def blanks_without_an_end(folder):
    path = folder / "t_rate.fits"
    path.write_bytes(sound("as it was")[:80] + b" " * 60_000_000)
    return path


@hostile
def an_image_beyond_all_numbers(folder):
    path = folder / "t_rate.fits"
    raw = sound("as it was")
    start = raw.index(b"NAXIS1  =", raw.index(b"XTENSION"))
    card = f"NAXIS1  = {10**19:>20}".encode().ljust(80)
    path.write_bytes(raw[:start] + card + raw[start + 80 :])
    return path


@hostile
def a_pipe(folder):
    os.mkfifo(folder / "t_rate.fits")
    return folder / "t_rate.fits"


@hostile
def a_device(folder):
    (folder / "t_rate.fits").symlink_to("/dev/zero")
    return folder / "t_rate.fits"


@hostile
def a_folder(folder):
    (folder / "t_rate.fits").mkdir()
    return folder / "t_rate.fits"


@hostile
def nothing(folder):
    (folder / "t_rate.fits").touch()
    return folder / "t_rate.fits"


@hostile
def a_link_to_itself(folder):
    (folder / "t_rate.fits").symlink_to(folder / "t_rate.fits")
    return folder / "t_rate.fits"


@hostile
def a_name_of_two_lines(folder):
    path = folder / "two\nlines_rate.fits"
    path.write_bytes(sound("as it was"))
    return path


@hostile
def a_name_of_255_bytes(folder):
    path = folder / ("n" * 245 + "_rate.fits")
    path.write_bytes(sound("as it was"))
    return path


@hostile
def a_name_that_is_no_text(folder):
    path = Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe_rate.fits"))
    path.write_bytes(sound("as it was"))
    return path


@hostile
def a_compressed_image_of_a_terapixel(folder):
    path = folder / "t_rate.fits"
    raw = sound("tile compressed")
    for keyword in (b"ZNAXIS1", b"ZNAXIS2"):
        start = raw.index(keyword.ljust(8) + b"=")
        card = keyword.ljust(8) + f"= {1 << 20:>20}".encode()
        raw = raw[:start] + card.ljust(80) + raw[start + 80 :]
    path.write_bytes(raw)
    return path
