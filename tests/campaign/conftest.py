"""What tests of campaigns need."""

import pytest

from tests.helpers.command_fixtures import bkgflow_, compiled, exposures, folder, handlers
from tests.helpers.crowd import write_crowd
from tests.helpers.drivers import no_driver_left

__all__ = ["bkgflow_", "compiled", "exposures", "folder", "handlers"]

UNITS = 8


@pytest.fixture(scope="session")
def crowd(tmp_path_factory):
    """A program of equal units, enough of them to meet a run in its midst."""
    return write_crowd(tmp_path_factory.mktemp("crowd") / "program", UNITS)


@pytest.fixture
def out(tmp_path):
    """An output folder of which no driver is left."""
    with no_driver_left(tmp_path / "out") as folder:
        yield folder
