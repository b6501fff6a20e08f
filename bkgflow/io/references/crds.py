"""Reference files as the observatory's Calibration Reference Data System chooses them.

The cache, the server and the context are those that the environment names (CRDS_PATH,
CRDS_SERVER_URL, CRDS_CONTEXT). Only the driver asks, while it plans; workers get locations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType
from typing import TypeVar

from bkgflow.errors import PlanError, ReferenceFileError, UsageError
from bkgflow.io.exposures.facts import META_KEYS
from bkgflow.io.storage.location import Location
from bkgflow.io.storage.reading import said
from bkgflow.texts import how_to_install

__all__ = ["crds_reference"]

OBSERVATORY = "jwst"

NOT_FOUND = "NOT FOUND"
"""How `crds` begins its answer where there is no file; "n/a" follows where none is needed."""

UNKNOWN = {"CrdsUnknownInstrumentError", "CrdsUnknownReftypeError"}
"""The errors of `crds` that one exposure is to blame for."""

SETTINGS = ("CRDS_PATH", "CRDS_SERVER_URL", "CRDS_CONTEXT")

Answer = TypeVar("Answer")


def crds_reference(reftype: str, keywords: Mapping[str, str]) -> tuple[Location | None, str]:
    """Return the best reference file, fetched into the cache if it is not there.

    See `find_reference`.

    Returns
    -------
    Location or None, str
        None where the rules say that the exposure needs none (N/A); the name of the context that
        decides, such as ``jwst_1364.pmap``.

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

    def ask(question: Callable[..., Mapping[str, object]]) -> str:
        answer = _guarded(question, dict(wanted), reftypes=[reftype], observatory=OBSERVATORY)
        return str(answer[reftype])

    answer = ask(crds.getrecommendations)
    context = str(_guarded(crds.get_context_name, OBSERVATORY))
    found = answer.removeprefix(NOT_FOUND).strip()
    if found.upper() == "N/A":
        location = None
    elif answer.startswith(NOT_FOUND):
        values = ", ".join(f"{name}={value}" for name, value in keywords.items())
        raise ReferenceFileError(
            f"CRDS must have a {reftype} file for the exposure",
            value=f"{found} for {values} in {context}",
            cure=f"Use a newer CRDS_CONTEXT, or name a file with override_{reftype}",
        )
    else:
        location = Location.of(ask(crds.getreferences))
    return location, context


def _package() -> ModuleType:
    try:
        return import_module("crds")
    except ImportError:
        raise UsageError(
            "Reference files must be named, lie in a folder, or come from CRDS, for which the "
            "package crds must be installed",
            value="it is not installed",
            cure=f"Install it ({how_to_install('crds')}), name a folder with references, or "
            "the files with override_bkg and override_wavelengthrange",
        ) from None


def _guarded(question: Callable[..., Answer], *args: object, **options: object) -> Answer:
    """Call `crds`, which may leave with SystemExit where it finds no configuration."""
    try:
        return question(*args, **options)
    except (Exception, SystemExit) as problem:  # crds, its transport and its files each have own
        kind = ReferenceFileError if type(problem).__name__ in UNKNOWN else PlanError
        left = isinstance(problem, SystemExit)
        what = "neither a server nor a cache with a configuration" if left else said(problem)
        settings = ", ".join(f"{name}={os.environ.get(name, 'unset')}" for name in SETTINGS)
        raise kind(
            "CRDS must answer which reference files to use",
            value=f"{what} ({settings})",
            cure="Set CRDS_PATH to a filled cache and CRDS_SERVER_URL to a server that can be "
            "reached, CRDS_CONTEXT to a context they have, or name a folder with references",
        ) from problem
