"""Key schedule of TLS 1.3 (RFC 8446 §7) and its cipher suites (§B.4)."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

Aead: TypeAlias = AESGCM | ChaCha20Poly1305


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite: its hash by hashlib's name, its AEAD and that one's key length in bytes."""

    hash_name: str
    aead: type[AESGCM] | type[ChaCha20Poly1305]
    key_length: int

    @property
    def hash_length(self) -> int:
        """Length in bytes of the hash, and so of every secret."""
        return hashlib.new(self.hash_name).digest_size

    def hash(self, data: bytes) -> bytes:
        """The hash of ``data``."""
        return hashlib.new(self.hash_name, data).digest()

    def extract(self, salt: bytes, material: bytes) -> bytes:
        """HKDF-Extract (RFC 5869 §2.2)."""
        return hmac.digest(salt, material, self.hash_name)

    def expand_label(self, secret: bytes, label: str, context: bytes, length: int) -> bytes:
        """HKDF-Expand-Label (RFC 8446 §7.1) of ``length`` bytes."""
        full_label = b"tls13 " + label.encode("ascii")
        info = length.to_bytes(2, "big") + bytes([len(full_label)]) + full_label + bytes([len(context)]) + context
        output = block = b""
        counter = 1
        while len(output) < length:
            block = hmac.digest(secret, block + info + bytes([counter]), self.hash_name)
            output += block
            counter += 1
        return output[:length]

    def derive(self, secret: bytes, label: str, transcript_hash: bytes) -> bytes:
        """Derive-Secret (RFC 8446 §7.1) with the transcript already hashed."""
        return self.expand_label(secret, label, transcript_hash, self.hash_length)

    def finished(self, base_secret: bytes, transcript_hash: bytes) -> bytes:
        """The verify_data of a Finished message, or a PSK binder (RFC 8446 §4.4.4)."""
        key = self.expand_label(base_secret, "finished", b"", self.hash_length)
        return hmac.digest(key, transcript_hash, self.hash_name)


SUITES = {
    0x1301: Suite("sha256", AESGCM, 16),
    0x1302: Suite("sha384", AESGCM, 32),
    0x1303: Suite("sha256", ChaCha20Poly1305, 32),
}


class KeySchedule:
    """The secrets of one handshake, with the pre-shared key ``psk`` or without, in the order of the RFC's diagram.

    ``binder`` before ``handshake`` before ``application`` before ``resumption``; each takes the hash of the transcript
    so far.
    """

    def __init__(self, suite: Suite, psk: bytes = b"") -> None:
        self.suite = suite
        self._zeros = bytes(suite.hash_length)
        self._current = suite.extract(self._zeros, psk or self._zeros)

    def binder(self, transcript_hash: bytes) -> bytes:
        """The PSK binder of a resumed session; the transcript ends before the binders (§4.2.11.2)."""
        key = self.suite.derive(self._current, "res binder", self.suite.hash(b""))
        return self.suite.finished(key, transcript_hash)

    def handshake(self, shared_secret: bytes, transcript_hash: bytes) -> tuple[bytes, bytes]:
        """Client's and server's handshake traffic secrets; the transcript ends with the ServerHello."""
        self._advance(shared_secret)
        return self._pair("hs", transcript_hash)

    def application(self, transcript_hash: bytes) -> tuple[bytes, bytes]:
        """Client's and server's first application traffic secrets; the transcript ends with the server's Finished."""
        self._advance(self._zeros)
        return self._pair("ap", transcript_hash)

    def resumption(self, transcript_hash: bytes) -> bytes:
        """The resumption master secret; the transcript ends with the client's Finished."""
        return self.suite.derive(self._current, "res master", transcript_hash)

    def _advance(self, material: bytes) -> None:
        salt = self.suite.derive(self._current, "derived", self.suite.hash(b""))
        self._current = self.suite.extract(salt, material)

    def _pair(self, stage: str, transcript_hash: bytes) -> tuple[bytes, bytes]:
        return (
            self.suite.derive(self._current, f"c {stage} traffic", transcript_hash),
            self.suite.derive(self._current, f"s {stage} traffic", transcript_hash),
        )
