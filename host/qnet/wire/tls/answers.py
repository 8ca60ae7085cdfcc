"""What the server may answer to our hello: ServerHello, EncryptedExtensions, CertificateRequest (RFC 8446 §4.1-4.3).

* EncryptedExtensions: extensions(2+n)
* CertificateRequest: request_context(1+n) extensions(2+n)
"""

from dataclasses import dataclass

from qnet.wire.tls import codes
from qnet.wire.tls.codec import Reader, handshake_message, message_body, pull_extensions, push_extensions, vector
from qnet.wire.tls.errors import (
    IllegalParameterError,
    MissingExtensionError,
    UnexpectedMessageError,
    UnsupportedExtensionError,
    UnsupportedVersionError,
)
from qnet.wire.tls.hello import ClientHello, ServerHello, pull_protocols
from qnet.wire.tls.record import PLAINTEXT_LIMIT
from qnet.wire.tls.schedule import SUITES
from qnet.wire.tls.tickets import Offer

_IN_SERVER_HELLO = {codes.SUPPORTED_VERSIONS, codes.KEY_SHARE, codes.PRE_SHARED_KEY}
_IN_RETRY_REQUEST = {codes.SUPPORTED_VERSIONS, codes.KEY_SHARE, codes.COOKIE, codes.ENCRYPTED_CLIENT_HELLO}
_NOT_IN_ENCRYPTED_EXTENSIONS = {
    codes.STATUS_REQUEST,
    codes.EC_POINT_FORMATS,
    codes.SIGNATURE_ALGORITHMS,
    codes.SIGNED_CERTIFICATE_TIMESTAMP,
    codes.PADDING,
    codes.EXTENDED_MASTER_SECRET,
    codes.COMPRESS_CERTIFICATE,
    codes.SESSION_TICKET,
    codes.PRE_SHARED_KEY,
    codes.SUPPORTED_VERSIONS,
    codes.COOKIE,
    codes.PSK_KEY_EXCHANGE_MODES,
    codes.CERTIFICATE_AUTHORITIES,
    codes.OID_FILTERS,
    codes.POST_HANDSHAKE_AUTH,
    codes.SIGNATURE_ALGORITHMS_CERT,
    codes.KEY_SHARE,
    codes.RENEGOTIATION_INFO,
}
"""Extensions that a browser offers or knows, and that RFC 8446 §4.2 places in other messages."""


@dataclass(frozen=True, slots=True)
class ServerParameters:
    """What the EncryptedExtensions settled; ``application_settings`` is ALPS's code point if the server uses it."""

    alpn: bytes | None = None
    application_settings: int | None = None
    record_limit: int = PLAINTEXT_LIMIT


def check_server_hello(hello: ServerHello, ours: ClientHello, retry: ServerHello | None) -> None:
    """Whether ``hello`` answers ``ours``; ``retry`` is the HelloRetryRequest that came before, if any.

    Raises ``UnsupportedVersionError`` first of all: a TLS 1.2 server follows none of the other rules.
    """
    if codes.SUPPORTED_VERSIONS not in hello.extensions:
        raise UnsupportedVersionError(f"the server chose version {hello.legacy_version:#06x}")
    if hello.legacy_version != codes.TLS_1_2 or hello.selected_version != codes.TLS_1_3:
        raise IllegalParameterError("a version that was not offered")
    if hello.is_hello_retry_request and retry is not None:
        raise UnexpectedMessageError("a second HelloRetryRequest")
    allowed = _IN_RETRY_REQUEST if hello.is_hello_retry_request else _IN_SERVER_HELLO
    offered = {kind for kind, _ in ours.extensions}
    for kind in hello.extensions:
        # A cookie is the one extension that answers nothing (RFC 8446 §4.2.2).
        if kind not in offered and not (kind == codes.COOKIE and hello.is_hello_retry_request):
            raise UnsupportedExtensionError(f"extension {kind:#06x} was not offered")
        if kind not in allowed:
            raise IllegalParameterError(f"extension {kind:#06x} in a ServerHello")
    if hello.session_id != ours.session_id:
        raise IllegalParameterError("session_id is not echoed")
    if hello.compression != 0:
        raise IllegalParameterError("a compression method")
    if hello.cipher_suite not in ours.cipher_suites or hello.cipher_suite not in SUITES:
        raise IllegalParameterError(f"cipher suite {hello.cipher_suite:#06x} was not offered for TLS 1.3")
    if retry is not None and hello.cipher_suite != retry.cipher_suite:
        raise IllegalParameterError("another cipher suite than in the HelloRetryRequest")
    if not hello.is_hello_retry_request and codes.KEY_SHARE not in hello.extensions:
        raise MissingExtensionError("a ServerHello without a key share")


