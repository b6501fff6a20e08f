"""Fixtures of commands: called as a shell does, and a folder to call them in."""

import logging
import sys

import numpy as np
import pytest

from bkgflow.cli import main
from bkgflow.kinds.warm import warm_up
from tests.helpers.exposures import make_model, write_association


@pytest.fixture(scope="session")
def compiled():
    """Nothing is compiled while a command is watched: it would say so."""
    warm_up(["image"])


@pytest.fixture
def handlers():
    """Take away the handlers that a command leaves for the rest of its process."""
    root = logging.getLogger("bkgflow")
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def bkgflow_(monkeypatch, capsys, compiled, handlers):
    """Call a command as a shell does: exit code, standard output, standard error."""

    monkeypatch.delenv("COLUMNS", raising=False)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bkgflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return end.value.code or 0, out, err

    return call


@pytest.fixture(scope="session")
def exposures(tmp_path_factory):
    """Two targets, two backgrounds and a cube, written once: tests link to them."""
    made = tmp_path_factory.mktemp("exposures")
    for name, value, dq in (("t1", 100, 0), ("t2", 200, 0), ("b1", 8, 2), ("b2", 12, 0)):
        with make_model(np.full((6, 6), value, np.float32), dq=dq) as model:
            model.save(str(made / f"{name}_rate.fits"))
    with make_model(np.full((2, 6, 6), 100.0)) as model:
        model.save(str(made / "c_rateints.fits"))
    return made


@pytest.fixture
def folder(tmp_path, exposures, monkeypatch):
    """A folder to work in, with a program: two targets that share two backgrounds."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "program"
    program.mkdir()
    for path in exposures.iterdir():
        (tmp_path / path.name).symlink_to(path)
        (program / path.name).symlink_to(path)
    backgrounds = ["b1_rate.fits", "b2_rate.fits"]
    for number in (1, 2):
        write_association(
            program / f"{number}_asn.json", [(f"t{number}", f"t{number}_rate.fits", backgrounds)]
        )
    return tmp_path
