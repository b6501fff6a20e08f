"""What tests of commands need."""

import pytest

from tests.helpers.command_fixtures import bkgflow_, compiled, exposures, folder, handlers

__all__ = ["bkgflow_", "compiled", "exposures", "folder", "handlers"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
