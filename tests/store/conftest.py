"""The object store of these tests: moto's server."""

from tests.helpers.command_fixtures import bkgflow_, compiled, handlers
from tests.helpers.stores import hasty, moto_port, store

__all__ = ["bkgflow_", "compiled", "handlers", "hasty", "moto_port", "store"]
