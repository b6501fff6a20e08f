"""What tests of campaigns need: the two databases of ledgers, programs, output folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from bkgflow.campaign.ledger.opening import database_of
from bkgflow.io.storage.location import Location
from tests.helpers.command_fixtures import bkgflow_, compiled, exposures, folder, handlers
from tests.helpers.crowd import write_crowd
from tests.helpers.drivers import no_driver_left
from tests.helpers.postgres import Server, missing

__all__ = ["bkgflow_", "compiled", "exposures", "folder", "handlers"]

UNITS = 8


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server; tests that want it are skipped where none can be had."""
    if why := missing():
        pytest.skip(why)
    made = Server()
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest) -> str:
    """A new ledger, as users name it: empty for the file in the output folder."""
    if request.param == "sqlite":
        return ""
    made: Server = request.getfixturevalue("server")
    return made.database()


@pytest.fixture
def url(where: str, tmp_path: os.PathLike[str]) -> URL:
    """The same, as it is opened."""
    (folder := Location.of(tmp_path) / "out").make_folder()
    return database_of(folder, where)


@pytest.fixture
def new_url(url: URL, request: pytest.FixtureRequest) -> Callable[[], URL]:
    """Make one more empty database of the same sort."""

    def make() -> URL:
        if url.get_backend_name() == "sqlite":
            return url.set(database=f"{url.database}-{os.urandom(3).hex()}")
        return database_of(Location.of("/"), request.getfixturevalue("server").database())

    return make


@pytest.fixture(scope="session")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of equal units, enough of them to meet a run in its midst."""
    return write_crowd(tmp_path_factory.mktemp("crowd") / "program", UNITS)


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """An output folder of which no driver is left."""
    with no_driver_left(tmp_path / "out") as folder:
        yield folder
