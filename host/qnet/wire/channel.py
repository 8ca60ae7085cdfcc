"""The record channel: Noise transport messages in TLS application-data records, nothing under them.

Record: ``17 03 03`` ‖ length(2) ‖ ChaCha20-Poly1305(plaintext), 26 ≤ length ≤ 16401 (htx: the smallest HTTP/2 frame
and the largest TLS 1.3 record). Nonce: 32 zero bits ‖ counter(8, little-endian), one counter per direction, never
reused. Associated data: none. Key change: Noise's REKEY, key = AEAD(key, nonce 2^64-1, zeros)[:32].

``Sealer`` and ``Opener`` work from buffer to buffer: no bytes object is made per record, which is what the data path
spends its time on otherwise.
"""

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from qnet.wire.errors import RemoteError

RECORD_HEADER = 5
TAG = 16
MIN_BODY = 26
MAX_BODY = 16401
MIN_PLAINTEXT = MIN_BODY - TAG
MAX_PLAINTEXT = MAX_BODY - TAG

MAX_COUNTER = 1 << 48
"""Records under one key; far below the nonce's 2^64 and the AEAD's limits. Rekeying comes long before."""

_APPLICATION_DATA = b"\x17\x03\x03"
_header = struct.Struct(">3sH")
_nonce = struct.Struct("<4xQ")


class BadRecordError(RemoteError):
    """The record does not open. On the wire this is silent: the peer becomes its decoy again."""


class _Direction:
    __slots__ = ("_aead", "_counter", "_key")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._aead = ChaCha20Poly1305(key)
        self._counter = 0

    @property
    def counter(self) -> int:
        """Records so far."""
        return self._counter

    def rekey(self) -> None:
        """Replace the key by Noise's REKEY; the counter goes on."""
        self._key = self._aead.encrypt(_nonce.pack((1 << 64) - 1), bytes(32), None)[:32]
        self._aead = ChaCha20Poly1305(self._key)


class Sealer(_Direction):
    """The sending direction."""

    __slots__ = ()

    def seal_into(self, plaintext: memoryview, out: memoryview, start: int) -> int:
        """Write one record's body to ``out[start:]``; gives its size. ``plaintext``: 10 … 16385 bytes."""
        length = len(plaintext) + TAG
        counter = self._counter
        if not MIN_BODY <= length <= MAX_BODY or counter >= MAX_COUNTER:
            raise ValueError("record size or counter out of range")
        self._aead.encrypt_into(_nonce.pack(counter), plaintext, None, out[start : start + length])
        self._counter = counter + 1
        return length


class Opener(_Direction):
    """The receiving direction."""

    __slots__ = ()

    def open_into(self, body: memoryview, out: memoryview, start: int) -> int:
        """Write the plaintext of a record's body to ``out[start:]``; gives its size. Raises ``BadRecordError``."""
        size = len(body) - TAG
        try:
            self._aead.decrypt_into(_nonce.pack(self._counter), body, None, out[start : start + size])
        except InvalidTag:
            raise BadRecordError from None
        self._counter += 1
        return size


def record_length(data: memoryview, start: int) -> int:
    """The body length of the record whose 5-byte header is at ``start``; raises ``BadRecordError``."""
    length: int
    kind, length = _header.unpack_from(data, start)
    if kind != _APPLICATION_DATA or not MIN_BODY <= length <= MAX_BODY:
        raise BadRecordError
    return length


def put_header(out: memoryview, start: int, length: int) -> None:
    """Write the header of a record whose body has ``length`` bytes."""
    _header.pack_into(out, start, _APPLICATION_DATA, length)


def record(body: bytes) -> bytes:
    """``body`` with a record header: for handshake messages, which are few."""
    return _APPLICATION_DATA + len(body).to_bytes(2, "big") + body
