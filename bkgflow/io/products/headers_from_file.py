"""Headers and trees of files that stdatamodels wrote, changed where a product differs.

stdatamodels leaves a hash of all other headers in a file's ASDF tree. Where it still holds, the
headers and the tree say the same and nobody has touched them since, and a reader trusts the
tree. Of such a file a product needs no data model: a few cards and nodes change, the hash is
made anew, and everything else stays what it was, byte by byte.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from astropy.io import fits
from astropy.time import Time
from stdatamodels.jwst import datamodels

from bkgflow.io.fits.cards import BLOCK
from bkgflow.io.fits.hdus import Hdu, read_hdus
from bkgflow.io.products.describe import Description
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading

__all__ = ["Written", "amended", "as_written"]

TREE = "ASDF"
"""EXTNAME of the tree: an ASDF file in the one cell of a table."""

HASH = "_fits_hash"
"""Where the tree keeps the hash of the headers."""

KEYWORD = "S_BKDSUB"

HISTORY_ENTRY = "tag:stsci.edu:asdf/core/history_entry-1.0.0"

_HEAD = re.compile(rb"(?:#.*\r?\n)*(?=%YAML|---)")
_END = re.compile(rb"\r?\n\.\.\.\r?(?:\n|$)")
_BLOCK_INDEX = b"#ASDF BLOCK INDEX"

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Written:
    """A file as stdatamodels wrote it.

    Attributes
    ----------
    units : tuple
        Headers and data but the tree's, in their order; with each, where it ends in the file.
    tree : Hdu
        The extension that holds the tree.
    asdf : bytes
        What is in it.
    """

    units: tuple[tuple[Hdu, int], ...]
    tree: Hdu
    asdf: bytes


def as_written(path: str | Path) -> Written | None:
    """Look whether a file is as stdatamodels wrote it; None where it is not, or not plainly so.

    Raises
    ------
    FileError
        If the file cannot be read, is not FITS, or ends early.
    """
    with Location.of(path).open() as stream, reading(stream):
        units = list(read_hdus(path, stream))
        if len(units) < 2 or units[-1][0].name != TREE:
            return None
        *others, (tree, _) = units
        if tree.header.get("TFORM1") != f"{tree.data.nbytes}B":
            return None
        written = Written(tuple(others), tree, _read(stream, tree))
    return written if _can_amend(written) else None


def amended(written: Written, filename: str, description: Description) -> tuple[list[bytes], bytes]:
    """Return a product's headers, and the whole unit of its tree.

    Parameters
    ----------
    written : Written
        The file that the product is made of.
    filename : str
        The product's name.
    description : Description
        What it says of itself.

    Returns
    -------
    headers : list of bytes
        One for each of ``written.units``, in whole blocks.
    tree : bytes
        Header and data of the last extension, in whole blocks.
    """
    date = str(Time.now().isot)
    primary = fits.Header.fromstring(written.units[0][0].header.raw)
    primary["DATE"], primary["FILENAME"] = date, filename
    _set_outcome(primary, description.outcome.value)
    for line in description.history:
        primary["HISTORY"] = line
    headers = [_raw(primary), *(unit.header.raw for unit, _ in written.units[1:])]
    text, tail = _split(written.asdf)
    changed = _amended_text(text, filename, date, description, _hash(headers))
    asdf = changed + _moved(tail, len(changed) - len(text))
    return headers, _tree_unit(written.tree, asdf)


def _read(stream: BinaryIO, unit: Hdu) -> bytes:
    stream.seek(unit.data.offset)
    return stream.read(unit.data.nbytes)


def _can_amend(written: Written) -> bool:
    """Whether all is where it is looked for, and the hash holds."""
    primary = written.units[0][0].header
    known = getattr(datamodels, str(primary.get("DATAMODL", "")), None)
    if known is None or primary.get("DATE") is None or primary.get("FILENAME") is None:
        return False
    if not any(primary.get(keyword) for keyword, _ in _steps()):
        return False
    root = _composed(written.asdf)
    if root is None or not _has_places(root):
        return False
    found: bool = _get(root, HASH).value == _hash(unit.header.raw for unit, _ in written.units)
    return found


def _has_places(root: yaml.MappingNode) -> bool:
    """Whether the nodes that a product changes are of the kinds that they should be."""
    meta, history, stored = (_get(root, name) for name in ("meta", "history", HASH))
    return (
        isinstance(meta, yaml.MappingNode)
        and isinstance(history, yaml.MappingNode)
        and isinstance(stored, yaml.ScalarNode)
        and isinstance(_get(meta, "cal_step"), yaml.MappingNode)
        and isinstance(_get(history, "entries"), yaml.SequenceNode | None)
    )


def _hash(headers: Iterable[bytes]) -> str:
    """Return the hash of all headers as stdatamodels makes it."""
    return hashlib.sha256(b"".join(headers)).hexdigest()


def _raw(header: fits.Header) -> bytes:
    return str(header.tostring(padding=True)).encode("ascii")


@lru_cache(maxsize=1)
def _steps() -> tuple[tuple[str, str], ...]:
    """Return the keywords that say how steps ended, with their comments, in their order."""
    meta = datamodels.JwstDataModel().schema["properties"]["meta"]["properties"]
    steps = meta["cal_step"]["properties"].values()
    return tuple((step["fits_keyword"], step["title"]) for step in steps)


def _set_outcome(primary: fits.Header, outcome: str) -> None:
    """Set the step's card; a new one goes among those of the other steps."""
    if KEYWORD in primary:
        primary[KEYWORD] = outcome
        return
    keywords = [keyword for keyword, _ in _steps()]
    place = keywords.index(KEYWORD)
    card = (KEYWORD, outcome, dict(_steps())[KEYWORD])
    for keyword in reversed(keywords[:place]):
        if keyword in primary:
            primary.insert(keyword, card, after=True)
            return
    primary.insert(next(keyword for keyword in keywords[place:] if keyword in primary), card)


