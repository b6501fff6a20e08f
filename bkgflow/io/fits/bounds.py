"""Bounds of an ASDF tree, held before a parser or a data model walks it.

A few bytes of YAML can stand for more nodes than a machine has memory, or lie so deep within each
other that a parser written in C ends the process. What the pipeline writes is far from both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import yaml

from bkgflow.errors import FileError
from bkgflow.io.fits.yaml_types import Loader
from bkgflow.io.storage.location import PathLike

__all__ = ["check_tree"]

LONGEST = 8 << 20
"""Bytes of a tree's text; the arrays behind it do not count. Trees of exposures have some 10 kB,
and a few MB where hundreds of slits have a WCS each."""

DEEPEST = 100
"""Collections within each other; the WCS of a spectrograph has some 20."""

MOST = 2_000_000
"""Nodes, each counted as often as the tree refers to it."""

END = re.compile(rb"\r?\n\.\.\.(?=\s|$)")
INDENTED = re.compile(rb"(?m)^[ \-?:]{%d}" % DEEPEST)
ALIAS = re.compile(rb"[\s\[{,:]\*[\w-]")
SOURCE = re.compile(rb"(?m)^ *source: (?:fits:.*|-?\d+) *\r?$")
"""An array's place as everybody writes it: in an extension, or in a block of the tree's file."""

ANY_SOURCE = re.compile(rb"(?<![\w-])source(?![\w-])")

KNOWN = 512
"""So many trees are remembered that may be read: each file's is read several times."""

_known: dict[bytes, None] = {}


def check_tree(asdf: bytes, file: PathLike) -> None:
    """See that the tree of an ASDF file is one that may be read.

    Parameters
    ----------
    asdf : bytes
        The whole file, or its text; what is no YAML at all is left to who reads it.

    Raises
    ------
    FileError
        If it is too long, too deep, refers to itself, stands for too many nodes, or takes an
        array from somewhere else.
    """
    end = END.search(asdf)
    text = asdf[: end.start()] if end else asdf[: asdf.find(b"\xd3BLK") % (len(asdf) + 1)]
    if len(text) > LONGEST:
        raise _refused(file, f"{len(text)} bytes of text, no more than {LONGEST} are read")
    if (digest := sha256(text).digest()) in _known:  # a tree is read for its headers and its WCS
        return
    try:
        if _may_be_deep(text) and _depth(text) > DEEPEST:
            raise _refused(file, f"more than {DEEPEST} lists or mappings within each other")
        if ALIAS.search(text) or not _plain_sources(text):
            _check_nodes(yaml.compose(text, Loader=Loader), file)
    except (yaml.YAMLError, ValueError):
        return  # who reads it says what is wrong
    if len(_known) >= KNOWN:
        _known.clear()
    _known[digest] = None


def _may_be_deep(text: bytes) -> bool:
    """Whether brackets or indentation could lie too deep; brackets within strings count too."""
    characters = np.frombuffer(text, np.uint8)
    steps = np.zeros(256, np.int8)
    steps[list(b"[{")], steps[list(b"]}")] = 1, -1
    level = np.cumsum(steps[characters], dtype=np.int32)
    return bool(level.size and level.max() > DEEPEST // 2) or bool(INDENTED.search(text))


def _plain_sources(text: bytes) -> bool:
    """Whether every place of an array is a plain one; no word is spelled with escapes."""
    return len(ANY_SOURCE.findall(text)) == len(SOURCE.findall(text)) and b"\\" not in text


def _depth(text: bytes) -> int:
    """Return how deep collections lie within each other, or a little more than is allowed."""
    level = deepest = 0
    for event in yaml.parse(text, Loader=Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
            deepest = max(deepest, level)
            if deepest > DEEPEST:
                break
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
    return deepest


def _check_nodes(root: yaml.Node | None, file: PathLike) -> None:
    """Count what a tree stands for, and look where its arrays are."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node) -> int:
        if id(node) in open_nodes:
            raise _refused(file, "a part of it that holds itself")
        if (known := sizes.get(id(node))) is not None:
            return known
        open_nodes.add(id(node))
        _check_source(node, file)
        total = 1 + sum(map(size, _parts(node)))
        open_nodes.discard(id(node))
        if total > MOST:
            raise _refused(file, f"references that stand for more than {MOST} nodes")
        sizes[id(node)] = total
        return total

    if root is not None:
        size(root)


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _check_source(node: yaml.Node, file: PathLike) -> None:
    """Refuse an array of another file: whoever reads the tree would read, or fetch, it."""
    if not isinstance(node, yaml.MappingNode) or "core/ndarray" not in str(node.tag):
        return
    for key, value in node.value:
        source = str(value.value)
        if key.value == "source" and not re.fullmatch(r"fits:.*|-?\d+", source):
            raise _refused(file, f"an array in {source[:100]!r}")


def _refused(file: PathLike, found: str) -> FileError:
    return FileError(
        "The ASDF tree of an exposure must be one that a pipeline could have written",
        file=file,
        value=found,
        cure="Fetch the file again, or take its ASDF extension out: the headers say the same",
    )
