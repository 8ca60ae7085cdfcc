"""As much of a TLS 1.3 client (RFC 8446) as the protocol needs: one X25519 or hybrid key exchange, no certificates.

Who the decoy is, is another question than whether the peer follows the protocol, and is not asked here.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SUITES = {0x1301: ("sha256", AESGCM, 16), 0x1302: ("sha384", AESGCM, 32), 0x1303: ("sha256", ChaCha20Poly1305, 32)}
X25519, HYBRID = 0x001D, 0x11EC
CCS = b"\x14\x03\x03\x00\x01\x01"


def vec(size: int, body: bytes) -> bytes:
    return len(body).to_bytes(size, "big") + body


def u16(value: int) -> bytes:
    return value.to_bytes(2, "big")


@dataclass
class Hello:
    """A ClientHello message with its keys; ``session_id`` may be set until it is sent."""

    server_name: str
    random: bytes = field(default_factory=lambda: os.urandom(32))
    session_id: bytes = field(default_factory=lambda: os.urandom(32))
    x25519: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)
    mlkem: MLKEM768PrivateKey = field(default_factory=MLKEM768PrivateKey.generate)

    def message(self) -> bytes:
        public = self.x25519.public_key().public_bytes_raw()
        hybrid = self.mlkem.public_key().public_bytes_raw() + public
        shares = u16(HYBRID) + vec(2, hybrid) + u16(X25519) + vec(2, public)
        extensions = {
            0: vec(2, b"\0" + vec(2, self.server_name.encode("ascii"))),
            10: vec(2, u16(HYBRID) + u16(X25519)),
            13: vec(2, bytes.fromhex("0403050306030804080508060401")),
            16: vec(2, vec(1, b"h2")),
            43: vec(1, u16(0x0304)),
            45: vec(1, b"\1"),
            51: vec(2, shares),
        }
        body = u16(0x0303) + self.random + vec(1, self.session_id) + vec(2, b"".join(map(u16, SUITES)))
        body += vec(1, b"\0") + vec(2, b"".join(u16(kind) + vec(2, value) for kind, value in extensions.items()))
        return b"\1" + vec(3, body)


class Records:
    """Cuts what arrives into whole records."""

    def __init__(self) -> None:
        self.buffer = b""

    def next(self) -> bytes | None:
        if len(self.buffer) < 5 or len(self.buffer) < (end := 5 + int.from_bytes(self.buffer[3:5], "big")):
            return None
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found


class Keys:
    """One direction under one traffic secret."""

    def __init__(self, suite: int, secret: bytes) -> None:
        self.hash, aead, length = SUITES[suite]
        self._aead = aead(expand_label(self.hash, secret, b"key", b"", length))
        self._iv = int.from_bytes(expand_label(self.hash, secret, b"iv", b"", 12), "big")
        self._sequence = 0

    def seal(self, kind: int, content: bytes) -> bytes:
        header = b"\x17\x03\x03" + u16(len(content) + 17)
        body = self._aead.encrypt(self._nonce(), content + bytes([kind]), header)
        self._sequence += 1
        return header + body

    def open(self, record: bytes) -> tuple[int, bytes] | None:
        """Content type and content; None if it does not open."""
        try:
            inner = self._aead.decrypt(self._nonce(), record[5:], record[:5]).rstrip(b"\0")
        except InvalidTag:
            return None
        self._sequence += 1
        return inner[-1], inner[:-1]

    def _nonce(self) -> bytes:
        return (self._iv ^ self._sequence).to_bytes(12, "big")


def expand_label(name: str, secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1); all lengths here fit one block."""
    info = u16(length) + vec(1, b"tls13 " + label) + vec(1, context)
    return hmac.digest(secret, info + b"\1", name)[:length]


