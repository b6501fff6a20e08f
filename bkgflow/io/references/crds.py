"""Reference files as the observatory's Calibration Reference Data System chooses them.

The cache, the server and the context are those that the environment names (CRDS_PATH,
CRDS_SERVER_URL, CRDS_CONTEXT). Only the driver asks, while it plans; workers get locations.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from bkgflow.errors import PlanError, ReferenceFileError, UsageError
from bkgflow.io.exposures.keywords import META_KEYS
from bkgflow.io.storage.location import Location

__all__ = ["crds_context", "crds_reference"]

OBSERVATORY = "jwst"

NOT_FOUND = "NOT FOUND"
"""How `crds` begins its answer where there is no file; "n/a" follows where none is needed."""


def crds_reference(reftype: str, keywords: Mapping[str, str]) -> Location | None:
    """Return the best reference file, fetched into the cache if it is not there.

    Parameters
    ----------
    reftype : str
        ``bkg``, ``wavelengthrange``, …
    keywords : mapping
        The exposure's header values.

    Returns
    -------
    Location or None
        None where the rules say that the exposure needs none (N/A).

    Raises
    ------
    UsageError
        If the package `crds` is not installed.
    PlanError
        If neither server nor cache answers, or the file cannot be fetched.
    ReferenceFileError
        If the rules name no file for this exposure.
    """
    crds = _package()
    wanted = {"META.TELESCOPE": "JWST"} | {
        f"META.{META_KEYS[keyword].upper()}": value
        for keyword, value in keywords.items()
        if keyword in META_KEYS
    }
    answer = _ask(crds.getrecommendations, wanted, reftype)
    if answer.startswith(NOT_FOUND):
        if answer.removeprefix(NOT_FOUND).strip().lower() == "n/a":
            return None
        raise _no_match(reftype, keywords, answer)
    if answer.upper() == "N/A":
        return None
    return Location.of(_ask(crds.getreferences, wanted, reftype))


def crds_context() -> str:
    """Return the name of the context that decides, such as ``jwst_1364.pmap``.

    Raises
    ------
    UsageError, PlanError
        As `crds_reference`.
    """
    return str(_guarded(_package().get_context_name, OBSERVATORY))


def _package() -> Any:
    try:
        return import_module("crds")
    except ImportError:
        raise UsageError(
            "Reference files that are neither named nor in a folder come from CRDS",
            value="the package crds is not installed",
            cure="Install it (pip install 'bkgflow[crds]'), name a folder with references, or "
            "the files with override_bkg and override_wavelengthrange",
        ) from None


def _ask(question: Any, wanted: Mapping[str, str], reftype: str) -> str:
    """Put a question about one reference type to `crds`."""
    answer: Mapping[str, str] = _guarded(
        question, dict(wanted), reftypes=[reftype], observatory=OBSERVATORY
    )
    return str(answer[reftype])


def _guarded(question: Any, *args: Any, **options: Any) -> Any:
    """Call `crds`, which may leave with SystemExit where it finds no configuration."""
    try:
        return question(*args, **options)
    except (Exception, SystemExit) as problem:  # crds, its transport and its files each have own
        unknown = type(problem).__name__ in {
            "CrdsUnknownInstrumentError",
            "CrdsUnknownReftypeError",
        }
        kind = ReferenceFileError if unknown else PlanError
        raise kind(
            "CRDS answers which reference files to use",
            value=_what(problem) + f" ({_setting()})",
            cure="Set CRDS_PATH to a filled cache and CRDS_SERVER_URL to a server that can be "
            "reached, CRDS_CONTEXT to a context they have, or name a folder with references",
        ) from problem


def _what(problem: BaseException) -> str:
    if isinstance(problem, SystemExit):
        return "neither a server nor a cache with a configuration"
    return f"{type(problem).__name__}: {problem}"[:300]


def _setting() -> str:
    names = ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT")
    return ", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in names)


def _no_match(reftype: str, keywords: Mapping[str, str], answer: str) -> ReferenceFileError:
    wanted = ", ".join(f"{name}={value}" for name, value in keywords.items())
    return ReferenceFileError(
        f"CRDS has a {reftype} file for the exposure",
        value=f"{answer.removeprefix(NOT_FOUND).strip()} for {wanted} in {crds_context()}",
        cure=f"Use a newer CRDS_CONTEXT, or name a file with override_{reftype}",
    )
