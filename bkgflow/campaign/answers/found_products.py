"""Products that are found in a folder, by what each of them says of itself."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bkgflow.campaign.answers.asked import Tell, side_by_side
from bkgflow.campaign.ledger.restore import Product
from bkgflow.campaign.ledger.rows import KeptFile
from bkgflow.campaign.result import RESULT_FILE
from bkgflow.errors import BkgflowError
from bkgflow.io.products.said import Said, file_called, read_said
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.many_files import METADATA
from bkgflow.io.storage.refused import asking_about
from bkgflow.io.storage.space import name_in, stamps_in
from bkgflow.io.zarr.stream import check_whole
from bkgflow.kinds.table import KINDS
from bkgflow.verdict import State, Verdict

__all__ = ["Earlier", "LeftOut", "products_of"]

SINGLE = (".fits", ".zarr")
"""How the names of products end that lie in no store."""

WRITTEN = {State.COMPLETE, State.SKIPPED, State.FAILED}
"""States that a product may be in."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that is not taken for a product, and why."""

    file: str
    why: str


@dataclass(frozen=True, slots=True)
class _Read:
    """A file as it was read: a product, what lies beside one (its key alone), or neither."""

    file: KeptFile
    product: Product | None = None
    key: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Folder:
    output: Location
    checksums: bool = True
    stamps: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def read(self, name: str) -> _Read:
        """Read what a file says of itself, and its checksum."""
        location = self.output / name
        size, mtime_ns = self.stamps[name]
        file = KeptFile(name, size, mtime_ns, "", "")
        try:
            said = read_said(location)
            check_whole(location)
        except BkgflowError as error:
            found = f": {error.value}" if error.value else ""
            return _Read(file, why=f"damaged, or no product ({error.rule}{found})")
        if said.record is None:
            return _Read(file, why="bkgflow did not write it")
        digest = str(said.record.get("key") or "")
        if not digest:
            return _Read(file, why="it does not say for which key it was made")
        if said.file_name and said.file_name != file_called(name):
            return _Read(file, why=f"a copy, or renamed: it was written as {said.file_name}")
        checksum = location.checksum() if self.checksums else ""
        file = replace(file, checksum=checksum, digest=digest)
        if not (said.record.get("state") or said.record.get("outcome")):
            return _Read(file, key=digest)
        return self._product(file, said)

    def _product(self, file: KeptFile, said: Said) -> _Read:
        assert said.record is not None
        try:
            verdict = Verdict.from_tree(said.record)
        except (ValueError, TypeError) as problem:
            return _Read(file, why=f"what it says of itself cannot be read ({problem})")
        if verdict.state not in WRITTEN:
            return _Read(file, why=f"no product is {verdict.state}")
        if said.state and said.state != verdict.state.value:
            return _Read(file, why=f"S_BKDSUB is {said.state}, its record says {verdict.state}")
        record = verdict.record
        product = Product(
            file.file,
            file.digest,
            record.background_key if record else "",
            KINDS.of(said.exp_type, record.settings.get("override_bkg") if record else None).name,
            replace(verdict, worker=""),
            (file,),
            association=record.association if record else "",
        )
        return _Read(file, product, file.digest)


def products_of(
    output: Location,
    tell: Tell | None = None,
    *,
    stores: Iterable[Location] = (),
    checksums: bool = True,
) -> tuple[list[Product], list[LeftOut]]:
    """Read every product of a folder; return products by name, and files that are none.

    Parameters
    ----------
    stores : iterable of Location
        Where products may lie besides.
    checksums : bool
        Whether all their bytes are read, for their checksums.

    Raises
    ------
    StorageError
        If a store cannot be asked.
    """
    there = stamps_in(output)
    for store in stores:
        with asking_about(store):
            store.exists()
        inside = {name: each for name, each in stamps_in(store).items() if name != METADATA}
        there |= {name_in(output, store / name): each for name, each in inside.items()}
    stamps = {
        name: (stamp.size, stamp.mtime_ns)
        for name, stamp in sorted(there.items())
        if name.endswith(SINGLE) or "/" in name
        if not name.startswith(".")
    }
    read = side_by_side(_Folder(output, checksums, stamps).read, stamps, tell)
    beside: dict[str, list[KeptFile]] = defaultdict(list)
    for each in read:
        if each.product is None and each.key:
            beside[each.key].append(each.file)
    products = []
    for each in read:
        if each.product is not None:
            own = (*each.product.files, *beside.pop(each.key, ()))
            products.append(replace(each.product, files=own))
    left_out = [LeftOut(each.file.file, each.why) for each in read if each.why]
    alone = "it belongs to a product that is not here, or was made anew"
    left_out += [LeftOut(file.file, alone) for files in beside.values() for file in files]
    return products, sorted(left_out, key=lambda each: each.file)


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the result of the last run says, as far as it is there.

    Attributes
    ----------
    units : mapping
        Target, association and product name of each unit, by the digest of its key.
    products : tuple of str
        By the names that the output folder has for them.
    """

    units: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    products: tuple[str, ...] = ()

    @classmethod
    def of(cls, output: Location) -> Earlier:
        """Read what lies in an output folder; it may have been moved since."""
        try:
            parts = json.loads((output / RESULT_FILE).read_text())
            before, units, products = Location.of(parts["output"]), {}, []
            for each in parts["units"]:
                said = (each["target"], each["association"], each["product_name"])
                units[str(each["key"])] = (str(said[0]), str(said[1]), str(said[2]))
                products += [name_in(before, Location.of(name)) for name in each["products"][:1]]
        except (BkgflowError, ValueError, KeyError, TypeError):
            return cls()
        return cls(units, tuple(products))

    def stores(self, output: Location) -> set[Location]:
        """Return where products were put that do not lie in the output folder itself."""
        groups = (name for name in self.products if "/" in name)
        return {(output / name).parent for name in groups if not name.endswith(SINGLE)}

    def told(self, products: Iterable[Product]) -> list[Product]:
        """Return products with what it says of their targets."""
        return [_told(each, self.units.get(each.digest)) for each in products]


def _told(product: Product, said: tuple[str, str, str] | None) -> Product:
    if said is None:
        return product
    target, association, name = said
    return replace(product, target=target, association=association, product=name)
