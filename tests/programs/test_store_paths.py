"""Paths in stores as universal_pathlib has them: no os.PathLike, and a URL as text."""

import fsspec
import numpy as np
import pytest

import bkgflow
from bkgflow.errors import UsageError
from bkgflow.io.storage.location import Location
from tests.helpers.programs import write_program

pytestmark = pytest.mark.slow


class StorePath:
    """What of UPath("memory://…") counts."""

    protocol = "memory"

    def __init__(self, path, **options):
        self.path, self.storage_options = path, options

    def __str__(self):
        return f"{self.protocol}:/{self.path}"

    def __truediv__(self, name):
        return StorePath(f"{self.path}/{name}")


@pytest.fixture
def program(tmp_path):
    """A program in memory."""
    system = fsspec.filesystem("memory")
    write_program(tmp_path / "p", targets=1)
    system.put(str(tmp_path / "p") + "/", "/stored/", recursive=True)
    yield StorePath("/stored")
    system.rm("/stored", recursive=True)


def test_a_program_is_planned_from_paths_in_a_store(program, tmp_path):
    wanted = [unit.name for unit in bkgflow.plan(str(program), tmp_path / "out").units]
    for given in (program, program / "x_asn.json", [program / "x_asn.json"]):
        assert [unit.name for unit in bkgflow.plan(given, tmp_path / "out").units] == wanted
    alone = program / "t0_rate.fits"
    skies = program / "b_rate.fits"
    for words in ({"bkg_list": skies}, {"bkg_list": [skies], "data": program}):
        plan = bkgflow.plan(alone, program / "out", **words)
        assert [str(unit.target) for unit in plan.units] == [str(alone)]
        assert str(plan.output) == f"{program}/out"


def test_exposures_are_opened_by_paths_in_a_store(program):
    one, other = program / "t0_rate.fits", program / "b_rate.fits"
    assert bkgflow.open_exposure(one).sci.shape == (24, 24)
    assert len(bkgflow.open_program(program).leaves) == 2
    assert bkgflow.open_stack(one, imprints=[]).sizes["exposure"] == 1
    assert bkgflow.open_stack([one, other]).sizes["exposure"] == 2
    with bkgflow.subtract(one, other) as model:
        assert np.all(model.data == 2.0)


def test_options_of_a_path_are_not_left_out_without_a_word():
    assert Location.of(StorePath("/a", anon=True)) == Location("memory://a")
    with pytest.raises(UsageError, match="no options of its own") as caught:
        Location.of(StorePath("/a", key="me", secret="hunter2"))
    assert "key, secret" in str(caught.value) and "hunter2" not in str(caught.value)
