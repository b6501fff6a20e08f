"""Tables as files: CSV, Parquet, and ECSV, which astropy reads with units and types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location, PathLike
from bkgflow.io.storage.publish import whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMATS", "format_of", "write_table"]

FORMATS = ("csv", "parquet", "ecsv")
"""Formats by their names, which are their files' suffixes."""


def format_of(path: PathLike, told: str = "") -> str:
    """Return the format of a file: as told, else by its suffix.

    Raises
    ------
    UsageError
        If it is none of `FORMATS`, or the library that writes it is not installed.
    """
    found = (told or Location.of(path).suffix).lower().removeprefix(".")
    if found not in FORMATS:
        raise UsageError(
            f"A table must be written as one of: {', '.join(FORMATS)}",
            file=path,
            value=told or (Location.of(path).suffix or "no suffix"),
            cure=f"Give a file that ends with .{', .'.join(FORMATS)}, or --format",
        )
    if found == "parquet":
        try:
            import pyarrow  # type: ignore[import-untyped]  # noqa: F401
        except ImportError:
            raise UsageError(
                "The library that writes Parquet must be installed",
                file=path,
                value="pyarrow is not",
                cure="pip install 'bkgflow[export]'; or write .csv or .ecsv",
            ) from None
    return found


def write_table(frame: pd.DataFrame, path: PathLike, form: str) -> None:
    """Write a table, whole or not at all.

    Parameters
    ----------
    form : str
        One of `FORMATS`.

    Raises
    ------
    OutputError
        If it cannot be written there.
    """
    with whole(path) as part:
        WRITERS[form](frame, part)


def _csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n", errors="replace")


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, engine="pyarrow", index=False)


def _ecsv(frame: pd.DataFrame, path: Path) -> None:
    from astropy.table import Table

    table = Table.from_pandas(frame)
    for name, about in frame.attrs.get("units", {}).items():
        table[name].unit = about
    table.meta.update(frame.attrs.get("meta", {}))
    table.write(path, format="ascii.ecsv", overwrite=True)


WRITERS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "csv": _csv,
    "parquet": _parquet,
    "ecsv": _ecsv,
}
