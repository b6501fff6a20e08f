"""A cluster that is there already: a scheduler at an address, or a client that is connected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bkgflow.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from bkgflow.clusters.client import ClientExecutor

__all__ = ["SCHEMES", "Address", "Connected"]

SCHEMES = ("tcp://", "tls://", "ws://", "wss://")
"""How the address of a scheduler begins."""


@dataclass(frozen=True, slots=True)
class Address:
    """The scheduler at an address; it is left running.

    Attributes
    ----------
    address : str
        Such as ``tcp://host:8786``.
    timeout : float
        Seconds that it may take to answer.
    """

    here: ClassVar[bool] = False
    SUMMARY: ClassVar = "the address of a scheduler (tcp://host:port)"

    address: str
    timeout: float = 15

    @property
    def worker_memory(self) -> int | None:
        """Unknown before it is asked."""
        return None

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Connect, and disconnect afterwards.

        Raises
        ------
        UsageError
            If no scheduler answers.
        """
        from bkgflow.clusters.client import ClientExecutor

        with self._connected() as client:
            yield ClientExecutor(client)

    def _connected(self) -> Client:
        from distributed import Client

        try:
            # As the default it would outlive a failed start, and catch the next computation.
            return Client(self.address, timeout=self.timeout, set_as_default=False)
        except Exception as problem:  # what is no scheduler answers with anything, HTTP for one
            raise UsageError(
                "A scheduler must answer at the address that was given",
                value=f"{self.address}: {type(problem).__name__}",
                cure="Check the address and that the scheduler runs and can be reached from here",
            ) from None


@dataclass(frozen=True, slots=True)
class Connected:
    """A client that somebody else has connected, and will close.

    Attributes
    ----------
    client : distributed.Client
        Used as it is.
    """

    here: ClassVar[bool] = False

    client: Client

    @property
    def worker_memory(self) -> int | None:
        """Unknown before it is asked."""
        return None

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Give an executor; the client stays as it is."""
        from bkgflow.clusters.client import ClientExecutor

        yield ClientExecutor(self.client)
