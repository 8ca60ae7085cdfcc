"""TLS records (RFC 8446 §5).

Layout: type(1) legacy_version(2) length(2) body(length). A protected one has type 23 and version 0x0303, and its
body is AEAD(content ‖ type(1) ‖ zeros); the nonce is the IV xor the record's sequence number, the header is
authenticated.
"""

from cryptography.exceptions import InvalidTag

from qnet.wire.tls import codes
from qnet.wire.tls.codec import vector
from qnet.wire.tls.errors import BadRecordError, DecodeError, RecordOverflowError, UnexpectedMessageError
from qnet.wire.tls.schedule import Suite

HEADER = 5
TAG = 16
PLAINTEXT_LIMIT = 1 << 14
PROTECTED_LIMIT = PLAINTEXT_LIMIT + 256
"""Largest body in bytes of a record: plain, and protected."""

CHANGE_CIPHER_SPEC_RECORD = b"\x14\x03\x03\x00\x01\x01"


def plain_record(kind: int, body: bytes, version: bytes = b"\x03\x03") -> bytes:
    """An unprotected record."""
    return bytes([kind]) + version + vector(2, body)


class RecordReader:
    """Cuts a byte stream into records, refusing a bad header as soon as it is there."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole record with its header.

        Raises ``UnexpectedMessageError`` (no TLS content type), ``DecodeError`` (version), ``RecordOverflowError``.
        """
        if len(self._buffer) < HEADER:
            return None
        if not codes.CHANGE_CIPHER_SPEC <= self._buffer[0] <= codes.APPLICATION_DATA:
            raise UnexpectedMessageError(f"a record of type {self._buffer[0]}")
        if self._buffer[1] != 3:
            raise DecodeError("a record of another protocol version")
        length = int.from_bytes(self._buffer[3:5], "big")
        if length > PROTECTED_LIMIT:
            raise RecordOverflowError(f"a record of {length} bytes")
        end = HEADER + length
        if len(self._buffer) < end:
            return None
        record = bytes(self._buffer[:end])
        del self._buffer[:end]
        return record

    def rest(self) -> bytes:
        """Everything not yet cut, which the caller takes over."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


class TrafficKeys:
    """One direction's protection under one traffic secret, with its sequence number."""

    __slots__ = ("_aead", "_iv", "_secret", "_sequence", "_suite")

    def __init__(self, suite: Suite, secret: bytes) -> None:
        self._suite = suite
        self._secret = secret
        self._aead = suite.aead(suite.expand_label(secret, "key", b"", suite.key_length))
        self._iv = int.from_bytes(suite.expand_label(secret, "iv", b"", 12), "big")
        self._sequence = 0

    def seal(self, kind: int, content: bytes, body_size: int = 0) -> bytes:
        """One protected record, padded to a body of at least ``body_size`` bytes; ``ValueError`` beyond 16384."""
        padding = max(0, body_size - len(content) - 1 - TAG)
        if len(content) + padding > PLAINTEXT_LIMIT:
            raise ValueError(f"{len(content)} bytes in one record")
        header = b"\x17\x03\x03" + (len(content) + 1 + padding + TAG).to_bytes(2, "big")
        body = self._aead.encrypt(self._nonce(), content + bytes([kind]) + bytes(padding), header)
        self._sequence += 1
        return header + body

    def open(self, record: bytes) -> tuple[int, bytes]:
        """Content type and content of one whole record.

        Raises ``BadRecordError`` when it does not open: then the sequence number stays, and another key may be
        tried on the record. Raises ``RecordOverflowError`` or ``UnexpectedMessageError`` for an authentic record
        with bad content.
        """
        if len(record) < HEADER + TAG or record[0] != codes.APPLICATION_DATA:
            raise BadRecordError("not a protected record")
        try:
            inner = self._aead.decrypt(self._nonce(), record[HEADER:], record[:HEADER])
        except InvalidTag:
            raise BadRecordError from None
        self._sequence += 1
        if len(inner) > PLAINTEXT_LIMIT + 1:
            raise RecordOverflowError(f"a protected record of {len(inner)} bytes")
        content = inner.rstrip(b"\0")
        if not content or not codes.ALERT <= content[-1] <= codes.APPLICATION_DATA:
            raise UnexpectedMessageError("a protected record without a content type")
        return content[-1], content[:-1]

    def updated(self) -> "TrafficKeys":
        """The next generation of keys (RFC 8446 §7.2)."""
        return TrafficKeys(self._suite, self._suite.derive(self._secret, "traffic upd", b""))

    def _nonce(self) -> bytes:
        return (self._iv ^ self._sequence).to_bytes(12, "big")
