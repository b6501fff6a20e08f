"""The ASDF tree of a product as JSON, for readers without asdf, and back.

Nothing is lost: a node with a tag of its own becomes ``{"!tag": …, "!value": …}``, one that the
tree refers to several times ``{"!anchor": …}`` and ``{"!alias": …}``, and arrays that lie in
binary blocks behind the tree stand in it as lists of numbers.
"""

from __future__ import annotations

import bz2
import io
import json
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from bkgflow.io.fits.tree import unvalidated
from bkgflow.io.fits.unwarned import unwarned
from bkgflow.io.fits.yaml_types import Dumper, Loader

if TYPE_CHECKING:
    from gwcs import WCS

__all__ = ["to_asdf", "to_json", "wcs_of"]

Json = Any
"""What JSON can say."""

HEAD = re.compile(rb"(?:#.*\r?\n)*(?=%YAML|---)")
END = re.compile(rb"\r?\n\.\.\.\r?(?:\n|$)")

CORE = "tag:yaml.org,2002:"
PLAIN = {f"{CORE}{name}" for name in ("int", "bool", "null", "str")}
NDARRAY = "tag:stsci.edu:asdf/core/ndarray-"

BLOCK = b"\xd3BLK"
BLOCK_HEAD = struct.Struct(">I4sQQQ16s")
"""Of a block: flags, compression, bytes allocated, used and unpacked, checksum (ASDF 1.6)."""

UNPACK: Mapping[bytes, Callable[[bytes], bytes]] = {
    bytes(4): bytes,
    b"zlib": zlib.decompress,
    b"bzp2": bz2.decompress,
}
"""Compressions that every Python can undo. An array in a block of another one stays where it is:
its node says which block, and the file's own bytes are beside the tree."""


def to_json(asdf: bytes) -> bytes:
    """Return the tree of an ASDF file as JSON text in UTF-8; a ValueError where there is none.

    The tree is one that `bkgflow.io.fits.tree.read_tree` has let through.
    """
    head, end = HEAD.match(asdf), END.search(asdf)
    if head is None:
        raise ValueError("no YAML")
    stop = end.end() if end else len(asdf)
    try:
        root = yaml.compose(asdf[head.end() : stop], Loader=Loader)
    except yaml.YAMLError as problem:
        raise ValueError(str(problem)) from None
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("no mapping")
    told = _Telling(root, list(_blocks(asdf, stop)))
    return json.dumps(told.of(root), ensure_ascii=False, allow_nan=False).encode()


def to_asdf(text: bytes) -> bytes:
    """Return an ASDF file, all of it text, with the tree that `to_json` has told."""
    body: bytes = yaml.serialize(
        _Hearing().of(json.loads(text)),
        Dumper=Dumper,
        encoding="utf-8",
        explicit_start=True,
        explicit_end=True,
        version=(1, 1),
        tags={"!": "tag:stsci.edu:asdf/"},
    )
    return b"#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n" + body


def wcs_of(text: bytes) -> WCS | None:
    """Return the ``meta.wcs`` of a tree in JSON; None where it has none."""
    import asdf

    with unwarned(), unvalidated():
        tree = asdf.open(io.BytesIO(to_asdf(text))).tree
    return tree.get("meta", {}).get("wcs")


class _Telling:
    """Makes JSON of nodes; remembers which of them it has told."""

    def __init__(self, root: yaml.Node, blocks: list[bytes | None]) -> None:
        self._times, self._blocks = Counter[int](), blocks
        self._told: dict[int, int] = {}
        left = [root]
        while left:
            node = left.pop()
            self._times[id(node)] += 1
            if self._times[id(node)] == 1 and isinstance(node.value, list):
                for each in node.value:
                    left.extend(each if isinstance(each, tuple) else (each,))

    def of(self, node: yaml.Node) -> Json:
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._told:
            return {"!alias": self._told[id(node)]}
        many = self._times[id(node)] > 1
        if many:
            self._told[id(node)] = len(self._told) + 1
        told = self._content(node)
        return {"!anchor": self._told[id(node)], "!value": told} if many else told

    def _content(self, node: yaml.Node) -> Json:
        usual = CORE + ("map" if isinstance(node, yaml.MappingNode) else "seq")
        if not isinstance(node, yaml.MappingNode):
            told: Json = [self.of(each) for each in node.value]
        elif node.tag.startswith(NDARRAY) and (data := self._array(node)) is not None:
            told = data
        elif all(_is_name(key) for key, _ in node.value):
            told = {key.value: self.of(value) for key, value in node.value}
        else:
            told = {"!pairs": [[self.of(key), self.of(value)] for key, value in node.value]}
        return told if node.tag == usual else {"!tag": node.tag, "!value": told}

    def _array(self, node: yaml.MappingNode) -> Json:
        """Return an array with its numbers instead of the number of their block."""
        said = {str(key.value): value for key, value in node.value}
        source = said.get("source")
        if not isinstance(source, yaml.ScalarNode) or source.tag != f"{CORE}int":
            return None
        number = int(source.value)
        block = self._blocks[number] if -len(self._blocks) <= number < len(self._blocks) else None
        try:
            array = _numbers(Loader("").construct_document(_plain_mapping(said)), block)
        except (ValueError, TypeError, KeyError, yaml.YAMLError):
            return None
        if array is None:
            return None
        kept = {name: self.of(value) for name, value in said.items()
                if name in {"datatype", "shape", "mask"}}  # fmt: skip
        return {"data": _listed(array), **kept}


