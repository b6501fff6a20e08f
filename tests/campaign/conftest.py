"""The two databases that a ledger may be kept in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.engine import URL

from bkgflow.campaign.ledger.opening import database_of
from bkgflow.io.storage.location import Location
from tests.helpers.command_fixtures import bkgflow_, compiled, handlers
from tests.helpers.postgres import Server, missing

__all__ = ["bkgflow_", "compiled", "handlers"]


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
