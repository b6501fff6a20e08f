"""What can be seen of a ledger's file before a database opens it."""

from __future__ import annotations

from bkgflow.errors import BkgflowError, LedgerError
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.space import sizes_in

__all__ = ["check_file", "not_whole"]

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
        raise not_whole(file, "a folder")
    size = file.size()
    if size < 0:
        return
    if size == 0:
        if any(name.endswith(".fits") for name in sizes_in(file.parent)):
            raise not_whole(file, "an empty file, beside products")
        return
    try:
        with file.open("A ledger") as stream:
            begin = stream.read(len(MAGIC))
    except BkgflowError:
        return  # the database says why
    if begin != MAGIC:
        raise not_whole(file, "a file that is no database of SQLite, or is cut short")


def not_whole(where: object, said: object) -> LedgerError:
    """Return the error for a ledger that cannot be read as one."""
    return LedgerError(
        "A ledger must be whole",
        file=str(where),
        value=said,
        cure="Make it again from the products: bkgflow rebuild OUT",
    )
