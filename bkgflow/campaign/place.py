"""Where a campaign is: a file in its output folder says who it is, and where its ledger is."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from uuid import uuid4

from sqlalchemy.engine import URL

from bkgflow.campaign.ledger.opening import Database, database_of, open_database
from bkgflow.campaign.ledger.reader import Reader, campaigns_in
from bkgflow.errors import FileError, LedgerError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.publish import write_text
from bkgflow.io.storage.refused import asking_about
from bkgflow.io.storage.space import name_in

__all__ = ["PLACE_FILE", "UNREAD", "Place", "open_campaign"]

PLACE_FILE = "bkgflow-campaign.json"
"""Name of that file."""

LAYOUT = 1
"""Of that file."""

UNREAD = "A campaign's file must be readable"
"""The rule that one breaks which is there, or may be, and cannot be read."""


@dataclass(frozen=True, slots=True)
class Place:
    """A campaign by its output folder.

    Attributes
    ----------
    campaign : str
        Its id, of 12 hexadecimal digits.
    ledger : str
        Where its ledger is, if not in the output folder: a path, or a URL without a password.
    stores : tuple of str
        The stores that its products were put into, by the names that the output folder has for
        them: nothing else finds products that lie elsewhere.
    """

    output: Location
    campaign: str
    ledger: str = ""
    created: float = 0.0
    stores: tuple[str, ...] = ()

    @property
    def database(self) -> URL:
        """Where its ledger is."""
        return database_of(self.output, self.ledger)

    @classmethod
    def found(cls, output: Location) -> Place | None:
        """Return the campaign of an output folder; None where there is none.

        Raises
        ------
        LedgerError
            If the file that says so is damaged, of a newer layout, or there and cannot be read.
        StorageError
            If the store of the folder does not say whether there is one.
        """
        file = output / PLACE_FILE
        raw = _read(file)
        if raw is None:
            return None
        try:
            parts = json.loads(raw)
            if parts["layout"] > LAYOUT:
                raise LedgerError(
                    f"A campaign's file must be of layout {LAYOUT} or older",
                    file=file,
                    value=parts["layout"],
                    cure="Use the newer bkgflow that wrote it, or give another output folder",
                )
            campaign, ledger = str(parts["campaign"]), str(parts["ledger"])
            stores = tuple(map(str, parts.get("stores", ())))
            return cls(output, campaign, ledger, parts["created"], stores)
        except (ValueError, KeyError, TypeError) as problem:
            raise LedgerError(
                "A campaign's file must be JSON that bkgflow wrote",
                file=file,
                value=f"{type(problem).__name__}: {problem}"[:200],
                cure="Remove it, then make the ledger again: bkgflow rebuild OUT",
            ) from None

    @classmethod
    def of(cls, output: Location, ledger: str = "") -> Place:
        """Return the campaign of an output folder, or a new one; not yet written.

        A ledger that is told goes before the one of the campaign so far.
        """
        found = cls.found(output)
        told = _told(output, ledger)
        if found is not None and (not ledger or told == found.ledger):
            return found
        if found is not None:
            return replace(found, ledger=told)
        return cls(output, uuid4().hex[:12], told, time.time())

    def with_stores(self, *stores: Location | None) -> Place:
        """Return the campaign with more stores."""
        names = {name_in(self.output, each) for each in stores if each is not None}
        return replace(self, stores=tuple(sorted({*self.stores, *names})))

    def in_database(self, database: Database) -> Place:
        """Return the campaign as a ledger in its own folder knows it, where this file was lost."""
        if self.ledger or Place.found(self.output) is not None:
            return self
        ids = campaigns_in(database)
        return replace(self, campaign=ids[0]) if len(ids) == 1 else self

    def check_alone(self, database: Database) -> None:
        """Refuse a copy of an output folder whose ledger lies elsewhere: both would write to it.

        Raises
        ------
        LedgerError
            If the campaign's own folder is still there.
        """
        before = Reader(database, self.campaign, self.output).folder() if self.ledger else ""
        if not before or Location.of(before).is_same(self.output):
            return
        try:
            other = Place.found(Location.of(before))
        except LedgerError:
            return
        if other is not None and other.campaign == self.campaign:
            raise LedgerError(
                "A campaign must have one output folder",
                file=self.output / PLACE_FILE,
                value=f"its ledger {database.where} has it in {before}",
                cure=f"Remove {PLACE_FILE} from the copy: it becomes a campaign of its own",
            )

    def save(self) -> None:
        """Write it into the output folder, if it is not there like this already."""
        if Place.found(self.output) == self:
            return
        parts = {
            "layout": LAYOUT,
            "campaign": self.campaign,
            "ledger": self.ledger,
            "created": self.created,
            "stores": self.stores,
        }
        write_text(self.output / PLACE_FILE, json.dumps(parts, indent=1))


def _read(file: Location) -> bytes | None:
    """Return what is in a campaign's file; None only where the storage says that there is none.

    One that cannot be read for another reason may be there: without it a campaign would be
    replaced by a new one.
    """
    try:
        return file.read_bytes()
    except FileError as error:
        said = error.value
    with asking_about(file.parent.url):
        if not file.exists():
            return None
    raise LedgerError(
        UNREAD,
        file=file,
        value=said,
        cure="See that its disk or its store answers and lets you read it, then do the same again; "
        "nothing was written",
    )


def _told(output: Location, ledger: str) -> str:
    """Return where a ledger is, as it is kept: whole, and empty where it is in the folder."""
    if not ledger:
        return ""
    url = database_of(output, ledger)
    if url.get_backend_name() == "sqlite":
        own = database_of(output)
        return "" if url == own else str(url.database)
    return url.render_as_string()


def open_campaign(output: Location) -> tuple[Database, Reader]:
    """Open the ledger of a campaign to read it.

    Raises
    ------
    LedgerError
        If there is none, or it cannot be read.
    """
    place = Place.found(output)
    if place is None:
        raise LedgerError(
            "A campaign must have been run in the output folder",
            file=output,
            value=f"no {PLACE_FILE}",
            cure="Give the output folder of a campaign, or run one: bkgflow run PROGRAM --output "
            "DIR; products without a ledger get one with bkgflow rebuild OUT",
        )
    database = open_database(place.database, write=False)
    try:
        return database, Reader.only(database, output, place.campaign)
    except BaseException:
        database.close()
        raise
