"""Whether two folders hold the same: arrays byte by byte, headers card by card, trees by node.

Dates may differ, and the hash of the headers that follows from them; so may the record, which
is counted (see `benchmarks.records`), and the lines of HISTORY that spell it.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asdf
import numpy as np
from astropy.io import fits

from benchmarks.records import Fields, shown

__all__ = ["Comparison", "compare_asdf", "compare_fits", "compare_folders"]

DATES = ("meta.date", "_fits_hash")
"""Nodes of a tree that say when a file was written, and what follows from that."""

TIME = re.compile(r"history\.entries\[\d+\]\.time")
SPELLED = "bkgflow "
"""How a line of HISTORY begins that spells the record."""

SIZE_OF_TREE = ("NAXIS1", "TFORM1")
"""Cards of the ASDF extension that say how long the tree is."""

BLOCK_INDEX = b"#ASDF BLOCK INDEX"


@dataclass
class Comparison:
    """What was compared and found.

    Attributes
    ----------
    files : int
        Pairs of files.
    fields : Fields
        What differs in the records, and may.
    different : list of str
        What may not differ and does: the file and where in it.
    """

    files: int = 0
    fields: Fields = field(default_factory=Fields)
    different: list[str] = field(default_factory=list)
    where: str = ""

    def note(self, line: str) -> None:
        """Add a difference that may not be."""
        self.different.append(f"{self.where}: {line}" if self.where else line)

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Say where the differences are that are found inside."""
        before, self.where = self.where, f"{self.where}/{where}" if self.where else where
        try:
            yield
        finally:
            self.where = before


def compare_folders(old: Path, new: Path, found: Comparison, skip: Sequence[str] = ()) -> None:
    """Compare all files below two folders, but those whose names match a pattern of ``skip``."""
    before, after = (_files(folder, skip) for folder in (old, new))
    for name in sorted(before ^ after):
        found.note(f"{name} is only in the {'old' if name in before else 'new'} one")
    for name in sorted(before & after):
        found.files += 1
        with found.at(name):
            _compare_files(old / name, new / name, found)


def compare_fits(old: Path, new: Path, found: Comparison) -> None:
    """Compare two FITS files: the same HDUs, and of each its cards and the bytes of its data."""
    with _opened(old) as before, _opened(new) as after:
        names = [[hdu.name for hdu in hdus] for hdus in (before, after)]
        if names[0] != names[1]:
            found.note(f"HDUs are {names[1]}, were {names[0]}")
            return
        for hdus in zip(before, after, strict=True):
            with found.at(f"{hdus[0].name},{hdus[0].ver}"):
                data = _bytes(hdus[0], old), _bytes(hdus[1], new)
                _compare_cards(hdus[0].header, hdus[1].header, found)
                if hdus[0].name == "ASDF":
                    compare_asdf(data[0], data[1], found)
                elif data[0] != data[1]:
                    found.note(_in_words(*hdus, *data))


def compare_asdf(old: bytes, new: bytes, found: Comparison) -> None:
    """Compare two ASDF files: heads and blocks byte by byte, trees node by node."""
    parts = [_split(content) for content in (old, new)]
    for i, name in ((0, "head"), (2, "blocks")):
        if parts[0][i] != parts[1][i]:
            found.note(f"{name} differ")
    trees = [asdf.util.load_yaml(io.BytesIO(content), tagged=True) for content in (old, new)]
    _compare_records(trees, found)
    _compare_nodes("", trees[0], trees[1], found)


def _compare_files(old: Path, new: Path, found: Comparison) -> None:
    if old.suffix == ".fits":
        compare_fits(old, new, found)
        return
    contents = [path.read_bytes() for path in (old, new)]
    if old.suffix == ".asdf":
        compare_asdf(contents[0], contents[1], found)
    elif contents[0] != contents[1]:
        found.note("bytes differ")


def _files(folder: Path, skip: Sequence[str]) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder))
        for path in files
        if not any(path.match(pattern) for pattern in skip)
    }


def _opened(path: Path) -> fits.HDUList:
    """Open a file for its headers: pixels stay as they are on the disk."""
    return fits.open(path, memmap=False, do_not_scale_image_data=True)


def _bytes(hdu: Any, path: Path) -> bytes:
    """Return the bytes of an HDU's data, with what fills the last block."""
    span = hdu.fileinfo()
    with path.open("rb") as stream:
        stream.seek(span["datLoc"])
        return stream.read(span["datSpan"])


