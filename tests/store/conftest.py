"""The object store of these tests: moto's server."""

from tests.helpers.stores import moto_port, store

__all__ = ["moto_port", "store"]
