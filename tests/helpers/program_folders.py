"""Programs on disk as people keep them, and the command line called as a shell does."""

from __future__ import annotations

import io
import json
import logging
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from astropy.io import fits

from bkgflow.cli import main
from tests.helpers.exposures import make_model


@cache
def _template(shape: tuple[int, ...]) -> bytes:
    with TemporaryDirectory() as folder, make_model(np.ones(shape, np.float32)) as model:
        path = Path(folder) / "exposure.fits"
        model.save(str(path))
        return path.read_bytes()


def expose(path: Path, value: float, **keywords: object) -> Path:
    """Write an exposure of one value; keywords go into its primary header."""
    return expose_many(path, np.full((6, 6), value, np.float32), **keywords)


def pair(folder):
    """Write a target of 100 and a background of 10."""
    return expose(folder / "t_rate.fits", 100), expose(folder / "b_rate.fits", 10)


def expose_many(path: Path, values: np.ndarray, **keywords: object) -> Path:
    """Write an exposure of many values, an image or a cube."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with fits.open(io.BytesIO(_template(values.shape))) as hdus:
        hdus["SCI"].data[:] = values
        hdus[0].header.update({"FILENAME": path.name, **keywords})
        hdus.writeto(path, overwrite=True)
    return path


def associate(
    path: Path, science: object, backgrounds: object = (), others: object = (), **top: object
) -> Path:
    """Write an association of one product, as `association` makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(association(science, backgrounds, others, **top)))
    return path


def association(
    science: object, backgrounds: object = (), others: object = (), **top: object
) -> dict[str, object]:
    """Return an association of one product; names at its top may be given."""
    members = [{"expname": str(science), "exptype": "science"}]
    members += [{"expname": str(each), "exptype": "background"} for each in backgrounds]
    members += [{"expname": str(name), "exptype": kind} for name, kind in others]
    head = {"asn_type": "image2", "asn_rule": "Asn_Lv2Image", "program": "01234"}
    return head | top | {"products": [{"name": "p", "members": members}]}


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def command(*arguments: object) -> Ended:
    """Call a command of bkgflow in this process."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    log = logging.getLogger("bkgflow")
    handlers, level = log.handlers[:], log.level
    sys.argv = ["bkgflow", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        assert "Traceback" not in out.getvalue() + err.getvalue()
        return Ended(int(end.code or 0), out.getvalue(), err.getvalue())
    finally:
        sys.argv, log.handlers[:] = before, handlers
        log.setLevel(level)
    raise AssertionError("a command must end with an exit code")


def run(program: object, output: object, *options: object) -> Ended:
    """Run a program on threads of this process."""
    programs = program if isinstance(program, list) else [program]
    return command("run", *programs, f"--output={output}", "--cluster=threads", *options)


def products(output: Path) -> dict[str, float]:
    """Return the first pixel of every product, by its name."""
    return {
        path.name: float(fits.getdata(path, "SCI").flat[0])
        for path in sorted(Path(output).glob("*_bsub*.fits"))
    }


def result(output: Path) -> dict[str, object]:
    """Return what a run said of itself."""
    return json.loads((Path(output) / "bkgflow-run.json").read_text())
