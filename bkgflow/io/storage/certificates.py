"""Certificates of TLS: files in PEM that are looked at before anybody connects with them.

What is in a file of a key is never part of what is said.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

from bkgflow.errors import UsageError
from bkgflow.io.storage.opening import opened

__all__ = ["check_authority", "check_certificate"]

BEGIN = b"-----BEGIN "
CERTIFICATE = "CERTIFICATE"
KEY = "PRIVATE KEY"
ENCRYPTED = "ENCRYPTED"

MOST = 1 << 20
"""Bytes that are read of a file: such files have a few thousand."""


def check_authority(file: str) -> None:
    """See that a file holds the certificates of an authority.

    Raises
    ------
    UsageError
        If it cannot be read, or holds none.
    """
    what = "A file of an authority (--tls-ca-file)"
    _read(file, what, CERTIFICATE)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except (ssl.SSLError, OSError) as problem:
        raise _damaged(file, what, problem) from None


def check_certificate(file: str, key: str | None) -> None:
    """See that files hold a certificate and the private key that belongs to it.

    Parameters
    ----------
    key : str or None
        None where the key stands in the certificate's own file.

    Raises
    ------
    UsageError
        If they cannot be read, are no such files, or do not belong together.
    """
    what, whose = "A file of a certificate (--tls-cert)", "A file of a private key (--tls-key)"
    found = _read(file, what, CERTIFICATE)
    _check_key(key or file, found if key is None else _read(key, whose, KEY))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(file, key)
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(
                "A private key must belong to the certificate that it is given with",
                file=key or file,
                value=f"it is not the key of {file}",
                cure="Give the key that the certificate was made for",
            ) from None
        raise _damaged(file, what, problem) from None
    except OSError as problem:
        raise _damaged(file, what, problem) from None


def _check_key(file: str, found: list[str]) -> None:
    keys = [each for each in found if each.endswith(KEY)]
    if not keys:
        raise UsageError(
            "A certificate must come with its private key",
            file=file,
            value="no private key in this file",
            cure="Give the file of the key (--tls-key)",
        )
    if any(each.startswith(ENCRYPTED) for each in keys):
        raise UsageError(
            "A private key must be readable without a passphrase: nobody is there to type it",
            file=file,
            value="the key is encrypted",
            cure="Decrypt it into a file that only you may read: openssl pkey -in KEY -out FILE",
        )


def _read(file: str, what: str, wanted: str) -> list[str]:
    """Return what a file of PEM holds, by its labels."""
    try:
        with opened(file) as stream:
            found = list(_labels(stream.read(MOST)))
    except OSError as problem:
        raise UsageError(
            f"{what} must be readable",
            file=file,
            value=problem.strerror or problem,
            cure="Check the path and the permissions",
        ) from None
    if not any(each.endswith(wanted) for each in found):
        raise UsageError(
            f"{what} must hold a {wanted.lower()} in PEM",
            file=file,
            value=f"a file with {', '.join(map(str.lower, found)) or 'nothing of that sort'}",
            cure=f"Give a text file with a line -----BEGIN {wanted}-----",
        )
    return found


def _labels(text: bytes) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith(BEGIN):
            yield line.removeprefix(BEGIN).rstrip(b"- ").decode("ascii", "replace")


def _damaged(file: str, what: str, problem: OSError) -> UsageError:
    return UsageError(
        f"{what} must be whole",
        file=file,
        value=getattr(problem, "reason", None) or problem.strerror or type(problem).__name__,
        cure="Make or copy it once more",
    )
