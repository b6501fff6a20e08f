"""A cluster that is there already: a scheduler at an address, a cluster object, or a client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar
from urllib.parse import urlsplit

from bkgflow.clusters.base import Configured, Option
from bkgflow.clusters.security import Secured, not_secure
from bkgflow.errors import SettingsError, UsageError
from bkgflow.texts import has_password

if TYPE_CHECKING:
    from distributed import Client
    from distributed.security import Security

    from bkgflow.clusters.client import ClientExecutor
    from bkgflow.clusters.crew import Limits

__all__ = ["SCHEMES", "Address", "Attached", "Connected", "There"]

SCHEMES = ("tcp://", "tls://", "ws://", "wss://")
"""How the address of a scheduler begins."""

WAIT = 60.0
"""Seconds that are waited for workers, if nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class There(Configured):
    """Workers that nobody here has started.

    Attributes
    ----------
    wait : float
        Seconds that may pass without any worker, or without a scheduler that went away.
    allow_skew : bool
        Whether workers may have other versions of what results depend on (`bkgflow.clusters.skew`).
    """

    wait: Annotated[
        float,
        Option("Seconds to wait for workers, or for a scheduler that went away.", default="60"),
    ] = WAIT
    allow_skew: Annotated[
        bool,
        Option("Take workers with another bkgflow, dask, numpy or Python.", default="refused"),
    ] = False

    def __post_init__(self) -> None:
        """Refuse a time that is none."""
        if not self.wait > 0:
            raise SettingsError(
                "The time to wait for workers must be longer than nothing",
                value=f"wait={self.wait}",
                cure="Give seconds, such as 60",
            )

    @property
    def limits(self) -> Limits:
        """How long a run is patient with it."""
        from bkgflow.clusters.crew import Limits

        return Limits(nobody=self.wait)

    @contextmanager
    def _executor(self, client: Client, expected: int = 0) -> Iterator[ClientExecutor]:
        """Give an executor that can connect anew with the same security."""
        from distributed import Client

        from bkgflow.clusters.client import ClientExecutor

        address, security = client.scheduler.address, client.security

        def connect(timeout: float) -> Client:
            return Client(address, security=security, timeout=timeout, set_as_default=False)

        executor = ClientExecutor(
            client,
            expected=expected,
            connect=connect,
            limits=self.limits,
            allow_skew=self.allow_skew,
        )
        try:
            yield executor
        finally:
            executor.close()


@dataclass(frozen=True)
class Address(Secured, There):
    """The scheduler at an address such as ``tcp://host:8786``; it is left running.

    It may take ``timeout`` seconds to answer. One that begins with ``tls://`` needs certificates.
    """

    NEEDS: ClassVar[tuple[str, ...]] = ("address",)
    SUMMARY: ClassVar[str] = "the address of a scheduler (tcp://host:port, tls://host:port)"

    address: str
    timeout: float = 15

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        super().__post_init__()
        _check(self.address)
        self._name_files()

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Connect, and disconnect afterwards."""
        security = self.security_for(self.address)
        with (
            _connected(self.address, self.timeout, security) as client,
            self._executor(client) as executor,
        ):
            yield executor


@dataclass(frozen=True)
class Attached(There):
    """A cluster object of dask, such as a `LocalCluster` or a `SLURMCluster`; it is left running.

    It has an address, ``scheduler_address``; and ``security``, where its scheduler asks for it.
    """

    cluster: Any

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Connect, and disconnect afterwards."""
        address, security = self.cluster.scheduler_address, getattr(self.cluster, "security", None)
        # What it will start, where it says so: some have it as a mapping of their own.
        expected = getattr(self.cluster, "worker_spec", None) or ()
        with (
            _connected(address, 15, security) as client,
            self._executor(client, len(expected)) as executor,
        ):
            yield executor


@dataclass(frozen=True)
class Connected(There):
    """A client that somebody else has connected, and will close; it is used as it is."""

    client: Any  # a distributed.Client: the options of this class are read before that is imported

    @contextmanager
    def open(self) -> Iterator[ClientExecutor]:
        """Give an executor."""
        if self.client.status != "running" or self.client.asynchronous:
            raise UsageError(
                "A client must be connected, and must not be asynchronous",
                value=self.client,
                cure="Give a distributed.Client that is open, or the scheduler's address",
            )
        with self._executor(self.client) as executor:
            yield executor


def _check(address: str) -> None:
    """Raise UsageError where an address of a network has no host, or no port."""
    if has_password(address):
        raise UsageError(
            "The address of a scheduler must have no password in it",
            value=address,
            cure="Give it without: a scheduler asks for certificates (tls://), and for no password",
        )
    if not address.startswith(SCHEMES):
        return
    try:
        parts = urlsplit(address)
        known = parts.hostname and parts.port
    except ValueError:
        known = None
    if not known:
        raise UsageError(
            "The address of a scheduler must name its host and its port",
            value=address,
            cure="Give it as the scheduler says it when it starts, such as tcp://host:8786",
        )


@contextmanager
def _connected(address: str, timeout: float, security: Security | None = None) -> Iterator[Client]:
    from distributed import Client

    from bkgflow.clusters.dask_log import quiet
    from bkgflow.clusters.skew import unwarned

    try:
        # As the default it would outlive a failed start, and catch the next computation.
        with unwarned():
            client = Client(address, timeout=timeout, security=security, set_as_default=False)
    except Exception as problem:  # what is no scheduler answers with anything, HTTP for one
        if refused := not_secure(address, problem, security):
            raise refused from None
        raise UsageError(
            "A scheduler must answer at the address that was given",
            value=f"{address}: {type(problem).__name__}",
            cure="Check the address (tls:// where the scheduler has certificates), and that the "
            "scheduler runs and can be reached from here",
        ) from None
    with quiet(), client:
        yield client
