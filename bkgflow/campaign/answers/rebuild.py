"""A ledger made again from the products: each of them says what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bkgflow.campaign.answers.asked import Tell
from bkgflow.campaign.answers.found_products import Earlier, LeftOut, products_of
from bkgflow.campaign.compute import new_run
from bkgflow.campaign.ledger.opening import Database, open_database
from bkgflow.campaign.ledger.reader import Reader, campaigns_in
from bkgflow.campaign.ledger.restore import WHY, Product, restore
from bkgflow.campaign.place import PLACE_FILE, UNREAD, Place
from bkgflow.campaign.result import RESULT_FILE
from bkgflow.errors import LedgerError, UsageError
from bkgflow.io.storage.beside import put_beside
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.lock import hold
from bkgflow.io.storage.refused import asking_about
from bkgflow.planning.outputs import Outputs
from bkgflow.report.tables import counted
from bkgflow.texts import many

__all__ = ["Rebuilt", "rebuild"]

KEEP = ("A ledger must be of version", "A campaign's file must be of layout")
"""How the rules begin that a ledger breaks although nothing is wrong with it."""

SHOWN = 3
"""Names of products that are told where many are missing."""

LOCKED = ("locked", "busy")
"""What SQLite says where somebody else has a database, and nothing is wrong with it."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What became of a ledger that was to be made again.

    Attributes
    ----------
    campaign, ledger : str
        The campaign's id, and where its ledger is.
    was_whole : bool
        Whether there was nothing to do: the ledger is there, and can be read.
    counts : mapping
        Units by state.
    files : int
        Products, and what lies beside them, that the ledger has now.
    kept : tuple of str
        Where that is now which was in the ledger's place.
    left_out : tuple of LeftOut
        Files that it does not have, each with the reason.
    notes : tuple of str
        What else is to be said.
    """

    output: str
    campaign: str
    ledger: str
    was_whole: bool
    counts: dict[str, int]
    files: int = 0
    kept: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def units(self) -> int:
        """How many units the ledger has."""
        return sum(self.counts.values())

    def _lines(self) -> Iterator[str]:
        if self.was_whole:
            yield f"The ledger {self.ledger} is whole: it stays as it is ({counted(self.counts)})."
        else:
            yield (
                f"The ledger {self.ledger} is made again: {many(self.units, 'unit')} "
                f"({counted(self.counts)}) with {many(self.files, 'file')}."
            )
        for file in self.kept:
            yield f"What was there before is kept as {file}"
        yield from self.notes
        if self.left_out:
            yield f"{many(len(self.left_out), 'file')} left out:"
        for each in self.left_out:
            yield f"  {each.file}: {each.why}"

    def __str__(self) -> str:
        """What was done, in a few lines, with every file that was left out."""
        return "\n".join(self._lines())

    __repr__ = __str__


def rebuild(
    output: PathLike,
    *,
    ledger: PathLike = "",
    store: PathLike = "",
    anew: bool = False,
    tell: Tell | None = None,
) -> Rebuilt:
    """Make a campaign's ledger again from its products; see `bkgflow.rebuild`."""
    folder = Location.of(output)
    with asking_about(folder.url):
        there = folder.is_dir()
    if not there:
        raise UsageError(
            "A ledger must be made again from products that are there",
            file=folder,
            value="no such folder",
            cure="Give the output folder of a campaign",
        )
    run = new_run()
    with hold(folder, run):
        kept: list[Location] = []
        place = _place(folder, str(ledger), kept, anew=anew)
        lost = Place.found(folder) is None
        place = place.with_stores(Outputs.of(store=store).store)
        database = _whole(place, anew=anew)
        if database is not None:
            try:
                return _as_it_is(place, database, kept, lost=lost)
            finally:
                database.close()
        return _again(place, run, kept, tell, given=bool(str(store)))


def _place(folder: Location, ledger: str, kept: list[Location], *, anew: bool) -> Place:
    """Return where the campaign is; a file that cannot say so is put beside."""
    try:
        return Place.of(folder, ledger)
    except LedgerError as error:
        if error.rule == UNREAD or (error.rule.startswith(KEEP) and not anew):
            raise
        kept += put_beside(folder / PLACE_FILE, "damaged")
        return Place.of(folder, ledger)


