"""Clusters of a dask-gateway: a server that starts schedulers and workers for its users."""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Protocol, Self, cast
from urllib.parse import urlsplit

from bkgflow.clusters.base import Option
from bkgflow.clusters.engine import Engine, Started
from bkgflow.clusters.options import engine_of, refuse_unknown
from bkgflow.errors import SettingsError, UsageError
from bkgflow.texts import has_password

if TYPE_CHECKING:
    from distributed import Client

    from bkgflow.planning.plan import Plan

__all__ = ["GATEWAY", "PASSWORD", "Gateway"]

GATEWAY = "gateway://"
"""How the address of a gateway begins: ``gateway://host:port``, and a cluster's name behind it."""

PASSWORD = "BKGFLOW_GATEWAY_PASSWORD"
"""Variable of the environment that holds the password of ``auth: basic``."""

AUTHS = ("basic", "jupyterhub", "kerberos")
"""How a user may prove who they are."""

PROXIES = ("gateway", "http", "https", "tcp", "tls")
"""How the address of a gateway's schedulers may begin; only host and port are looked at."""

WAIT = 600.0


class _Engine(Engine, Protocol):
    """A cluster object of dask-gateway."""

    def get_client(self, *, set_as_default: bool) -> Client:
        """Return a client of its scheduler, which proves itself by a certificate."""


class _Server(Protocol):
    """A gateway as its library shows it."""

    def cluster_options(self) -> object:
        """Return what may be said of a new cluster."""

    def connect(self, cluster_name: str) -> _Engine:
        """Return a cluster that is there; it is left running."""

    def new_cluster(self, cluster_options: object) -> _Engine:
        """Start a cluster; it ends when it is closed."""


