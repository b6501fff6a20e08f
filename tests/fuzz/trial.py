"""One process that tries cases: a line of JSON comes in for each, and one goes out.

Run as ``python -m tests.fuzz.trial``.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from stdatamodels.jwst.datamodels import ImageModel

from bkgflow import api
from bkgflow.errors import BkgflowError, RunError

__all__ = ["damage"]

UNFORESEEN = "unforeseen"

HARMLESS = (
    "Header keyword",
    "Card is too long",
    "VerifyWarning: Keyword name",
    "HIERARCH",
    "Unexpected extra padding",
)


def damage(path: Path) -> str:
    """What astropy, or a checksum, sees wrong with a file; empty where nothing is."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with fits.open(path, memmap=False, checksum=True) as hdus:
                for hdu in hdus:
                    _ = hdu.data
                hdus.verify("exception")
        except Exception as problem:
            return f"{type(problem).__name__}: {problem}"[:200]
    texts = (str(each.message) for each in said)
    return next((text[:200] for text in texts if not text.startswith(HARMLESS)), "")


def try_file(target: str, backgrounds: list[str], out: Path) -> dict[str, str]:
    """Subtract; say how it ended."""
    try:
        product = api.subtract_to_file(target, backgrounds, out)
        with fits.open(product) as hdus:
            return {"state": hdus[0].header["S_BKDSUB"]}
    except RunError as error:
        return {"state": "RunError", "error": error.message, "trace": traceback.format_exc()}
    except BkgflowError as error:
        return {"state": "refused", "error": error.message}
    except BaseException as error:
        return {"state": repr(error)[:200], "trace": traceback.format_exc()}


def try_association(path: str, out: Path) -> dict[str, str]:
    """Plan and run; say how the units ended."""
    try:
        result = api.run(api.plan(path, out), "threads")
        states = {str(verdict.state.value) for verdict in result.verdicts}
        errors = [v.error.message for v in result.verdicts if isinstance(v.error, RunError)]
        if errors:
            return {"state": "RunError", "error": errors[0]}
        return {"state": " ".join(sorted(states))}
    except BkgflowError as error:
        return {"state": "refused", "error": error.message}
    except BaseException as error:
        return {"state": repr(error)[:200], "trace": traceback.format_exc()}


def high_water() -> int:
    """The most memory that this process ever had, in bytes."""
    words = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()
    return int(words[0]) << 10


def main() -> None:
    np.seterr(all="ignore")
    # The first file of a process has asdf read what all its extensions are: that is no case's time.
    with ImageModel():
        print("ready", flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        out = Path(tempfile.mkdtemp(prefix="bkgflow-fuzz-"))
        try:
            if case["kind"] == "association":
                answer = try_association(case["path"], out)
            else:
                answer = try_file(case["target"], case["backgrounds"], out)
        finally:
            shutil.rmtree(out, ignore_errors=True)
        print(json.dumps({**answer, "memory": high_water()}), flush=True)


if __name__ == "__main__":
    main()
