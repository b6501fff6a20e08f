"""Campaigns below a folder, found by the files that say what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from bkgflow.campaign.answers.asked import Tell, asked, running, side_by_side, time_of
from bkgflow.campaign.ledger.opening import LEDGER
from bkgflow.campaign.place import PLACE_FILE
from bkgflow.errors import BkgflowError, UsageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.space import sizes_in
from bkgflow.io.storage.tree import walk
from bkgflow.planning.frames import Row, frame_of, html_of
from bkgflow.report.tables import as_text, counted, human_bytes, make_table
from bkgflow.texts import many

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Campaigns", "FoundCampaign", "list_campaigns"]

COLUMNS = (
    "folder",
    "campaign",
    "units",
    "labels",
    "last_run",
    "user",
    "running",
    "size",
    "trouble",
)


@dataclass(frozen=True, slots=True)
class FoundCampaign:
    """A campaign as its folder and its ledger tell it.

    Attributes
    ----------
    counts, labels : mapping
        Units by state; words by which people find it.
    last_run, began, ended : str
        The last run's id, and when it began and ended (UTC).
    stopped : str
        Why that ended early; empty where it did not.
    running : bool
        Whether a run goes on.
    size : int
        Bytes of all files in its folder.
    trouble : str
        Why its ledger cannot be read, and the cure; empty where it can.
    """

    folder: str
    campaign: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    last_run: str = ""
    began: str = ""
    ended: str = ""
    stopped: str = ""
    user: str = ""
    running: bool = False
    size: int = 0
    trouble: str = ""

    @property
    def row(self) -> Row:
        """It as a row of a table."""
        labels = ", ".join(f"{key}={value}" for key, value in sorted(self.labels.items()))
        when = self.began.partition(".")[0].replace("T", " ")
        return {
            "folder": self.folder,
            "campaign": self.campaign,
            "units": counted(self.counts) if not self.trouble else "",
            "labels": labels,
            "last_run": f"{self.last_run} {when}".strip(),
            "user": self.user,
            "running": self.running,
            "size": self.size,
            "trouble": self.trouble,
        }


@dataclass(frozen=True, slots=True)
class Campaigns:
    """The campaigns below a folder.

    Attributes
    ----------
    unread : tuple of str
        Folders that could not be looked into, with what the system says.
    """

    top: str
    found: tuple[FoundCampaign, ...]
    unread: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table, a row for each campaign."""
        return frame_of([each.row for each in self.found], COLUMNS)

    def to_dict(self) -> dict[str, object]:
        """Return all of it as plain values, for JSON."""
        found = [asdict(each) for each in self.found]
        return {"folder": self.top, "campaigns": found, "unread": list(self.unread)}

    def _lines(self) -> Iterator[str]:
        yield f"{many(len(self.found), 'campaign')} in {self.top}"
        rows = []
        for each in self.found:
            row = each.row
            units = "cannot be read, see below" if each.trouble else row["units"]
            last = f"{row['last_run']}{', goes on' if each.running else ''}"
            rows.append((_short(each.folder, self.top), units, row["labels"], last,
                         human_bytes(each.size)))  # fmt: skip
        if rows:
            yield as_text(make_table(None, ("Folder", "Units", "Labels", "Last run", "Size"), rows))
        yield from (each.trouble for each in self.found if each.trouble)
        yield from (f"not looked into: {each}" for each in self.unread)

    def __str__(self) -> str:
        """A table, and what is wrong with those that cannot be read."""
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        rows = [each.row for each in self.found]
        return html_of(f"{many(len(rows), 'campaign')} in {self.top}", rows, COLUMNS)


def _short(folder: str, top: str) -> str:
    return folder.removeprefix(f"{top.rstrip('/')}/") if folder != top else "."


def list_campaigns(folder: PathLike, *, tell: Tell | None = None) -> Campaigns:
    """Find the campaigns below a folder; see `bkgflow.list_campaigns`."""
    top = Location.of(folder)
    try:
        tree = walk(top)
    except OSError as problem:
        raise UsageError(
            "Campaigns must be looked for in a folder that can be read",
            file=top,
            value=problem.strerror or problem,
            cure="Check the path and the permissions",
        ) from None
    folders = [
        Location(where)
        for where, names in tree.folders.items()
        if PLACE_FILE in names or LEDGER in names
    ]
    found = side_by_side(_found, sorted(folders), tell)
    unread = tuple(f"{where} ({why})" for where, why in tree.unread)
    return Campaigns(str(top), tuple(found), unread)


def _found(folder: Location) -> FoundCampaign:
    size = sum(sizes_in(folder).values())
    try:
        with asked(folder) as reader:
            runs = reader.runs()
            last = runs[-1] if runs else None
            return FoundCampaign(
                str(folder),
                reader.campaign,
                reader.counts(),
                reader.labels(),
                last.run if last else "",
                time_of(last.started) if last else "",
                time_of(last.ended) if last else "",
                (last.stopped or "") if last else "",
                last.user if last else "",
                bool(running(folder)),
                size,
            )
    except BkgflowError as error:
        return FoundCampaign(
            str(folder), running=bool(running(folder)), size=size, trouble=error.message
        )