def _whole(place: Place, *, anew: bool) -> Database | None:
    """Return the campaign's ledger, open, if all of it can be read; None if it must be made."""
    url = place.database
    local = url.get_backend_name() == "sqlite"
    if local and not Location.of(str(url.database)).exists():
        return None
    if anew:
        return None
    try:
        database = open_database(url, write=True)
    except LedgerError as error:
        if _nothing_wrong(error) or not local:
            raise
        return None
    try:
        known = _known(place, database)
        if known.campaign not in campaigns_in(database):
            database.close()
            return None
        _read_all(Reader(database, known.campaign, place.output))
        return database
    except LedgerError as error:
        database.close()
        if _nothing_wrong(error) or not local:
            raise
        return None
    except BaseException:
        database.close()
        raise


def _known(place: Place, database: Database) -> Place:
    """Return the campaign as a ledger knows it that can be read: by its id, or by its folder."""
    known = place.in_database(database)
    ids = campaigns_in(database)
    if known.campaign in ids:
        return known
    folder = str(place.output)
    own = [each for each in ids if Reader(database, each, place.output).folder() == folder]
    return replace(known, campaign=own[0]) if len(own) == 1 else known


def _nothing_wrong(error: LedgerError) -> bool:
    """Whether a ledger that cannot be used is as good as it was."""
    return error.rule.startswith(KEEP) or any(each in (error.value or "") for each in LOCKED)


def _read_all(reader: Reader) -> None:
    """Read every row: what is damaged shows when it is read."""
    for unit in reader.units(all_of_them=True):
        _ = unit.key, unit.shared_key
    reader.runs()
    reader.labels()
    reader.events()


def _as_it_is(place: Place, database: Database, kept: list[Location], *, lost: bool) -> Rebuilt:
    known = _known(place, database)
    known.save()
    counts = Reader(database, known.campaign, place.output).counts()
    notes = (f"{PLACE_FILE} is written again.",) if lost else ()
    return Rebuilt(
        str(place.output),
        known.campaign,
        database.where,
        True,
        counts,
        kept=tuple(map(str, kept)),
        notes=notes,
    )


def _again(
    place: Place, run: str, kept: list[Location], tell: Tell | None, *, given: bool
) -> Rebuilt:
    earlier = Earlier.of(place.output)
    place = place.with_stores(*earlier.stores(place.output))
    stores = [place.output / name for name in place.stores]
    found, left_out = products_of(place.output, tell, stores=stores)
    found = earlier.told(found)
    seen = {each.name for each in found} | {each.file for each in left_out}
    missing = [name for name in earlier.products if name not in seen]
    if not found and (missing or given):
        raise _nothing_found(place, missing)
    url = place.database
    notes = []
    if missing:
        notes.append(f"{many(len(missing), 'product')} of the last run not found: {_few(missing)}.")
    others: list[str] = []
    if url.get_backend_name() == "sqlite":
        others = _others(place)
        if not others:
            kept += put_beside(Location.of(str(url.database)), "damaged")
    database = open_database(url, write=True)
    try:
        restore(database, place.campaign, place.output, run, found)
        place.save()
        where = database.where
    finally:
        database.close()
    if others:
        notes.append(f"{many(len(others), 'other campaign')} in this ledger stay as they are.")
    counts = Counter(each.verdict.state.value for each in found)
    notes += _said(found)
    return Rebuilt(
        str(place.output),
        place.campaign,
        where,
        False,
        dict(counts),
        sum(len(each.files) for each in found),
        tuple(map(str, kept)),
        tuple(left_out),
        tuple(notes),
    )


def _nothing_found(place: Place, missing: list[str]) -> LedgerError:
    looked = ", ".join(("the folder itself", *place.stores))
    products = f"{many(len(missing), 'product')}, such as {''.join(missing[:1])}"
    told = f"{RESULT_FILE} tells of {products}; " if missing else ""
    return LedgerError(
        "A ledger must be made again from products that are there",
        file=place.output,
        value=f"{told}none is there (looked for in: {looked})",
        cure="Give the store that they lie in (--store)"
        + (f"; if they are gone, remove {RESULT_FILE}" if missing else ""),
    )


def _few(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f", and {more:,} more" if more > 0 else "")


def _others(place: Place) -> list[str]:
    """Return the other campaigns of a ledger that can be read; it must stay where it is."""
    try:
        database = open_database(place.database, write=False)
    except LedgerError:
        return []
    try:
        return [each for each in campaigns_in(database) if each != place.campaign]
    except LedgerError:
        return []
    finally:
        database.close()


def _said(found: list[Product]) -> list[str]:
    """Say what a ledger that was made again does not know."""
    if not found:
        return []
    unknown = sum(not each.target for each in found)
    notes = [
        f"It says of each unit '{WHY}'. What happened before, units without a product and labels "
        "are not known any more; the next run does what has no product."
    ]
    if unknown:
        notes.append(f"Of {many(unknown, 'unit')} nothing says which file the target was.")
    return notes
