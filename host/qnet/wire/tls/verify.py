"""Whether a server's certificates prove its name (RFC 5280, RFC 9525, and the Web PKI's profile).

The library answers yes or no with a sentence. To tell a person which of the three ordinary reasons it is, a refused
chain is tried again under a name it does carry and at a time at which it was valid: only one thing changes at a time.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.x509 import verification

from qnet.wire.tls.errors import (
    CertificateError,
    CertificateExpiredError,
    CertificateNameError,
    CertificateUntrustedError,
)

Verifier: TypeAlias = Callable[[Sequence[x509.Certificate], str], None]
"""(certificates, the server's own first; server name): returns, or raises a ``CertificateError``."""

_CHAIN_LIMIT = 16


class ChainVerifier:
    """A ``Verifier`` that accepts chains to one of ``roots`` which are valid at ``now`` (unix seconds)."""

    def __init__(self, roots: Sequence[x509.Certificate], now: float) -> None:
        self._store = verification.Store(list(roots)) if roots else None
        self._now = datetime.fromtimestamp(now, UTC)

    def __call__(self, certificates: Sequence[x509.Certificate], server_name: str) -> None:
        """Raises ``CertificateExpiredError``, ``CertificateNameError``, ``CertificateUntrustedError``."""
        if len(certificates) > _CHAIN_LIMIT:
            raise CertificateError(f"a chain of {len(certificates)} certificates")
        complaint = self._complaint(certificates, server_name, self._now)
        if complaint is None:
            return
        try:
            own_name = _name_of(certificates[0])
            valid_from = max(certificate.not_valid_before_utc for certificate in certificates)
        except Exception as error:  # what the library raises for hostile certificates is an open set
            raise CertificateError(f"a certificate that does not parse: {error}") from None
        if self._complaint(certificates, own_name, self._now) is None:
            raise CertificateNameError(f"the certificate is for {own_name}")
        if self._complaint(certificates, own_name, valid_from) is None:
            raise CertificateExpiredError
        raise CertificateUntrustedError(complaint)

    def _complaint(self, certificates: Sequence[x509.Certificate], name: str, when: datetime) -> str | None:
        if self._store is None:
            return "there are no trusted roots"
        try:
            builder = verification.PolicyBuilder().store(self._store).time(when)
            builder.build_server_verifier(x509.DNSName(name)).verify(certificates[0], list(certificates[1:]))
        except Exception as error:  # fail closed: whatever the library says but yes is a no
            return str(error) or "refused"
        return None


def _name_of(certificate: x509.Certificate) -> str:
    """A name the certificate carries; empty (and so never accepted) when it has none."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ""
    return next(iter(names.get_values_for_type(x509.DNSName)), "").replace("*", "any", 1)
