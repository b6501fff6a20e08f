"""Authorities that sign certificates of their own, and strangers who try to get in."""

from __future__ import annotations

import datetime
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from distributed.security import Security


class Files(NamedTuple):
    """Certificates of somebody, and of whom they trust."""

    ca: Path
    cert: Path
    key: Path

    @property
    def given(self) -> dict[str, str]:
        """As settings of an address."""
        return {"tls_ca_file": str(self.ca), "tls_cert": str(self.cert), "tls_key": str(self.key)}

    @property
    def options(self) -> list[str]:
        """As options of a command: bkgflow's and dask's own are called the same."""
        return [f"--{name.replace('_', '-')}={file}" for name, file in self.given.items()]

    @property
    def security(self) -> Security:
        """For a client of distributed."""
        return Security(
            True,
            tls_ca_file=str(self.ca),
            tls_client_cert=str(self.cert),
            tls_client_key=str(self.key),
        )

    @property
    def secret(self) -> str:
        """A line of the private key, which must stand nowhere else."""
        return self.key.read_text().splitlines()[1]


class Authority:
    """Signs certificates; all its files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.folder, self.key = folder, ec.generate_private_key(ec.SECP256R1())
        self.name = _name(folder.name)
        self.ca = folder / "ca.pem"
        made = _certificate(self.name, self.name, self.key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca.write_bytes(_pem(made.sign(self.key, hashes.SHA256())))

    def issue(self, name: str, *, days: int = 2, passphrase: bytes = b"") -> Files:
        """Sign a certificate; ``days`` from yesterday on."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = _certificate(_name(name), self.name, key.public_key(), days)
        cert, file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert.write_bytes(_pem(made.sign(self.key, hashes.SHA256())))
        hidden = (
            serialization.BestAvailableEncryption(passphrase)
            if passphrase
            else serialization.NoEncryption()
        )
        form = serialization.PrivateFormat.PKCS8
        file.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, hidden))
        file.chmod(0o600)
        return Files(self.ca, cert, file)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _certificate(name, issuer, key, days=2):
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
    )


def place(address: str) -> tuple[str, int]:
    """The host and the port of an address."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    return host, int(port)


def answer_to_bytes(address: str, data: bytes = b"GET / HTTP/1.0\r\n\r\n" * 100) -> bytes:
    """Send plain bytes; return what comes back until the other side closes."""
    found = b""
    with socket.create_connection(place(address), timeout=20) as line:
        try:
            line.sendall(data)
            while more := line.recv(4096):
                found += more
        except ConnectionError:
            pass
    return found


def answer_without_certificate(address: str, ca: Path | None = None) -> bytes:
    """Speak TLS without a certificate of one's own; return what the other side says then.

    A scheduler speaks first: it says who it is.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    try:
        with (
            socket.create_connection(place(address), timeout=20) as line,
            context.wrap_socket(line) as stream,
        ):
            return stream.recv(4096)
    except (ssl.SSLError, ConnectionError):
        return b""