@dataclass(frozen=True, kw_only=True)
class Gateway(Started):
    """A cluster that a dask-gateway starts for a run, or one that it has started already.

    ``options`` are those that the gateway has for its clusters. Passwords and tokens are in the
    environment, or in dask's own configuration, and nowhere else.

    Attributes
    ----------
    address : str or None
        Of the gateway: "https://host", or "gateway://host:port"; None for the one in dask's
        configuration. A cluster's name may stand behind it.
    proxy : str or None
        Where schedulers are reached, if that is another address.
    cluster : str or None
        Name of a cluster that is there, which is left running; None for a new one.
    auth : str or None
        "basic", "jupyterhub" or "kerberos"; None for what dask's configuration says.
    user : str or None
        For ``basic``; None for who runs this.
    """

    WORD = "gateway"
    PREFIX = "gateway"
    PASSES: ClassVar[bool] = False  # what there is, its server alone knows
    SUMMARY: ClassVar[str] = "gateway (a dask-gateway)"

    wait: Annotated[
        float,
        Option("Seconds to wait for workers, or for a scheduler that went away.", default="60"),
    ] = WAIT
    address: Annotated[
        str | None, Option("Address of the gateway.", default="dask's", metavar="URL")
    ] = None
    proxy: Annotated[
        str | None, Option("Where its schedulers are reached.", default="there", metavar="URL")
    ] = None
    cluster: Annotated[
        str | None, Option("A cluster that is there already.", default="a new one", metavar="NAME")
    ] = None
    auth: Annotated[str | None, Option("basic, jupyterhub or kerberos.", default="dask's")] = None
    user: Annotated[
        str | None, Option("User name, for basic.", default="who runs this", metavar="NAME")
    ] = None

    def __post_init__(self) -> None:
        """Take a cluster's name from behind the address; refuse what a gateway decides itself."""
        super().__post_init__()
        if self.memory is not None:
            raise SettingsError(
                "The memory of a gateway's workers must be said as the gateway wants it",
                value=f"memory={self.memory}",
                cure="Give it under options:, by the name that bkgflow clusters check shows",
            )
        if self.auth not in {None, *AUTHS}:
            raise SettingsError(
                f"The auth of a gateway must be one of: {', '.join(AUTHS)}",
                value=f"auth={self.auth}",
                cure="Give one of these; any other, dask's own configuration may name "
                "(gateway.auth.type)",
            )
        address = self.address or ""
        if told := [each for each in (address, self.proxy or "") if has_password(each)]:
            raise UsageError(
                "The address of a gateway must have no password in it",
                value=told[0],
                cure=f"Give user and auth, and the password in the environment ({PASSWORD})",
            )
        if address.startswith(GATEWAY):
            where, _, name = address.removeprefix(GATEWAY).partition("/")
            if not where or (name and self.cluster not in {None, name}):
                raise UsageError(
                    "The address of a gateway must be gateway://HOST:PORT, or that with /CLUSTER",
                    value=address,
                    cure="Give the gateway's host and port, and the name of one of its clusters "
                    "behind a slash, or none",
                )
            object.__setattr__(self, "address", f"http://{where}")
            object.__setattr__(self, "cluster", name.strip("/") or self.cluster)
        if self.address is not None and not _is_url(self.address, ("http", "https")):
            raise UsageError(
                f"The address of a gateway must be https://HOST, http://HOST or {GATEWAY}HOST:PORT",
                value=f"address={address}",
                cure="Give it as who runs the gateway says it",
            )
        if self.proxy is not None and not _is_place(self.proxy):
            raise UsageError(
                f"The address of a gateway's schedulers must be {GATEWAY}HOST:PORT, or HOST:PORT",
                value=f"proxy={self.proxy}",
                cure="Give it as who runs the gateway says it, or leave it out",
            )

    def fitted(self, plan: Plan) -> Self:
        """Return it as it is: how much memory workers have, its gateway knows."""
        return self

    def start(self) -> _Engine:
        """Have the gateway start a cluster, or find the one that is meant."""
        library = engine_of("dask_gateway", "gateway")
        try:
            server: _Server = library.Gateway(  # type: ignore[attr-defined]
                address=self.address, proxy_address=self.proxy, auth=self._auth(library)
            )
            try:
                if self.cluster is not None:
                    return server.connect(self.cluster)
                return server.new_cluster(self._wanted(server))
            finally:
                _forget(server)
        except UsageError:
            raise
        except Exception as problem:  # the library passes on what its HTTP client raises
            raise _refused(self.address, problem) from None

    def ask(self, engine: Engine) -> None:
        """Have workers; of a cluster that is there already, only as many as was asked for."""
        if self.cluster is None or self.workers or self.adaptive:
            super().ask(engine)

    def end(self, engine: Engine) -> None:
        """End a cluster that was started, or leave one that was there already."""
        try:
            super().end(engine)
        finally:
            _forget(getattr(engine, "gateway", None))

    def client_of(self, engine: Engine) -> Client:
        """Return a client that has the certificate of its cluster."""
        return cast("_Engine", engine).get_client(set_as_default=False)

    def _wanted(self, server: _Server) -> object:
        """Return what is said of a new cluster, as far as its gateway lets users say it."""
        found = server.cluster_options()
        known = set(found)  # type: ignore[call-overload]
        refuse_unknown(
            self.WORD, self.options, known, f"the gateway has {', '.join(sorted(known)) or 'none'}"
        )
        for name, value in self.options.items():
            try:
                setattr(found, name, value)
            except (TypeError, ValueError) as problem:
                raise SettingsError(
                    "An option must be as the gateway wants it",
                    value=f"{name}={value!r}: {problem}",
                    cure="Give another value",
                ) from None
        return found

    def _auth(self, library: object) -> object:
        """Return how a user proves who they are."""
        if self.auth != "basic":
            return self.auth
        password = os.environ.get(PASSWORD)
        if password is None and self.user is None:
            return self.auth  # dask's configuration has both, or the server asks for neither
        return library.BasicAuth(self.user, password)  # type: ignore[attr-defined]


def _is_url(text: str, schemes: Collection[str]) -> bool:
    """Whether a text names a host, and a port that may be one if it names any."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _is_place(text: str) -> bool:
    """Whether a text says where schedulers are reached: host and port are all that counts."""
    if "://" in text:
        return _is_url(text, PROXIES)
    return ":" in text and not text.endswith(":") and _is_url(GATEWAY + text, PROXIES)


def _forget(server: object) -> None:
    """Close the library's object for a server, for good.

    Its finalizer would close it once more: it raises then, or waits for the thread that it is in.
    """
    with suppress(Exception):
        server.close()  # type: ignore[attr-defined]
    with suppress(AttributeError):
        del server._loop_runner  # type: ignore[attr-defined]


def _refused(address: str | None, problem: Exception) -> UsageError:
    """Say what a gateway does not accept."""
    said = f"{address or 'the one of dask'}: {type(problem).__name__}: {problem}"[:300]
    if "401" in said or "403" in said or "Unauthorized" in said:
        return UsageError(
            "A gateway must accept who asks it",
            value=said,
            cure=f"Give user and auth, and the password in the environment ({PASSWORD}), or a "
            "token as dask-gateway wants it (JUPYTERHUB_API_TOKEN)",
        )
    return UsageError(
        "A gateway must answer, and start the cluster that is asked for",
        value=said,
        cure="Check its address, and what its own log says",
    )
