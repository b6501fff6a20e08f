"""TLS between a run and its cluster: certificates from files, or temporary ones.

What is kept, handed over and said are names of files; nothing here reads what a key says.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from bkgflow.clusters.base import Option
from bkgflow.errors import UsageError

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ["ENCRYPTED", "Secured", "not_secure", "temporary"]

ENCRYPTED = ("tls://", "wss://")
"""How the address of a scheduler begins that is spoken to through TLS."""

DEFAULT = "dask's configuration"

CONFIGURED = (
    "or have distributed.comm.tls in dask's configuration name them "
    "(DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on)"
)


@dataclass(frozen=True, kw_only=True)
class Secured:
    """The certificates of a client: files in PEM; what is left out, dask's configuration says.

    Attributes
    ----------
    tls_ca_file : str or None
        Of the authority that has signed the certificates of the cluster.
    tls_cert, tls_key : str or None
        Of the client, and its private key; None where that is in the certificate's file.
    """

    tls_ca_file: Annotated[
        str | None,
        Option("Authority of a tls:// cluster: a file in PEM.", default=DEFAULT, metavar="FILE"),
    ] = None
    tls_cert: Annotated[
        str | None,
        Option("Certificate for a tls:// cluster.", default=DEFAULT, metavar="FILE"),
    ] = None
    tls_key: Annotated[
        str | None,
        Option("Its private key.", default="in the same file", metavar="FILE"),
    ] = None

    def _name_files(self) -> None:
        """Make names of files absolute, so that another process finds them; refuse keys."""
        from bkgflow.io.storage.location import Location

        for name in ("tls_ca_file", "tls_cert", "tls_key"):
            given = getattr(self, name)
            if given is None:
                continue
            if "\n" in given or "-----" in given:
                raise UsageError(
                    "Certificates and keys must be given as names of files: what they say would "
                    "stand in lists of processes and in records",
                    value=f"{name}: a text of {len(given)} characters",
                    cure="Write it to a file that only you may read, and give its name",
                )
            # Once, before anybody has seen it.
            object.__setattr__(self, name, str(Location.of(given)))

    def security_for(self, address: str) -> Security | None:
        """Return how a client speaks to an address; None where dask's configuration says it all.

        Raises
        ------
        UsageError
            If certificates are missing, unreadable or no certificates, or of no use there.
        """
        import dask
        from distributed.security import Security

        given = [each for each in (self.tls_ca_file, self.tls_cert, self.tls_key) if each]
        if not address.startswith(ENCRYPTED):
            if given:
                raise UsageError(
                    "Certificates must be given with an address that is encrypted",
                    value=f"{address} with {given[0]}",
                    cure="Give the address as tls://HOST:PORT, or leave the certificates out",
                )
            return None
        if not given and dask.config.get("distributed.client.security-loader", None):
            return None
        files = {"tls_ca_file": self.tls_ca_file} if self.tls_ca_file else {}
        if self.tls_cert:  # a key of another certificate would be of no use
            files |= {"tls_client_cert": self.tls_cert}
            security = Security(True, tls_client_key=self.tls_key, **files)
        else:
            files |= {"tls_client_key": self.tls_key} if self.tls_key else {}
            security = Security(True, **files)
        _check(address, security)
        return security


def _check(address: str, security: Security) -> None:
    """See that the files of a client are there and belong together."""
    from bkgflow.io.storage.certificates import check_authority, check_certificate

    ca, cert, key = security.tls_ca_file, security.tls_client_cert, security.tls_client_key
    missing = [word for word, file in (("--tls-ca-file", ca), ("--tls-cert", cert)) if not file]
    if missing:
        raise UsageError(
            "A cluster with TLS must be given the client's certificates",
            value=f"{address} without {' and '.join(missing)}",
            cure=f"Give --tls-ca-file, --tls-cert and --tls-key FILE, {CONFIGURED}",
        )
    # Dask's configuration may hold texts in place of names.
    texts = [each for each in (ca, cert, key) if each and "\n" in each]
    if not texts:
        check_authority(ca)
        check_certificate(cert, key)


def temporary() -> Security:
    """Return certificates that live as long as this process, in its memory.

    Raises
    ------
    UsageError
        If the package that makes them is not there.
    """
    from distributed.security import Security

    from bkgflow.texts import how_to_install

    try:
        return Security.temporary()
    except ImportError:
        raise UsageError(
            "Temporary certificates must be made by the package cryptography",
            value="it is not installed",
            cure=how_to_install("bkgflow[tls]"),
        ) from None


def not_secure(
    address: str, problem: BaseException, security: Security | None
) -> UsageError | None:
    """Return what is wrong with the certificates, where that is why nobody could connect."""
    from distributed.comm import CommClosedError

    if not address.startswith(ENCRYPTED):
        return None
    ca = getattr(security, "tls_ca_file", None)
    for each in _causes(problem):
        if isinstance(each, ssl.SSLCertVerificationError):
            return UsageError(
                "The scheduler's certificate must be signed by the authority that is trusted",
                file=ca if ca and "\n" not in ca else None,
                value=f"{address}: {each.verify_message}",
                cure="Give the authority of this cluster (--tls-ca-file)",
            )
        reason = getattr(each, "reason", None) if isinstance(each, ssl.SSLError) else None
        if reason and ("ALERT" in reason or "CERTIFICATE" in reason):
            return _not_accepted(address, reason)
        if reason:
            return UsageError(
                "A scheduler at such an address must speak TLS",
                value=f"{address}: {reason}",
                cure="Start it with certificates, or give its address as tcp://HOST:PORT",
            )
    # Its reason was on the way, and is lost; dask's client asserts that somebody still speaks.
    if isinstance(problem, CommClosedError | AssertionError):
        return _not_accepted(address, "it closed the connection when it had seen it")
    return None


def _not_accepted(address: str, why: str) -> UsageError:
    return UsageError(
        "The scheduler must accept the client's certificate",
        value=f"{address}: {why}",
        cure="Give a certificate that the cluster's authority has signed, and its key "
        "(--tls-cert, --tls-key)",
    )


def _causes(problem: BaseException | None) -> Iterator[BaseException]:
    """Give an error, and what it came from."""
    seen = set[int]()
    while problem is not None and id(problem) not in seen:
        seen.add(id(problem))
        yield problem
        if (real := getattr(problem, "real_error", None)) is not None:
            yield from _causes(real)
        problem = problem.__cause__ or problem.__context__
