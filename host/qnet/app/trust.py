"""The roots that a decoy's certificate must come from: the Web's (certifi), and a test network's own."""

import ssl
import warnings
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from qnet.wire.errors import LocalError


class RootsError(LocalError):
    """The file with further trusted roots cannot be used."""

    code = "roots"
    exit_code = 66


def load_roots(further: str | None) -> list[x509.Certificate]:
    """Every root; ``further`` names a PEM file. Raises ``RootsError``."""
    roots = []
    with warnings.catch_warnings():
        # A few roots of the Web have serial numbers that a later version of the library will refuse. Until then they
        # are good; afterwards they must not take the others with them, so they are read one by one.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for block in _blocks(Path(certifi.where()).read_bytes()):
            try:
                roots.append(x509.load_pem_x509_certificate(block))
            except ValueError:
                continue
    if further is not None:
        try:
            roots += x509.load_pem_x509_certificates(Path(further).read_bytes())
        except (OSError, ValueError):
            raise RootsError(f"{further} is not a readable PEM file", "check --decoy-roots") from None
    return roots


def web_trust(further: str | None) -> ssl.SSLContext:
    """What verifies a web site that the helper itself asks; raises ``RootsError``."""
    context = ssl.create_default_context(cafile=certifi.where())
    if further is not None:
        try:
            context.load_verify_locations(further)
        except (OSError, ssl.SSLError):
            raise RootsError(f"{further} is not a readable PEM file", "check --decoy-roots") from None
    return context


def _blocks(pem: bytes) -> list[bytes]:
    marker = b"-----BEGIN CERTIFICATE-----"
    return [marker + block for block in pem.split(marker)[1:]]
