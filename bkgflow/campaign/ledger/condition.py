"""What can be seen of a ledger's file before a database opens it."""

from __future__ import annotations

from bkgflow.campaign.ledger.trouble import damaged
from bkgflow.errors import BkgflowError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.space import sizes_in

__all__ = ["check_file"]

MAGIC = b"SQLite format 3\0"
"""How a database of SQLite begins."""


def check_file(file: Location) -> None:
    """Refuse what certainly is no ledger; where nothing is, nothing is refused.

    An empty file may be a ledger to be. It is a ledger that was lost where products lie beside it.

    Raises
    ------
    LedgerError
        If it is a folder, another file than a database, or empty beside products.
    """
    if file.is_dir():
        raise damaged(str(file), "a folder")
    size = file.size()
    if size < 0:
        return
    if size == 0:
        if any(name.endswith((".fits", ".zarr")) or "/" in name for name in sizes_in(file.parent)):
            raise damaged(str(file), "an empty file, beside products")
        return
    try:
        with file.open("A ledger") as stream:
            begin = stream.read(len(MAGIC))
    except BkgflowError:
        return  # the database says why
    if begin != MAGIC:
        raise damaged(str(file), "a file that is no database of SQLite, or is cut short")