def _compare_cards(old: fits.Header, new: fits.Header, found: Comparison) -> None:
    """Compare two headers' cards with their order; those that may differ are left out."""
    before, after = _cards(old), _cards(new)
    gone, come = Counter(before) - Counter(after), Counter(after) - Counter(before)
    for card in (*gone, *come):
        found.note(f"card {'of old' if card in gone else 'of new'}: {card.rstrip()}")
    if before != after and not gone and not come:
        found.note("cards are in another order")


def _cards(header: fits.Header) -> list[str]:
    """Return the cards as they are written, without those that may differ."""
    cards = list(header.cards)
    history = [i for i, card in enumerate(cards) if card.keyword == "HISTORY"]
    # A long line is cut anywhere, so the record is all from its first line to the last.
    first = next((i for i in history if str(cards[i].value).startswith(SPELLED)), len(cards))
    spelled = range(first, history[-1] + 1) if history else range(0)
    free = ("DATE", *(SIZE_OF_TREE if header.get("EXTNAME") == "ASDF" else ()))
    return [
        card.image for i, card in enumerate(cards) if i not in spelled and card.keyword not in free
    ]


def _in_words(old: Any, new: Any, before: bytes, after: bytes) -> str:
    """Say how the data of two HDUs differ."""
    if len(before) != len(after) or old.header.get("BITPIX") != new.header.get("BITPIX"):
        return f"{len(after)} bytes of data, were {len(before)}"
    width = abs(old.header["BITPIX"]) // 8
    kind = np.dtype(f">{'f' if old.header['BITPIX'] < 0 else 'i'}{width}")
    raw = [np.frombuffer(content, f"V{width}", old.size // width) for content in (before, after)]
    where = np.flatnonzero(raw[0] != raw[1])
    if not len(where):
        return "what fills the last block differs"
    first = [each[where[:1]].view(kind)[0] for each in raw]
    return (
        f"{len(where)} of {len(raw[0])} values differ, the first is number {where[0]}: "
        f"{first[1]}, was {first[0]}"
    )


def _split(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut an ASDF file into head, tree, and blocks without their index."""
    start, end = content.find(b"\n---"), content.find(b"\n...")
    blocks = content[end + 5 :].partition(BLOCK_INDEX)[0].rstrip(b"\0")
    return content[:start], content[start:end], blocks


def _compare_records(trees: Sequence[Any], found: Comparison) -> None:
    """Take the records out of two trees, and the lines that spell them, and compare them."""
    (old, old_lines), (new, new_lines) = (_taken(tree) for tree in trees)
    if bool(old) != bool(new):
        found.note(f"the {'new' if old else 'old'} one has no record")
    elif old:
        for line in found.fields.compare(old, new):
            found.note(f"record: {line}")
    for name in sorted({*old_lines, *new_lines}):
        if old_lines.get(name) != new_lines.get(name):
            found.fields.written[f"HISTORY of {name}"] += 1


def _taken(tree: Any) -> tuple[Any, dict[str, str]]:
    """Remove the record and the lines that spell it; return both, the lines by field."""
    record = tree.get("meta", {}).pop("bkgflow", {})
    history = tree.get("history", {})
    entries = history.get("entries", []) if isinstance(history, Mapping) else []
    lines = [str(entry["description"]) for entry in entries]
    kept = [entry for entry in entries if not entry["description"].startswith(SPELLED)]
    if len(kept) < len(entries):
        history["entries"] = kept
    if isinstance(history, Mapping) and "extensions" in history:
        history["extensions"].sort(key=repr)  # asdf writes them in the order of a set
    spelled = (line.removeprefix(SPELLED) for line in lines if line.startswith(SPELLED))
    return record, {name: text for name, _, text in (line.partition(":") for line in spelled)}


def _compare_nodes(path: str, old: Any, new: Any, found: Comparison) -> None:
    """Compare two nodes: tags, keys and their order, values to the last digit."""
    if path in DATES or TIME.fullmatch(path):
        return
    tags = [getattr(node, "_tag", None) for node in (old, new)]
    if tags[0] != tags[1]:
        found.note(f"tree {path or 'root'}: tag {tags[1]}, was {tags[0]}")
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        if list(old) != list(new):
            found.note(f"tree {path or 'root'}: keys {shown(list(new))}, were {shown(list(old))}")
        for name in [name for name in old if name in new]:
            _compare_nodes(f"{path}.{name}" if path else name, old[name], new[name], found)
    elif _both_lists(old, new) and len(old) == len(new):
        for i, items in enumerate(zip(old, new, strict=True)):
            _compare_nodes(f"{path}[{i}]", *items, found)
    elif repr(old) != repr(new):
        found.note(f"tree {path}: {shown(new)}, was {shown(old)}")


def _both_lists(old: Any, new: Any) -> bool:
    return all(isinstance(each, Sequence) and not isinstance(each, str) for each in (old, new))
