"""A cluster that is there already: a scheduler at an address, or a client that is connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bkgflow.clusters.base import Cluster
from bkgflow.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from bkgflow.clusters.client import ClientExecutor

__all__ = ["SCHEMES", "Address", "Connected"]

SCHEMES = ("tcp://", "tls://", "ws://", "wss://")
"""How the address of a scheduler begins."""


@dataclass(frozen=True)
class Address(Cluster):
    """The scheduler at an address such as ``tcp://host:8786``; it is left running.

    It may take ``timeout`` seconds to answer.
    """

    SUMMARY: ClassVar[str] = "the address of a scheduler (tcp://host:port)"

    address: str
    timeout: float = 15

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Connect, and disconnect afterwards."""
        from distributed import Client

        from bkgflow.clusters.client import ClientExecutor

        try:
            # As the default it would outlive a failed start, and catch the next computation.
            client = Client(self.address, timeout=self.timeout, set_as_default=False)
        except Exception as problem:  # what is no scheduler answers with anything, HTTP for one
            raise UsageError(
                "A scheduler must answer at the address that was given",
                value=f"{self.address}: {type(problem).__name__}",
                cure="Check the address and that the scheduler runs and can be reached from here",
            ) from None
        with client:
            yield ClientExecutor(client)


@dataclass(frozen=True)
class Connected(Cluster):
    """A client that somebody else has connected, and will close; it is used as it is."""

    client: Client

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Give an executor."""
        from bkgflow.clusters.client import ClientExecutor

        yield ClientExecutor(self.client)
