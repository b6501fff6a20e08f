"""A tree made to say what the headers of its file say, where an archive or a person changed them.

A data model would do the same when it opens the file: the headers go before the tree, cards that
no schema knows are kept beside it, and HISTORY is read from the primary header.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import yaml
from astropy.io.fits import Card
from astropy.io.fits.card import Undefined

from bkgflow.io.fits.checksums import SUMS
from bkgflow.io.fits.hdus import Hdu, by_name
from bkgflow.io.products.nodes import Tree
from bkgflow.io.products.schemas import keywords_of
from bkgflow.io.products.writer import EDITED

__all__ = ["agree", "without_sums"]

KEPT_BYTES = 80


@lru_cache(maxsize=8192)
def _builtin(keyword: str) -> bool:
    """Whether a keyword is of FITS itself, so that no tree keeps it."""
    from stdatamodels.fits_support import is_builtin_fits_keyword

    return bool(is_builtin_fits_keyword(keyword))


CHANGED = ("PRIMARY", *EDITED)
"""HDUs whose checksums would be wrong in a product."""


def agree(tree: Tree, hdus: Sequence[Hdu], model: str) -> bool:
    """Make a tree say what the headers say; return whether that is all a data model would do.

    Parameters
    ----------
    hdus : sequence of Hdu
        All of the file but the tree's own.
    model : str
        The class of data models that the file says it is.
    """
    keywords, named = keywords_of(model), by_name(hdus)
    if keywords is None or not _arrays_agree(tree, hdus):
        return False
    known: dict[str, set[str]] = {name: set() for name in named}
    for each in keywords:
        hdu = named.get(each.hdu)
        value = None if hdu is None else hdu.header.get(each.keyword)
        if value is None:
            if hdu is not None and hdu.header.has(each.keyword):
                return False  # a card without a value
            continue
        known[each.hdu].add(each.keyword)
        if each.takes(value):
            if "tag" in each.schema and tree.text(each.path) != value:
                return False
            tree.change(each.path, value)
    for hdu in hdus:
        _keep_others(tree, hdu, known[hdu.name if hdu.index else "PRIMARY"])
    lines = [card[8:].decode("ascii").rstrip() for card in hdus[0].header
             if card.startswith(b"HISTORY ")]  # fmt: skip
    if lines:
        tree.replace_history(lines)
    return True


def _arrays_agree(tree: Tree, hdus: Sequence[Hdu]) -> bool:
    """Whether the tree points to the array of every extension, and says what it is."""
    if hdus[0].data.shape or hdus[0].name != "PRIMARY":
        return False
    nodes = dict(_sources(tree))
    extensions = hdus[1:]
    if len({hdu.name for hdu in extensions}) < len(extensions):
        return False
    if {hdu.name for hdu in extensions if hdu.data.shape} != nodes.keys():
        return False
    return all(_is_like(hdu, nodes[hdu.name]) for hdu in extensions if hdu.data.shape)


def _sources(tree: Tree) -> Iterator[tuple[str, yaml.Node]]:
    """Yield the nodes of arrays that lie in the file, each with the EXTNAME that it names."""
    found = list(tree.items())
    for _, extra in tree.items("extra_fits"):
        found += [("", node) for name, node in tree.items_of(extra) if name == "data"]
    for _, node in found:
        source = dict(tree.items_of(node)).get("source")
        if isinstance(source, yaml.ScalarNode) and str(source.value).startswith("fits:"):
            name, _, version = source.value.removeprefix("fits:").partition(",")
            yield (name if version == "1" else ""), node


def _is_like(hdu: Hdu, node: yaml.Node) -> bool:
    """Whether an array is of the type and shape that its node says; a table may differ."""
    if hdu.kind == "BINTABLE":
        return hdu.header.whole("EXTVER", 1) == 1
    said = dict(Tree.items_of(node))
    datatype, shape = said.get("datatype"), said.get("shape")
    if not isinstance(datatype, yaml.ScalarNode) or not isinstance(shape, yaml.SequenceNode):
        return False
    try:
        same = hdu.data.native == np.dtype(str(datatype.value))
    except TypeError:
        return False
    axes = tuple(int(axis.value) for axis in shape.value)
    return same and hdu.kind == "IMAGE" and axes == hdu.data.shape


def _keep_others(tree: Tree, hdu: Hdu, known: set[str]) -> None:
    """Have the tree keep the cards that no schema knows, as they stand in the header."""
    dropped = SUMS if hdu.name in CHANGED else ()
    others = []
    for raw in hdu.header:
        keyword = raw[:8].rstrip().decode("ascii")
        if keyword in known or _builtin(keyword) or keyword in dropped:
            continue
        card = Card.fromstring(raw)
        if _builtin(card.keyword) or card.keyword in known:
            continue
        value = "" if isinstance(card.value, Undefined) else card.value
        others.append([card.keyword, value, card.comment])
    tree.keep_cards(hdu.name, others)


def without_sums(raw: bytes) -> bytes:
    """Return a header without the checksums of what is going to change."""
    cards = [raw[i : i + KEPT_BYTES] for i in range(0, len(raw), KEPT_BYTES)]
    kept = [card for card in cards if not card.startswith((b"CHECKSUM=", b"DATASUM ="))]
    joined = b"".join(kept)
    stop = joined.rindex(b"END".ljust(KEPT_BYTES)) + KEPT_BYTES
    return joined[:stop] + b" " * (-stop % 2880)
