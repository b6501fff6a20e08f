"""The ASDF tree of a file as YAML nodes: a few are changed, everything else stays as it was."""

from __future__ import annotations

import io
import re
from collections.abc import Hashable, Iterator, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import yaml

from bkgflow.io.fits.hdus import Hdus
from bkgflow.io.fits.tree import TREE, read_tree
from bkgflow.io.fits.yaml_types import Dumper, Loader
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.reading import reading, understood
from bkgflow.io.zarr.stream import open_product
from bkgflow.record import plain

__all__ = ["HASH", "Tree", "read_said"]

HASH = "_fits_hash"
"""Where the tree keeps the hash of the headers."""

HISTORY_ENTRY = "tag:stsci.edu:asdf/core/history_entry-1.0.0"

_HEAD = re.compile(rb"(?:#.*\r?\n)*(?=%YAML|---)")
_END = re.compile(rb"\r?\n\.\.\.\r?(?:\n|$)")
_BLOCK_INDEX = b"#ASDF BLOCK INDEX"

_AS_ASDF: dict[str, Any] = {
    "Dumper": Dumper,
    "version": (1, 1),
    "explicit_start": True,
    "explicit_end": True,
    "encoding": "utf-8",
}


class Tree:
    """The tree of an ASDF file, given as bytes; a ValueError where there is none."""

    def __init__(self, asdf: bytes) -> None:
        start, end = _HEAD.match(asdf), _END.search(asdf)
        if start is None:
            raise ValueError("no YAML")
        self._head = asdf[: start.end()]
        self._cut = end.end() if end else len(asdf)
        # What follows the tree are blocks of data and their index.
        self._blocks = asdf[self._cut :]
        try:
            root = yaml.compose(asdf[start.end() : self._cut], Loader=Loader)
        except yaml.YAMLError as problem:
            raise ValueError(str(problem)) from None
        if not isinstance(root, yaml.MappingNode):
            raise ValueError("no mapping")
        self.root = root

    def at(self, path: str) -> yaml.Node | None:
        """Return the node at a dotted path; None where there is none."""
        node: yaml.Node | None = self.root
        for name in path.split("."):
            node = _child(node, name)
        return node

    def text(self, path: str) -> str:
        """Return the text at a dotted path; empty where there is none."""
        node = self.at(path)
        return str(node.value) if isinstance(node, yaml.ScalarNode) else ""

    def value(self, path: str) -> object:
        """Return what lies at a dotted path, as Python has it; None where there is nothing.

        A ValueError where it is of another kind than YAML's own.
        """
        node = self.at(path)
        try:
            return None if node is None else Loader("").construct_document(node)
        except yaml.YAMLError as problem:
            raise ValueError(str(problem)) from None

    def set(self, path: str, value: object) -> None:
        """Set what lies at a dotted path; the mappings above it are made if they are not there."""
        *above, name = path.split(".")
        mapping: yaml.Node = self.root
        for each in above:
            found = _child(mapping, each)
            if found is None:
                _put(mapping, each, found := _node({}))
            mapping = found
        _put(mapping, name, _node(plain(value)))

    def items(self, path: str = "") -> Iterator[tuple[str, yaml.Node]]:
        """Yield the keys and nodes of the mapping at a dotted path; nothing where there is none."""
        node = self.at(path) if path else self.root
        return self.items_of(node)

    @staticmethod
    def items_of(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the keys and nodes of a mapping; nothing of any other node."""
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            yield str(key.value), value

    def change(self, path: str, value: Hashable) -> None:
        """Set what lies at a dotted path where it is not that already."""
        node, new = self.at(path), _scalar(type(value), value)
        if isinstance(node, yaml.ScalarNode) and (node.tag, node.value) == (new.tag, new.value):
            return
        self.set(path, value)

    def keep_cards(self, hdu: str, cards: list[list[object]]) -> None:
        """Set the cards of an HDU that no schema knows, each a keyword, a value and a comment."""
        path = f"extra_fits.{hdu}"
        if cards:
            self.set(f"{path}.header", cards)
        elif self.at(path) is not None:
            self._remove(path, "header")

    def _remove(self, path: str, name: str) -> None:
        """Remove a key, and the mappings above it that are empty then."""
        node = self.at(path) if path else self.root
        if isinstance(node, yaml.MappingNode):
            node.value = [(key, value) for key, value in node.value if key.value != name]
            if not node.value and path:
                above, _, last = path.rpartition(".")
                self._remove(above, last)

    def replace_history(self, lines: Sequence[str]) -> None:
        """Replace the entries by lines of which nobody knows the time."""
        self.set("history.entries", [])
        entries = self.at("history.entries")
        assert isinstance(entries, yaml.SequenceNode)
        entries.value = [_entry({"description": line}) for line in lines]

    def add_array(self, name: str, like: str, extension: str) -> None:
        """Add the node of an array in an extension, of the shape and type of another array."""
        node = deepcopy(self.at(like))
        assert node is not None
        _put(node, "source", _node(f"fits:{extension},1"))
        _put(self.root, name, node)

    def add_history(self, lines: Sequence[str]) -> None:
        """Add to the entries, with the time in words as stdatamodels has it."""
        if self.at("history.entries") is None:
            self.set("history.entries", [])
        entries = self.at("history.entries")
        assert isinstance(entries, yaml.SequenceNode)
        entries.flow_style = False
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}.000"
        for line in lines:
            entries.value.append(_entry({"description": line, "time": now}))

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        tags = {"!": "tag:stsci.edu:asdf/"}
        text: bytes = yaml.serialize(self.root, tags=tags, allow_unicode=True, **_AS_ASDF)
        text = self._head + text
        return text + _moved(self._blocks, len(text) - self._cut)


def read_said(product: PathLike, hdus: Hdus) -> dict[str, Any] | None:
    """Return what a product says of itself, ``meta.bkgflow``, without its data model.

    Parameters
    ----------
    hdus : mapping
        Its HDUs, by their names.

    Raises
    ------
    FileError
        If its tree cannot be read.
    """
    hdu, location = hdus.get(TREE), Location.of(product)
    if hdu is None:
        return None
    with open_product(location) as stream, reading(stream):
        content = read_tree(location, stream, hdu)
    rule, cure = "The ASDF tree of a product must be readable", "Make the product again"
    with understood(rule, location, cure):
        said = Tree(content).value("meta.bkgflow")
    return said if isinstance(said, dict) else None


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """Return the node of a key; None where there is none, or no mapping."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for key, value in pairs if key.value == name), None)


def _put(mapping: yaml.Node, name: str, node: yaml.Node) -> None:
    """Set the node of a key; a new one goes to its place in the order of the keys."""
    for i, (key, _) in enumerate(mapping.value):
        if key.value == name:
            mapping.value[i] = (key, node)
            return
    place = next((i for i, (key, _) in enumerate(mapping.value) if key.value > name), None)
    mapping.value.insert(len(mapping.value) if place is None else place, (_node(name), node))


def _entry(said: dict[str, str]) -> yaml.Node:
    entry = _node(said)
    entry.tag = HISTORY_ENTRY
    return entry


@lru_cache(maxsize=8192)
def _scalar(_kind: type, value: Hashable) -> yaml.Node:
    """Return the node of a scalar, not to be changed; 1, 1.0 and True have one each."""
    return _node(value)


def _node(value: object) -> yaml.Node:
    node: yaml.Node = Dumper(io.StringIO(), default_flow_style=None).represent_data(value)
    return node


def _moved(blocks: bytes, distance: int) -> bytes:
    """Return the blocks behind a tree that grew; their index counts from the file's begin."""
    place = blocks.rfind(_BLOCK_INDEX)
    if place < 0:
        return blocks
    offsets = [offset + distance for offset in yaml.load(blocks[place:], Loader=Loader)]
    index: bytes = yaml.dump(offsets, **_AS_ASDF)
    return blocks[:place] + _BLOCK_INDEX + b"\n" + index
