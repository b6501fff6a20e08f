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

__all__ = ["PLACE_FILE", "Place", "open_campaign"]

PLACE_FILE = "bkgflow-campaign.json"
"""Name of that file."""

LAYOUT = 1
"""Of that file."""


@dataclass(frozen=True, slots=True)
class Place:
    """A campaign by its output folder.

    Attributes
    ----------
    campaign : str
        Its id, of 12 hexadecimal digits.
    ledger : str
        Where its ledger is, if not in the output folder: a path, or a URL without a password.
    """

    output: Location
    campaign: str
    ledger: str = ""
    created: float = 0.0

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
            If the file that says so is damaged, or of a newer layout.
        """
        file = output / PLACE_FILE
        try:
            text = file.read_text()
        except FileError:
            return None
        try:
            parts = json.loads(text)
            if parts["layout"] > LAYOUT:
                raise LedgerError(
                    f"A campaign's file must be of layout {LAYOUT} or older",
                    file=file,
                    value=parts["layout"],
                    cure="Use the newer bkgflow that wrote it, or give another output folder",
                )
            return cls(output, str(parts["campaign"]), str(parts["ledger"]), parts["created"])
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
        if found is not None and (not ledger or ledger == found.ledger):
            return found
        told = ledger
        if "://" in ledger:  # a password stands in the environment or ~/.pgpass, nowhere else
            told = database_of(output, ledger).set(password=None).render_as_string()
        campaign = found.campaign if found else uuid4().hex[:12]
        return cls(output, campaign, told, time.time())

    def in_database(self, database: Database) -> Place:
        """Return the campaign as a ledger in its own folder knows it, where this file was lost."""
        if self.ledger or Place.found(self.output) is not None:
            return self
        ids = campaigns_in(database)
        return replace(self, campaign=ids[0]) if len(ids) == 1 else self

    def save(self) -> None:
        """Write it into the output folder, if it is not there like this already."""
        if Place.found(self.output) == self:
            return
        parts = {
            "layout": LAYOUT,
            "campaign": self.campaign,
            "ledger": self.ledger,
            "created": self.created,
        }
        write_text(self.output / PLACE_FILE, json.dumps(parts, indent=1))


def open_campaign(output: Location, *, whole: bool = True) -> tuple[Database, Reader]:
    """Open the ledger of a campaign to read it; ``whole`` as for `open_database`.

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
    database = open_database(place.database, write=False, whole=whole)
    try:
        return database, Reader.only(database, output, place.campaign)
    except BaseException:
        database.close()
        raise
