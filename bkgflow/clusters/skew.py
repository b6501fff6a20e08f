"""Versions of packages on workers: which must be the driver's, and which are only said."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache

from bkgflow.clusters.introduce import introduce
from bkgflow.errors import UsageError
from bkgflow.version import VERSION

__all__ = ["OF_SCHEDULERS", "OF_WORKERS", "PACKAGES", "differences", "skew", "unwarned"]

OF_WORKERS = ("bkgflow", "python", "dask", "distributed", "numpy")
"""What must be of the driver's version: what a task is, how it is sent, and every number."""

OF_SCHEDULERS = ("bkgflow", "python", "dask", "distributed")
"""Likewise: a scheduler unpickles tasks, and computes nothing."""

PACKAGES = ["dask", "distributed", "numpy", "numba", "scipy", "astropy", "stdatamodels"]
"""What is asked for, beside bkgflow and Python: results, or the way to them, may depend on it."""

NAMES = {"python": "Python"}


def skew(
    who: str, address: str, said: Mapping[str, str], alike: Collection[str]
) -> UsageError | None:
    """Return the refusal of somebody whose versions are not the driver's; None if they are.

    Parameters
    ----------
    who, address : str
        Whom the rule concerns, and who breaks it.
    said : mapping
        Versions, as `bkgflow.clusters.introduce` returns them. What is not there is somebody
        else's affair: who cannot import bkgflow says why.
    alike : collection of str
        What must be of the driver's version; of Python, its first two numbers.
    """
    here = _here()
    other = [each for each in alike if each in said and _counts(each, said) != _counts(each, here)]
    if not other:
        return None
    found = ", ".join(f"{_named(each)} {said[each]}" for each in other)
    wanted = ", ".join(f"{_named(each)} {here[each]}" for each in other)
    return UsageError(
        f"{who} must have the driver's versions of {', '.join(map(_named, alike))}",
        value=f"{address} has {found}, the driver {wanted}",
        cure=f"Install {wanted} there, or start it from the environment or image of this process; "
        "to compute with other versions, give --allow-skew (allow_skew=True)",
    )


@contextmanager
def unwarned() -> Iterator[None]:
    """Have distributed print no table of versions while a client connects: they are asked for."""
    from distributed.versions import VersionMismatchWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        yield


def differences(said: Mapping[str, str]) -> Iterator[str]:
    """Say of which packages another version is there than here."""
    for package, version in _here().items():
        if said.get(package) != version:
            yield f"{_named(package)} {said.get(package)} instead of {version}"


@cache
def _here() -> dict[str, str]:
    """Return the versions of this process, which are asked for with every worker that comes."""
    said, _ = introduce(VERSION, PACKAGES, [])
    return said


def _counts(package: str, versions: Mapping[str, str]) -> str:
    """Return what of a version counts."""
    version = versions[package]
    return ".".join(version.split(".")[:2]) if package == "python" else version


def _named(package: str) -> str:
    return NAMES.get(package, package)
