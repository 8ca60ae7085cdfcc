"""The server's Certificate, CompressedCertificate and CertificateVerify (RFC 8446 §4.4, RFC 8879).

* Certificate: request_context(1+n) list(3+n) of { certificate(3+n) extensions(2+n) }
* CompressedCertificate: algorithm(2) uncompressed_length(3) compressed(3+n); inside, a Certificate's body
* CertificateVerify: algorithm(2) signature(2+n)
"""

import io
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeAlias

import brotli  # type: ignore[import-untyped]
import zstandard
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from qnet.wire.tls import codes
from qnet.wire.tls.codec import MESSAGE_LIMIT, Reader, message_body, pull_extensions
from qnet.wire.tls.errors import (
    CertificateError,
    CertificateSignatureError,
    CertificateTypeError,
    DecodeError,
    IllegalParameterError,
    UnsupportedExtensionError,
)

_CONTEXT = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
_ZSTD_WINDOW = 1 << 23
"""The largest window in bytes that a zstd decoder must support (RFC 8878 §3.1.1.1.2), and the most we do."""


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """One certificate in DER, with its extensions (OCSP response, SCTs)."""

    der: bytes
    extensions: list[tuple[int, bytes]]

    def load(self) -> x509.Certificate:
        """The certificate; raises ``CertificateError`` when it is none."""
        try:
            return x509.load_der_x509_certificate(self.der)
        except Exception as error:  # what the library raises for hostile certificates is an open set
            raise CertificateError(f"a certificate that does not parse: {error}") from None


def pull_certificate(body: bytes, offered: Collection[int]) -> list[CertificateEntry]:
    """The entries in a Certificate's body, the server's own first; ``offered`` are the extensions in our hello.

    Raises ``DecodeError``, ``IllegalParameterError``, ``UnsupportedExtensionError``.
    """
    reader = Reader(body)
    if reader.vector(1):
        raise IllegalParameterError("a request context in the server's Certificate")
    chain = Reader(reader.vector(3))
    reader.finish()
    entries = []
    while not chain.empty:
        entry = CertificateEntry(chain.vector(3, 1), pull_extensions(chain.vector(2)))
        if any(kind not in offered for kind, _ in entry.extensions):
            raise UnsupportedExtensionError("an extension in Certificate that was not offered")
        entries.append(entry)
    if not entries:
        raise DecodeError("a server without a certificate")
    return entries


def decompress_certificate(message: bytes, offered: Collection[int]) -> bytes:
    """The Certificate's body in a CompressedCertificate message; ``offered`` are the algorithms in our hello.

    Never yields more than the announced length, which is at most 128 KiB.
    Raises ``IllegalParameterError`` for an algorithm not offered, ``CertificateError`` for bad content.
    """
    reader = message_body(message, codes.COMPRESSED_CERTIFICATE)
    algorithm = reader.integer(2)
    length = reader.integer(3)
    compressed = reader.vector(3, 1)
    reader.finish()
    if algorithm not in offered or algorithm not in _DECOMPRESSORS:
        raise IllegalParameterError("a compression algorithm that was not offered")
    if not 0 < length <= MESSAGE_LIMIT:
        raise CertificateError(f"a compressed certificate of {length} bytes")
    try:
        body = _DECOMPRESSORS[algorithm](compressed, length)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise CertificateError(f"a compressed certificate that does not unpack: {error}") from None
    if len(body) != length:
        raise CertificateError("a compressed certificate of another length than announced")
    return body


# Each returns at most one byte more than ``length``: enough to see that there is too much.


def _unzlib(data: bytes, length: int) -> bytes:
    return zlib.decompressobj().decompress(data, length + 1)


def _unbrotli(data: bytes, length: int) -> bytes:
    return bytes(brotli.Decompressor().process(data, output_buffer_limit=length + 1)[: length + 1])


def _unzstd(data: bytes, length: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    return decompressor.stream_reader(io.BytesIO(data)).read(length + 1)


_DECOMPRESSORS: dict[int, Callable[[bytes, int], bytes]] = {1: _unzlib, 2: _unbrotli, 3: _unzstd}

# --- CertificateVerify

_Check: TypeAlias = Callable[[Any, bytes, bytes], None]
"""(public key, signature, content): raises ``InvalidSignature``, or ``TypeError`` when the key is of another kind."""


def _ecdsa(curve: type[ec.EllipticCurve], digest: hashes.HashAlgorithm) -> _Check:
    def check(key: Any, signature: bytes, content: bytes) -> None:
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, curve):
            raise TypeError
        key.verify(signature, content, ec.ECDSA(digest))

    return check


def _pss(digest: hashes.HashAlgorithm) -> _Check:
    def check(key: Any, signature: bytes, content: bytes) -> None:
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError
        key.verify(signature, content, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)

    return check


def _plain(kind: type[Any]) -> _Check:
    def check(key: Any, signature: bytes, content: bytes) -> None:
        if not isinstance(key, kind):
            raise TypeError
        key.verify(signature, content)

    return check


_SIGNATURES: dict[int, _Check] = {
    0x0403: _ecdsa(ec.SECP256R1, hashes.SHA256()),
    0x0503: _ecdsa(ec.SECP384R1, hashes.SHA384()),
    0x0603: _ecdsa(ec.SECP521R1, hashes.SHA512()),
    0x0804: _pss(hashes.SHA256()),
    0x0805: _pss(hashes.SHA384()),
    0x0806: _pss(hashes.SHA512()),
    0x0807: _plain(ed25519.Ed25519PublicKey),
    0x0904: _plain(mldsa.MLDSA44PublicKey),
    0x0905: _plain(mldsa.MLDSA65PublicKey),
    0x0906: _plain(mldsa.MLDSA87PublicKey),
}
"""Signature schemes for TLS 1.3's CertificateVerify: never PKCS #1 v1.5 or SHA-1, even where a browser lists them."""


def verify_signature(
    message: bytes, certificate: x509.Certificate, transcript_hash: bytes, offered: Collection[int]
) -> None:
    """Check a CertificateVerify message; ``offered`` are the signature algorithms in our hello.

    Raises ``IllegalParameterError`` for a scheme that was not offered or does not fit the key,
    ``CertificateTypeError`` for a key that cannot be read, ``CertificateSignatureError``.
    """
    reader = message_body(message, codes.CERTIFICATE_VERIFY)
    algorithm = reader.integer(2)
    signature = reader.vector(2)
    reader.finish()
    if algorithm not in offered or algorithm not in _SIGNATURES:
        raise IllegalParameterError(f"signature scheme {algorithm:#06x} was not offered")
    try:
        key = certificate.public_key()
    except Exception as error:  # as above
        raise CertificateTypeError(f"a public key that cannot be read: {error}") from None
    try:
        _SIGNATURES[algorithm](key, signature, _CONTEXT + transcript_hash)
    except TypeError:
        raise IllegalParameterError(f"signature scheme {algorithm:#06x} does not fit the certificate's key") from None
    except InvalidSignature:
        raise CertificateSignatureError from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateTypeError(f"a public key that cannot be used: {error}") from None
