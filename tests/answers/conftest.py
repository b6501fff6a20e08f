"""A campaign that was run once; each test has a copy of its own."""

import pytest

from tests.helpers.answers import copy_campaign, make_campaign
from tests.helpers.command_fixtures import bkgflow_, compiled, handlers

__all__ = ["bkgflow_", "campaign", "compiled", "handlers", "made"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    make_campaign(folder, labels={"operator": "ada"}, save_combined_background=True)
    return folder


@pytest.fixture
def campaign(made, tmp_path):
    """The folder of a program and of its output, ``out``."""
    copy_campaign(made, tmp_path)
    return tmp_path
