"""Headers and trees of files that stdatamodels wrote, changed where a product differs.

stdatamodels leaves a hash of all other headers in a file's ASDF tree. Where it still holds, the
headers and the tree say the same, and a product needs no data model: a few cards and nodes change,
the hash is made anew, and everything else stays what it was, byte by byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from importlib import import_module
from types import NoneType

import numpy as np
import yaml
from astropy.io import fits
from numpy.typing import NDArray

from bkgflow.io.fits.cards import BLOCK, Cards
from bkgflow.io.fits.checksums import check_checksums
from bkgflow.io.fits.edited import EditedCards
from bkgflow.io.fits.hdus import ByteRange, Hdu, read_hdus
from bkgflow.io.fits.tree import TREE, read_tree
from bkgflow.io.products.agree import agree, without_sums
from bkgflow.io.products.nodes import HASH, Tree
from bkgflow.io.products.pixels import Part
from bkgflow.io.products.schemas import ROOT, arrays_of, cards
from bkgflow.io.products.writer import EDITED, NAMED, Changes
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import reading
from bkgflow.verdict import Verdict

__all__ = ["Written", "as_written", "parts_foreseen", "parts_from_file"]

MASK, MASK_TYPE = "MASK", np.dtype(np.uint32)
"""EXTNAME of the background mask of a slitless exposure."""

NODES: Mapping[str, tuple[type, ...]] = {
    "meta": (yaml.MappingNode,),
    "meta.cal_step": (yaml.MappingNode, NoneType),
    "meta.background": (yaml.MappingNode, NoneType),
    "history": (yaml.MappingNode, NoneType),
    "history.entries": (yaml.SequenceNode, NoneType),
    HASH: (yaml.ScalarNode, NoneType),
}
"""Of which kinds the nodes are that a product changes."""


@dataclass(frozen=True, eq=False)
class Written:
    """A file as stdatamodels wrote it.

    Attributes
    ----------
    hdus : tuple
        All but the tree's, in their order.
    asdf : Hdu
        The extension that holds the tree.
    """

    hdus: tuple[Hdu, ...]
    asdf: Hdu
    tree: Tree

    @property
    def primary(self) -> Cards:
        """The first header."""
        return self.hdus[0].header

    @property
    def model(self) -> str:
        """The class of data models that it says it is."""
        return str(self.primary.get("DATAMODL"))

    @cached_property
    def images(self) -> dict[str, ByteRange]:
        """Where the images with EXTVER 1 are, by EXTNAME; the first of a name counts."""
        found: dict[str, ByteRange] = {}
        for hdu in self.hdus:
            image = hdu.header.get("XTENSION") == "IMAGE" and hdu.data.shape
            if image and hdu.header.whole("EXTVER", 1) in (0, 1):
                found.setdefault(hdu.name, hdu.data)
        return found

    def is_plain(self) -> bool:
        """Whether all is where it is looked for, and of the type that it has in a product."""
        images = self.images
        if "SCI" not in images or not _is_known(self.model):
            return False
        # An array of another type than the model's is cast by the model.
        if any(images[name].native != EDITED[name] for name in EDITED if name in images):
            return False
        return all(isinstance(self.tree.at(path), kinds) for path, kinds in NODES.items())

    def agrees(self) -> bool:
        """Whether the tree says what the headers say, if need be made so.

        Where the hash holds it does; checksums, which would be wrong in a product, leave it.
        """
        summed = any(hdu.has_checksum for hdu in (*self.hdus, self.asdf))
        if not summed and self.tree.text(HASH) == _hash(hdu.header.raw for hdu in self.hdus):
            return True
        return agree(self.tree, self.hdus, self.model)

    def takes(self, changes: Changes) -> bool:
        """Whether what changes is there, and a mask, where there is one, has a plain place."""
        if not self.images.keys() >= changes.edits.keys():
            return False
        if changes.mask is None:
            return True
        # The node of a new mask is made after that of DQ.
        like = "DQ" if self.tree.at("mask") is None else MASK
        image = self.images.get(like)
        return (
            [hdu.name for hdu in self.hdus].count(MASK) == (like == MASK)
            and MASK in arrays_of(self.model)
            and image is not None
            and (image.shape, image.native) == (changes.mask.shape, MASK_TYPE)
            and self.tree.text(f"{like.lower()}.source") == f"fits:{like},1"
        )


def as_written(location: Location) -> Written | None:
    """Look whether a file is as stdatamodels wrote it; None where it is not, or not plainly so.

    Raises
    ------
    FileError
        If the file cannot be read, is not FITS, or ends early.
    """
    with location.open() as stream, reading(stream):
        hdus = list(read_hdus(str(location), stream))
        if len(hdus) < 2 or hdus[-1].name != TREE:
            return None
        *others, tree = hdus
        if tree.header.get("TFORM1") != f"{tree.data.nbytes}B":
            return None
        asdf = read_tree(location, stream, tree)
    if any(hdu.has_checksum for hdu in hdus):
        check_checksums(location)
    try:
        written = Written(tuple(others), tree, Tree(asdf))
    except ValueError:
        return None
    return written if written.is_plain() and written.agrees() else None


def parts_from_file(
    written: Written, filename: str, changes: Changes, verdict: Verdict
) -> list[Part]:
    """Return the parts of a product; edits are left to the pixels' writer.

    Parameters
    ----------
    written : Written
        The file that the product is made of; it `takes` the changes.
    filename : str
        The product's name.
    """
    date, state, tree = _now(), verdict.state.value, written.tree
    primary = _primary(written, filename, changes, verdict, date)
    if changes.imprint is not None:
        tree.set("meta.cal_step.imprint", changes.imprint.value)
    tree.set("meta.cal_step.bkg_subtract", state)
    for keyword, value in changes.keywords:
        tree.set(f"meta.{NAMED[keyword]}", value)
    if changes.scaling_factor is not None:
        tree.set("meta.background.scaling_factor", changes.scaling_factor)
    if changes.mask is not None and MASK not in written.images:
        tree.add_array("mask", "dq", MASK)
    tree.add_history(verdict.history)
    tree.set("meta.bkgflow", verdict.to_tree())
    tree.set("meta.date", date)
    tree.set("meta.filename", filename)
    parts = list(_parts(written, primary, changes.mask))
    # The hash comes last: it is of all headers of the product but the tree's own.
    tree.set(HASH, _hash(part.head for part in parts))
    asdf = tree.to_bytes()
    header = fits.Header.fromstring(without_sums(written.asdf.header.raw))
    header["NAXIS1"], header["TFORM1"] = len(asdf), f"{len(asdf)}B"
    return [*parts, Part(_raw(header) + asdf + bytes(-len(asdf) % BLOCK))]


def parts_foreseen(
    written: Written, filename: str, changes: Changes, verdict: Verdict
) -> list[Part]:
    """Return all parts but the tree's for changes and a verdict like those to come.

    The parts to come will most likely be as long. The file's own tree is left as it is.
    """
    primary = _primary(written, filename, changes, verdict, _now())
    return list(_parts(written, primary, changes.mask))


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _primary(
    written: Written, filename: str, changes: Changes, verdict: Verdict, date: str
) -> bytes:
    """Return the first header of a product."""
    primary = EditedCards(filename, without_sums(written.primary.raw))
    said: list[tuple[str, str | float]] = [("DATE", date), ("FILENAME", filename)]
    if changes.imprint is not None:
        said.append(("S_IMPRNT", changes.imprint.value))
    said += [("S_BKDSUB", verdict.state.value), *changes.keywords]
    if changes.scaling_factor is not None:
        said.append(("BKGD_SCL", changes.scaling_factor))
    for keyword, value in said:
        _set_card(primary, keyword, value)
    for line in verdict.history:
        primary.add_history(line)
    return primary.to_bytes()


def _parts(written: Written, primary: bytes, mask: NDArray[np.bool_] | None) -> Iterator[Part]:
    """Yield each HDU with its data, and the mask where stdatamodels has it among them."""
    images, after = written.images, None
    if mask is not None and MASK not in images:
        # A new mask follows the last HDU that the schema names before it.
        arrays = arrays_of(written.model)
        before = arrays[: arrays.index(MASK)]
        after = max(i for i, hdu in enumerate(written.hdus) if hdu.name in before)
    for i, hdu in enumerate(written.hdus):
        head = hdu.header.raw if i else primary
        if hdu.has_checksum and (hdu.name in EDITED or hdu.name == MASK):
            head = without_sums(head)
        is_image = images.get(hdu.name) is hdu.data
        if is_image and hdu.name == MASK and mask is not None:
            yield Part(head, "", mask, MASK_TYPE)
        elif is_image and hdu.name in EDITED:
            yield Part(head, hdu.name, hdu.data, hdu.data.native)
        else:  # as bytes, with what pads them
            data = ByteRange(hdu.data.offset, (hdu.stop - hdu.data.offset,), 8)
            yield Part(head, "", data, data.native)
        if i == after and mask is not None:
            yield Part(_mask_head(mask.shape), "", mask, MASK_TYPE)


@lru_cache
def _mask_head(shape: tuple[int, ...]) -> bytes:
    header = fits.ImageHDU(np.zeros((1, 1), np.uint32), name=MASK, ver=1).header
    header["NAXIS2"], header["NAXIS1"] = shape
    return _raw(header)


def _hash(headers: Iterable[bytes]) -> str:
    """Return the hash of all headers as stdatamodels makes it."""
    return hashlib.sha256(b"".join(headers)).hexdigest()


def _raw(header: fits.Header) -> bytes:
    return str(header.tostring(padding=True)).encode("ascii")


def _set_card(primary: EditedCards, keyword: str, value: str | float) -> None:
    """Set a card; a new one goes where the schema has it, below the title of its section."""
    if keyword in primary:
        primary.set(keyword, value)
        return
    known = cards()
    keywords = list(known)
    at = keywords.index(keyword)
    section, comment = known[keyword]
    card = keyword, value, comment
    first = "EXTEND" if "EXTEND" in primary else "NAXIS"
    before = next((each for each in reversed(keywords[:at]) if each in primary), first)
    known = {first: (ROOT, ""), **known}
    later = (each for each in keywords[at:] if each in primary and known[each][0] == section)
    first_of_section = next(later, None)
    if section in (known[before][0], ROOT):  # what is in no section has no title
        primary.insert(before, card, after=True)
    elif first_of_section is not None:
        primary.insert(first_of_section, card)
    else:
        title = ("", section, "")
        primary.insert(before, ("", "", ""), title, ("", "", ""), card, after=True)


PLAIN = {"ImageModel", "CubeModel", "IFUImageModel", "SlitModel"}
"""Data models that every version of stdatamodels has."""


def _is_known(model: str) -> bool:
    """Whether stdatamodels has such a class of data models; the usual ones need not be imported."""
    return model in PLAIN or hasattr(import_module("stdatamodels.jwst.datamodels"), model)