def check_resumption(hello: ServerHello, offer: Offer | None) -> bool:
    """Whether the server resumes with ``offer``; raises ``IllegalParameterError`` for what it may not choose."""
    body = hello.extensions.get(codes.PRE_SHARED_KEY)
    if body is None:
        return False
    reader = Reader(body)
    selected = reader.integer(2)
    reader.finish()
    if offer is None or selected != 0 or SUITES[hello.cipher_suite].hash_name != offer.suite.hash_name:
        raise IllegalParameterError("a pre-shared key that was not offered")
    return True


def pull_encrypted_extensions(message: bytes, ours: ClientHello) -> ServerParameters:
    """What the EncryptedExtensions message says.

    Raises ``UnsupportedExtensionError`` for what ``ours`` did not offer, ``IllegalParameterError``.
    """
    reader = message_body(message, codes.ENCRYPTED_EXTENSIONS)
    extensions = dict(pull_extensions(reader.vector(2)))
    reader.finish()
    offered = {kind for kind, _ in ours.extensions}
    for kind in extensions:
        if kind not in offered:
            raise UnsupportedExtensionError(f"extension {kind:#06x} was not offered")
        if kind in _NOT_IN_ENCRYPTED_EXTENSIONS or codes.is_grease(kind):
            raise IllegalParameterError(f"extension {kind:#06x} in EncryptedExtensions")
    alpn = None
    if codes.ALPN in extensions:
        chosen = pull_protocols(extensions[codes.ALPN])
        if len(chosen) != 1 or chosen[0] not in ours.protocols():
            raise IllegalParameterError("an application protocol that was not offered")
        alpn = chosen[0]
    settings = next((kind for kind in codes.APPLICATION_SETTINGS if kind in extensions), None)
    if settings is not None and alpn is None:
        raise IllegalParameterError("application settings without an application protocol")
    return ServerParameters(alpn, settings, _record_limit(extensions.get(codes.RECORD_SIZE_LIMIT)))


def _record_limit(body: bytes | None) -> int:
    """The most content in bytes of one record; the limit on the wire counts the content type too (RFC 8449 §4)."""
    if body is None:
        return PLAINTEXT_LIMIT
    reader = Reader(body)
    limit = reader.integer(2)
    reader.finish()
    if not 64 <= limit <= PLAINTEXT_LIMIT + 1:
        raise IllegalParameterError(f"a record size limit of {limit} bytes")
    return limit - 1


def check_certificate_request(message: bytes) -> None:
    """Whether the message is a CertificateRequest of the handshake; we answer any with no certificate."""
    reader = message_body(message, codes.CERTIFICATE_REQUEST)
    if reader.vector(1):
        raise IllegalParameterError("a request context in the handshake")
    extensions = dict(pull_extensions(reader.vector(2)))
    reader.finish()
    if codes.SIGNATURE_ALGORITHMS not in extensions:
        raise MissingExtensionError("a CertificateRequest without signature algorithms")


def application_settings(parameters: ServerParameters) -> bytes:
    """The client's EncryptedExtensions message that ALPS obliges to (empty settings, as Chromium), or nothing."""
    if parameters.application_settings is None:
        return b""
    extensions = push_extensions([(parameters.application_settings, b"")])
    return handshake_message(codes.ENCRYPTED_EXTENSIONS, vector(2, extensions))
