"""The ASDF tree of a file as YAML nodes: a few are changed, everything else stays as it was."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import yaml

from bkgflow.record import plain

__all__ = ["HASH", "LOADER", "Tree"]

HASH = "_fits_hash"
"""Where the tree keeps the hash of the headers."""

HISTORY_ENTRY = "tag:stsci.edu:asdf/core/history_entry-1.0.0"

_HEAD = re.compile(rb"(?:#.*\r?\n)*(?=%YAML|---)")
_END = re.compile(rb"\r?\n\.\.\.\r?(?:\n|$)")
_BLOCK_INDEX = b"#ASDF BLOCK INDEX"

LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Dumper: type[yaml.SafeDumper] = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_AS_ASDF: dict[str, Any] = {
    "Dumper": _Dumper,
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
            root = yaml.compose(asdf[start.end() : self._cut], Loader=LOADER)
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
            entry = _node({"description": line, "time": now})
            entry.tag = HISTORY_ENTRY
            entries.value.append(entry)

    def to_bytes(self) -> bytes:
        """Return the whole file."""
        tags = {"!": "tag:stsci.edu:asdf/"}
        text: bytes = yaml.serialize(self.root, tags=tags, allow_unicode=True, **_AS_ASDF)
        text = self._head + text
        return text + _moved(self._blocks, len(text) - self._cut)


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


def _node(value: object) -> yaml.Node:
    return _Dumper(io.StringIO(), default_flow_style=None).represent_data(value)


def _moved(blocks: bytes, distance: int) -> bytes:
    """Return the blocks behind a tree that grew; their index counts from the file's begin."""
    place = blocks.rfind(_BLOCK_INDEX)
    if place < 0:
        return blocks
    offsets = [offset + distance for offset in yaml.load(blocks[place:], Loader=LOADER)]
    index: bytes = yaml.dump(offsets, **_AS_ASDF)
    return blocks[:place] + _BLOCK_INDEX + b"\n" + index
