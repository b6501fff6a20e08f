"""What tests of commands need."""

from tests.helpers.command_fixtures import bkgflow_, compiled, exposures, folder, handlers

__all__ = ["bkgflow_", "compiled", "exposures", "folder", "handlers"]
