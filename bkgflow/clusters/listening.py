"""Where a cluster of this machine listens: on loopback, and elsewhere only where it was asked."""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from bkgflow.errors import SettingsError, UsageError

__all__ = ["LOOPBACK", "Endpoint"]

LOOPBACK = "127.0.0.1"
"""Where processes of this machine, and nobody else, can connect."""

LAST_PORT = 65535


@dataclass(frozen=True)
class Endpoint:
    """A host and a port to listen at; the port may be 0 for any."""

    host: str
    port: int

    @classmethod
    def of(cls, text: str) -> Endpoint:
        """Return what ``HOST:PORT``, or ``PORT`` on loopback, stands for.

        Raises
        ------
        SettingsError
            If it is neither.
        """
        host, colon, port = text.rpartition(":")
        if not colon:
            host = LOOPBACK
        if not (host and port.isdecimal() and int(port) <= LAST_PORT) or ":" in host:
            raise SettingsError(
                "A dashboard must be given an address as HOST:PORT, or a port of this machine",
                value=text,
                cure="Give, for example, 127.0.0.1:8787, or 0.0.0.0:8787 to show it to everybody",
            )
        return cls(host, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody outside of this machine can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know who open it."""
        if self.is_loopback:
            return ()
        return (
            f"the dashboard at {self.host}:{self.port} asks nobody who they are: whoever can reach "
            "it sees the names of files, logs and tasks; it is never encrypted",
        )

    def free(self) -> str:
        """Return an address to listen at: this port, or any where another program has it already.

        Raises
        ------
        UsageError
            If this machine has no such host.
        """
        port = self.port
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, port))
            except OSError as problem:
                if problem.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise UsageError(
                        "A dashboard must be shown at an address of this machine",
                        value=f"{self.host}:{port}: {problem.strerror or problem}",
                        cure=f"Give {LOOPBACK}:{port}, or an address that this machine has",
                    ) from None
                port = 0
        return f"{self.host}:{port}"