class Handshake:
    """From the server's first byte to its Finished. ``mark``: of the hellos up to the ServerHello, see the document."""

    def __init__(self, hello: Hello) -> None:
        self.hello = hello
        self.first = hello.message()
        self.records = Records()
        self.server_prefix = b""
        self.marked: bool | None = None
        self.flight = b""
        self.write: Keys
        self.read: Keys
        self.suite = 0
        self._transcript = self.first
        self._messages = b""
        self._server: Keys | None = None

    def receive(self, data: bytes, mark_of: "MarkOf") -> bool:
        """Whether the handshake is over; raises ``ValueError`` for what this client cannot read."""
        self.records.buffer += data
        while not self.flight and (record := self.records.next()) is not None:
            first = self._server is not None and self.marked is None and record[0] == 23
            if self._server is None or first:
                self.server_prefix += record
            if record[0] == 22 and self._server is None:
                self._on_server_hello(record[5:])
            elif record[0] == 23 and self._server is not None:
                self._on_encrypted(record, mark_of, first=first)
            elif record[0] == 20 and self._server is not None and self.marked is None:
                self.server_prefix += record
            elif record[0] == 21:
                raise ValueError(f"the server sent an alert: {record[5:].hex()}")
        return bool(self.flight)

    def _on_server_hello(self, message: bytes) -> None:
        at = 4 + 2 + 32
        at += 1 + message[at]
        self.suite, at = int.from_bytes(message[at : at + 2], "big"), at + 3
        extensions, rest = {}, message[at + 2 :]
        while rest:
            kind, length = int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big")
            extensions[kind], rest = rest[4 : 4 + length], rest[4 + length :]
        if extensions.get(43) != u16(0x0304):
            raise ValueError("the decoy does not speak TLS 1.3")
        group, share = int.from_bytes(extensions[51][:2], "big"), extensions[51][4:]
        if group == HYBRID:
            shared = self.hello.mlkem.decapsulate(share[:1088]) + self._exchange(share[1088:])
        else:
            shared = self._exchange(share)
        self._transcript += message
        self.server_hello = message
        name = SUITES[self.suite][0]
        empty, zeros = hashlib.new(name).digest(), bytes(hashlib.new(name).digest_size)
        early = hmac.digest(zeros, zeros, name)
        self._secret = hmac.digest(expand_label(name, early, b"derived", empty, len(zeros)), shared, name)
        self._name, self._zeros, self._empty = name, zeros, empty
        self._client_secret, server_secret = self._derive(b"c hs traffic"), self._derive(b"s hs traffic")
        self._server_secret = server_secret
        self._server = Keys(self.suite, server_secret)

    def _exchange(self, share: bytes) -> bytes:
        return self.hello.x25519.exchange(X25519PublicKey.from_public_bytes(share))

    def _derive(self, label: bytes) -> bytes:
        digest = hashlib.new(self._name, self._transcript).digest()
        return expand_label(self._name, self._secret, label, digest, len(self._zeros))

    def _on_encrypted(self, record: bytes, mark_of: "MarkOf", *, first: bool) -> None:
        assert self._server is not None
        opened = None
        if first:
            mark = mark_of(self.first + self.server_hello)
            bare = record[:-16] + bytes(a ^ b for a, b in zip(record[-16:], mark, strict=True))
            opened = self._server.open(bare)
            self.marked = opened is not None
            if self.marked:
                self.server_prefix = self.server_prefix[: -len(record)] + bare
        opened = opened or self._server.open(record)
        if opened is None:
            raise ValueError("an encrypted record of the decoy does not open")
        self._messages += opened[1]
        while len(self._messages) >= 4 and len(self._messages) >= (
            end := 4 + int.from_bytes(self._messages[1:4], "big")
        ):
            message, self._messages = self._messages[:end], self._messages[end:]
            if message[0] == 20:
                self._on_finished(message)
            else:
                self._transcript += message

    def _on_finished(self, message: bytes) -> None:
        if message[4:] != self._verify_data(self._server_secret):
            raise ValueError("the server's Finished is wrong")
        self._transcript += message
        finished = b"\x14" + vec(3, self._verify_data(self._client_secret))
        self.flight = CCS + Keys(self.suite, self._client_secret).seal(22, finished)
        derived = expand_label(self._name, self._secret, b"derived", self._empty, len(self._zeros))
        self._secret = hmac.digest(derived, self._zeros, self._name)
        self.write, self.read = (
            Keys(self.suite, self._derive(b"c ap traffic")),
            Keys(self.suite, self._derive(b"s ap traffic")),
        )

    def _verify_data(self, secret: bytes) -> bytes:
        key = expand_label(self._name, secret, b"finished", b"", len(self._zeros))
        return hmac.digest(key, hashlib.new(self._name, self._transcript).digest(), self._name)


MarkOf = Callable[[bytes], bytes]