def _tree_unit(tree: Hdu, asdf: bytes) -> bytes:
    header = fits.Header.fromstring(tree.header.raw)
    header["NAXIS1"], header["TFORM1"] = len(asdf), f"{len(asdf)}B"
    return _raw(header) + asdf + bytes(-len(asdf) % BLOCK)


def _split(asdf: bytes) -> tuple[bytes, bytes]:
    """Cut an ASDF file behind its tree; what follows are blocks of data and their index."""
    end = _END.search(asdf)
    cut = end.end() if end else len(asdf)
    return asdf[:cut], asdf[cut:]


def _composed(asdf: bytes) -> Any:
    """Return the tree's root node; None where there is no tree."""
    text, _ = _split(asdf)
    start = _HEAD.match(text)
    if start is None:
        return None
    try:
        root = yaml.compose(text[start.end() :], Loader=_Loader)
    except yaml.YAMLError:
        return None
    return root if isinstance(root, yaml.MappingNode) else None


def _amended_text(
    text: bytes, filename: str, date: str, description: Description, headers: str
) -> bytes:
    """Return the tree's text with the product's nodes."""
    root = _composed(text)
    meta = _get(root, "meta")
    _put(_get(meta, "cal_step"), "bkg_subtract", _node(description.outcome.value))
    _put(meta, "bkgflow", _node(_without_none(description.tree)))
    _put(meta, "date", _node(date))
    _put(meta, "filename", _node(filename))
    _put(root, HASH, _node(headers))
    _add_history(_get(root, "history"), description.history)
    start = _HEAD.match(text)
    assert start is not None
    changed: bytes = yaml.serialize(
        root,
        Dumper=_Dumper,
        version=(1, 1),
        tags={"!": "tag:stsci.edu:asdf/"},
        explicit_start=True,
        explicit_end=True,
        allow_unicode=True,
        encoding="utf-8",
    )
    return text[: start.end()] + changed


def _add_history(history: yaml.MappingNode, lines: Sequence[str]) -> None:
    """Add to the entries, with the time in words as stdatamodels has it."""
    entries = _get(history, "entries")
    if entries is None:
        entries = _node([])
        _put(history, "entries", entries)
    entries.flow_style = False
    now = Time(int(time.time()), format="unix").iso
    for line in lines:
        entry = _node({"description": line, "time": now})
        entry.tag = HISTORY_ENTRY
        entries.value.append(entry)


def _get(mapping: yaml.MappingNode, name: str) -> Any:
    """Return the node of a key, or None."""
    return next((value for key, value in mapping.value if key.value == name), None)


def _put(mapping: yaml.MappingNode, name: str, node: yaml.Node) -> None:
    """Set the node of a key; a new one goes to its place in the order of the keys."""
    for i, (key, _) in enumerate(mapping.value):
        if key.value == name:
            mapping.value[i] = (key, node)
            return
    place = next((i for i, (key, _) in enumerate(mapping.value) if key.value > name), None)
    mapping.value.insert(len(mapping.value) if place is None else place, (_node(name), node))


def _node(value: Any) -> Any:
    return _Dumper(io.StringIO(), default_flow_style=None).represent_data(value)


def _without_none(value: Any) -> Any:
    """Leave out what is None, as a data model does."""
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_none(item) for item in value if item is not None]
    return value


def _moved(tail: bytes, distance: int) -> bytes:
    """Return the blocks behind a tree that grew; their index counts from the file's begin."""
    place = tail.rfind(_BLOCK_INDEX)
    if place < 0:
        return tail
    offsets = [offset + distance for offset in yaml.load(tail[place:], Loader=_Loader)]
    index: bytes = yaml.dump(
        offsets,
        Dumper=_Dumper,
        version=(1, 1),
        explicit_start=True,
        explicit_end=True,
        encoding="ascii",
    )
    return tail[:place] + _BLOCK_INDEX + b"\n" + index