def _plain_mapping(said: Mapping[str, yaml.Node]) -> yaml.Node:
    wanted = ("datatype", "byteorder", "shape", "offset", "strides")
    return yaml.MappingNode(
        f"{CORE}map",
        [(yaml.ScalarNode(f"{CORE}str", each), said[each]) for each in wanted if each in said],
    )


def _numbers(said: Mapping[str, Any], block: bytes | None) -> np.ndarray[Any, Any] | None:
    if block is None or not isinstance(said["datatype"], str) or "*" in said["shape"]:
        return None
    kind = {"bool8": "bool"}.get(said["datatype"], said["datatype"])
    dtype = np.dtype(kind).newbyteorder("<" if said["byteorder"] == "little" else ">")
    if dtype.kind not in "biuf":
        return None
    return np.ndarray(
        tuple(said["shape"]), dtype, block, int(said.get("offset", 0)), said.get("strides")
    )


def _listed(array: Any) -> Json:
    def told(item: Any) -> Json:
        if isinstance(item, list):
            return [told(each) for each in item]
        return item if not isinstance(item, float) or np.isfinite(item) else _float(item)

    return told(array.tolist())


def _float(value: float) -> Json:
    word = ".nan" if np.isnan(value) else ".inf" if value > 0 else "-.inf"
    return {"!tag": f"{CORE}float", "!value": word}


def _is_name(key: yaml.Node) -> bool:
    """Whether a key is text that JSON's keys can be, and none of those that are used here."""
    return key.tag == f"{CORE}str" and not key.value.startswith("!")


def _scalar(node: yaml.ScalarNode) -> Json:
    if node.tag == f"{CORE}float":
        value = float(Loader("").construct_document(node))
        return value if np.isfinite(value) else _float(value)
    if node.tag in PLAIN:
        return Loader("").construct_document(node)
    return {"!tag": node.tag, "!value": node.value}


def _blocks(asdf: bytes, place: int) -> Iterator[bytes | None]:
    """Yield the content of the blocks behind a tree; None for one of an unknown compression."""
    place = asdf.find(BLOCK, place)
    while place >= 0 and asdf[place : place + 4] == BLOCK:
        size = int.from_bytes(asdf[place + 4 : place + 6])
        start = place + 6 + size
        _, packed, allocated, used, _, _ = BLOCK_HEAD.unpack_from(asdf, place + 6)
        unpack = UNPACK.get(packed)
        yield None if unpack is None else unpack(asdf[start : start + used])
        place = start + allocated


class _Hearing:
    """Makes nodes of JSON."""

    def __init__(self) -> None:
        self._known: dict[int, yaml.Node] = {}

    def of(self, told: Json) -> yaml.Node:
        if isinstance(told, list):
            flow = not any(isinstance(each, list | dict) for each in told)
            return yaml.SequenceNode(f"{CORE}seq", [*map(self.of, told)], flow_style=flow)
        return self._mapping(told) if isinstance(told, dict) else _word(told)

    def _mapping(self, told: dict[str, Json]) -> yaml.Node:
        match told:
            case {"!alias": number}:
                return self._known[number]
            case {"!anchor": number, "!value": value}:
                self._known[number] = node = self.of(value)
            case {"!tag": tag, "!value": str(value)}:
                node = yaml.ScalarNode(tag, value)
            case {"!tag": tag, "!value": value}:
                node = self.of(value)
                node.tag = tag
            case _:
                pairs = told.get("!pairs")
                if pairs is None:
                    pairs = told.items()
                node = yaml.MappingNode(
                    f"{CORE}map", [(self.of(key), self.of(value)) for key, value in pairs]
                )
        return node


def _word(value: object) -> yaml.Node:
    node: yaml.Node = Dumper(io.StringIO()).represent_data(value)
    return node
