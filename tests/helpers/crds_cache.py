"""A miniature of the reference server's cache on disk: mappings, references, configuration."""

from __future__ import annotations

import pprint
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from crds.core import rmap, utils

__all__ = ["CONTEXT", "forget", "write_cache"]

CONTEXT = "jwst_0001.pmap"

BKG_KEYS = (
    "META.EXPOSURE.TYPE",
    "META.INSTRUMENT.DETECTOR",
    "META.INSTRUMENT.FILTER",
    "META.INSTRUMENT.PUPIL",
)
RANGE_KEYS = ("META.EXPOSURE.TYPE",)
DATE_KEYS = ("META.OBSERVATION.DATE", "META.OBSERVATION.TIME")

EXP_TYPES = {"niriss": "NIS_WFSS", "nircam": "NRC_WFSS"}

Row = tuple[tuple[str, ...], Mapping[str, Path]]
"""What an exposure must say, and the references by the date from which they hold."""


def write_cache(
    root: Path,
    bkg: Mapping[str, Sequence[Row]],
    wavelengthrange: Mapping[str, Sequence[Row]],
) -> dict[str, str]:
    """Lay out a cache with one context; return the environment that makes `crds` use it alone.

    ``bkg`` and ``wavelengthrange`` hold rows by instrument, in lower case. References are
    copied to where the cache keeps them.
    """
    mappings = root / "mappings" / "jwst"
    mappings.mkdir(parents=True)
    for instrument, exp_type in EXP_TYPES.items():
        tables = {
            "bkg": (BKG_KEYS, [*_without_bkg(exp_type), *bkg.get(instrument, ())]),
            "wavelengthrange": (RANGE_KEYS, wavelengthrange.get(instrument, ())),
        }
        for kind, (keys, rows) in tables.items():
            _write_rmap(root, instrument, kind, keys, rows)
        _write(
            mappings / f"jwst_{instrument}_0001.imap",
            {
                "mapping": "INSTRUMENT",
                "instrument": instrument.upper(),
                "parkey": ("REFTYPE",),
            },
            {kind: f"jwst_{instrument}_{kind}_0001.rmap" for kind in tables},
        )
    _write(
        mappings / CONTEXT,
        {"mapping": "PIPELINE", "parkey": ("META.INSTRUMENT.NAME",)},
        {instrument: f"jwst_{instrument}_0001.imap" for instrument in EXP_TYPES},
    )
    _write_config(root)
    return {
        "CRDS_PATH": str(root),
        "CRDS_SERVER_URL": "https://jwst-serverless.stsci.edu",
        "CRDS_CONTEXT": CONTEXT,
        "CRDS_MODE": "local",
        "CRDS_READONLY_CACHE": "1",
        "CRDS_CONFIG_URI": str(root / "config" / "jwst"),
    }


def forget() -> None:
    """Make `crds` forget what it remembers of an earlier environment."""
    utils.clear_function_caches()


def _without_bkg(exp_type: str) -> list[tuple[tuple[str, ...], str]]:
    return [((f"NOT {exp_type}", "ANY", "ANY", "ANY"), "N/A")]


def _write_rmap(root: Path, instrument: str, kind: str, keys: tuple[str, ...], rows) -> None:
    folder = root / "references" / "jwst" / instrument
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for match, references in rows:
        if isinstance(references, str):
            lines.append(f"    {match!r} : {references!r},\n")
            continue
        dates = ""
        for date, source in references.items():
            shutil.copy(source, folder / source.name)
            dates += f"        '{date}' : '{source.name}',\n"
        lines.append(f"    {match!r} : UseAfter({{\n{dates}    }}),\n")
    header = {
        "classes": ("Match", "UseAfter"),
        "file_ext": ".fits" if kind == "bkg" else ".asdf",
        "filekind": kind,
        "filetype": kind,
        "instrument": instrument.upper(),
        "mapping": "REFERENCE",
        "parkey": (keys, DATE_KEYS),
        "suffix": kind,
        "text_descr": kind,
    }
    path = root / "mappings" / "jwst" / f"jwst_{instrument}_{kind}_0001.rmap"
    _write_text(path, header, "Match({\n" + "".join(lines) + "})")


def _write(path: Path, header: dict[str, object], selector: dict[str, str]) -> None:
    _write_text(path, header, pprint.pformat(selector, width=1))


def _write_text(path: Path, header: dict[str, object], selector: str) -> None:
    """Write a mapping with the checksum that `crds` itself computes for it."""
    header = header | {
        "derived_from": "generated",
        "name": path.name,
        "observatory": "JWST",
        "sha1sum": "0" * 40,
    }
    text = f"header = {pprint.pformat(header, width=100)}\n\nselector = {selector}\n"
    mapping = rmap.Mapping.from_string(text, path.name, ignore_checksum=True)
    mapping.write(str(path))


def _write_config(root: Path) -> None:
    folder = root / "config" / "jwst"
    folder.mkdir(parents=True)
    mappings = sorted(path.name for path in (root / "mappings" / "jwst").iterdir())
    info = {
        "observatory": "jwst",
        "operational_context": CONTEXT,
        "latest_context": CONTEXT,
        "edit_context": CONTEXT,
        "crds_version": {"str": "14.0.3"},
        "bad_files": "",
        "bad_files_list": [],
        "force_remote_mode": False,
        "mappings": mappings,
        "last_synced": "2026-01-01 00:00:00",
        "status": "cache",
        "connected": False,
    }
    (folder / "server_config").write_text(pprint.pformat(info) + "\n")
