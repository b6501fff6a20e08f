"""Programs as the association generator makes them out of its pools, with tiny exposures."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from jwst.associations.exceptions import AssociationError
from jwst.associations.main import Main
from jwst.associations.tests.helpers import combine_pools

from tests.helpers.program_folders import expose_many

PEER = Path(combine_pools.__code__.co_filename).parent / "data"

KEYWORDS = ("INSTRUME", "DETECTOR", "EXP_TYPE", "FILTER", "PUPIL", "GRATING", "CHANNEL", "BAND",
            "MODULE", "SUBARRAY", "PROGRAM", "FXD_SLIT", "TEMPLATE", "APERNAME", "TARGPROP",
            )  # fmt: skip
"""That an exposure has from its row of the pool, in capitals."""

NUMBERS = ("VISIT", "EXPOSURE", "PATT_NUM", "MOSTILNO")


def peer_pools() -> list[Path]:
    """The pools of the peer's own tests; one has no candidates, one is all others together."""
    left_out = ("jw93060_20150312T160130_pool", "mega_pool")
    return [path for path in sorted(PEER.glob("*.csv")) if path.stem not in left_out]


def generate(pool_file: Path, folder: Path, *options: str) -> dict[str, Mapping[str, str]]:
    """Write all associations of a pool into a folder; return the pool's rows by file name."""
    logging.getLogger("jwst").setLevel(logging.ERROR)
    folder.mkdir(parents=True)
    pool = combine_pools([pool_file])
    made = Main(["--path", str(folder), *options], pool=pool)
    made.generate()
    for number, association in enumerate(made.associations):
        try:
            name, text = association.dump()
        except AssociationError:  # the generator's own command leaves it out as well
            continue
        if (folder / name).exists():  # without the last step of the generator names come twice
            name = name.replace("_asn.json", f"{number}_asn.json")
        (folder / name).write_text(text)
    names = pool.colnames
    rows = ({name: str(row[name]) for name in names} for row in pool)
    return {row["filename"]: row for row in rows}


def science(folder: Path) -> set[str]:
    """Every science member of level 2, by the name of its file."""
    found = set()
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text())
        if not content["asn_type"].endswith("3"):
            found |= {
                member["expname"]
                for product in content["products"]
                for member in product["members"]
                if member["exptype"] == "science"
            }
    return found


def backgrounds(paths: Iterable[Path]) -> dict[str, set[str]]:
    """Return the background members of every science exposure."""
    found = {}
    for path in paths:
        for product in json.loads(path.read_text())["products"]:
            kinds: dict[str, set[str]] = {"science": set(), "background": set()}
            for member in product["members"]:
                kinds.setdefault(member["exptype"], set()).add(member["expname"])
            [exposure] = kinds["science"]
            found[exposure] = kinds["background"]
    return found


def write_exposures(folder: Path, rows: Mapping[str, Mapping[str, str]]) -> None:
    """Write every exposure that an association of level 2 names, with its row's keywords."""
    names = {
        member["expname"]
        for path in folder.glob("*.json")
        for product in json.loads(path.read_text())["products"]
        for member in product["members"]
        if member["expname"].endswith(("_rate.fits", "_rateints.fits"))
    }
    stems = sorted({name.rpartition("_")[0] for name in names})
    for number, name in enumerate(sorted(names)):
        stem, _, suffix = name.removesuffix(".fits").rpartition("_")
        # Pools leave out some of the numbers that tell exposures apart, and all of their times.
        minute, second = divmod(stems.index(stem), 60)
        began = {"TIME-OBS": f"{12 + minute // 60:02d}:{minute % 60:02d}:{second:02d}"}
        shape = (2, 8, 8) if suffix == "rateints" else (8, 8)
        row = rows[f"{stem}_uncal.fits"]
        expose_many(folder / name, np.full(shape, number, np.float32), **keywords(row) | began)


def keywords(row: Mapping[str, str]) -> dict[str, object]:
    """Return a row's keywords as a header has them; what is null is left out."""
    said = {key: row.get(key.lower(), "null") for key in (*KEYWORDS, *NUMBERS)}
    said["OBSERVTN"] = row.get("obs_num", "null")
    found: dict[str, object] = {
        key: int(text) if key in NUMBERS and text.isdigit() else text.upper()
        for key, text in said.items()
        if text.lower() != "null"
    }
    found["BKGDTARG"] = row.get("bkgdtarg") == "t"
    found["TSOVISIT"] = row.get("tsovisit") == "t"
    for key in ("GWA_XTIL", "GWA_YTIL"):
        text = row.get(key.lower(), "null")
        found[key] = 0.25 if text in ("null", "") else float(text.rstrip("f"))
    return found
