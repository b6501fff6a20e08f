"""Nonsense never ends in a traceback, and names the file."""

import os

import pytest

from tests.helpers.commands import names

TARGETS = [
    "binary.json",
    "list.json",
    "deep.json",
    "numbers.json",
    "missing.json",
    "text_rate.fits",
    "void_rate.fits",
    "folder_rate.fits",
    "missing_rate.fits",
    "empty",
    "*.fit",
]


@pytest.fixture
def nonsense(folder):
    (folder / "binary.json").write_bytes(os.urandom(3000))
    (folder / "list.json").write_text("[1, 2]")
    (folder / "deep.json").write_text("[" * 100_000)
    (folder / "numbers.json").write_text('{"products": [1, null, {"members": {"a": 1}}]}')
    (folder / "text_rate.fits").write_text("hello\n")
    (folder / "void_rate.fits").touch()
    (folder / "folder_rate.fits").mkdir()
    (folder / "empty").mkdir()
    return folder


@pytest.mark.parametrize("name", TARGETS)
def test_nonsense_to_subtract(name, nonsense, bkgflow_):
    before = names(nonsense)
    for arguments in ([name, "--bkg-list=b1_rate.fits"], ["t1_rate.fits", f"--bkg-list={name}"]):
        code, out, err = bkgflow_("subtract", *arguments)
        assert (code, out) == (1, "")
        assert err.startswith(f"bkgflow: {nonsense / name}: ")
        assert len(err.splitlines()) == 1
    assert names(nonsense) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("command", [("plan",), ("run", "--output=out", "--cluster=threads")])
def test_nonsense_to_plan_and_run(name, command, nonsense, bkgflow_):
    code, out, err = bkgflow_(*command, name)
    assert name in out + err
    if (nonsense / name).is_file():
        assert code == 1
        assert "QUARANTINED" in out
    else:
        assert code == 2
        assert err.startswith(f"bkgflow: {nonsense / name}: ")
        assert names(nonsense).count("out") == 0
