"""The version of bkgflow, and those of what it computes with."""

from functools import cache
from importlib.metadata import version

__all__ = ["VERSION", "installed"]

VERSION = "0.1.0"


@cache
def installed(package: str) -> str:
    """Return the version of a package that is installed; `PackageNotFoundError` without one.

    A process keeps what it has imported, so that it is asked for once.
    """
    return version(package)
