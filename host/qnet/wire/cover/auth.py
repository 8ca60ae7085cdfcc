"""Cover authentication: what a ClientHello's session_id says to a peer, and what the peer's mark says back.

Conversation:

1. → ClientHello; ``A = X25519(the client's x25519 key share, C)``, all-zero refused;
   ``HKDF-SHA256(A ‖ cover_secret, salt = random[0:20], info = "qnet-htx1")`` → k_sid, k_mark, k_nh_c, k_nh_s;
   ``session_id = AES-256-GCM(k_sid, nonce = random[20:32], credential, AAD)``, AAD = the first ClientHello message
   with session_id zeroed, truncated before the PSK binders.
2. ← the decoy's flight; its first encrypted record's last 16 bytes ^= HMAC-SHA256(k_mark, SHA256(hellos))[:16].
3. ↔ N1, imitation ACK, N2, N3, each wrapped in ChaCha20-Poly1305 under k_nh_c / k_nh_s (camouflage, never security).

Credential, 16 bytes: version(1) ‖ flags(1) ‖ unix time(4) ‖ id(10).
Wrapped record body: AEAD(more(1 bit) ‖ length(15 bits) ‖ message ‖ zero padding), nonce = record counter per
direction, little-endian.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qnet.wire.errors import RemoteError
from qnet.wire.tls.hello import ClientHello, truncated_before_binders

VERSION = 1
INFO = b"qnet-htx1"
SKEW = 120
"""Seconds by which a credential's time may differ from the peer's."""

GROUP_X25519 = 0x001D
GROUP_X25519_MLKEM768 = 0x11EC
MLKEM768_PUBLIC = 1184

_SESSION_ID = slice(39, 71)
"""Where a 32-byte session_id lies in a ClientHello message: after header 4, version 2, random 32, length 1."""

MARK_SIZE = 16
WRAP_OVERHEAD = 2 + 16
_MORE = 0x8000


class NotAuthenticError(RemoteError):
    """Whoever sent this does not hold the key. On the wire this is silent: the connection goes on as the decoy's."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What the session_id carries; ``time`` in unix seconds."""

    version: int
    flags: int
    time: int
    id: bytes

    def encode(self) -> bytes:
        return bytes([self.version, self.flags]) + self.time.to_bytes(4, "big") + self.id

    @classmethod
    def decode(cls, data: bytes) -> "Credential":
        return cls(data[0], data[1], int.from_bytes(data[2:6], "big"), data[6:16])


class CoverKeys:
    """The keys that client and peer derive from one ClientHello."""

    __slots__ = ("_mark_key", "_nonce", "_sid_key", "wrap_client", "wrap_server")

    def __init__(self, shared: bytes, cover_secret: bytes, random: bytes) -> None:
        """``shared``: X25519 output (32 bytes); ``random``: the hello's (32 bytes)."""
        output = HKDF(SHA256(), 128, random[:20], INFO).derive(shared + cover_secret)
        self._sid_key = output[:32]
        self._mark_key = output[32:64]
        self._nonce = random[20:32]
        self.wrap_client = output[64:96]
        self.wrap_server = output[96:128]

    def seal_session_id(self, hello: bytes, credential: Credential) -> bytes:
        """The 32-byte session_id for ``hello`` (a ClientHello message with any session_id of 32 bytes)."""
        return AESGCM(self._sid_key).encrypt(self._nonce, credential.encode(), _associated(hello))

    def open_session_id(self, hello: bytes) -> Credential:
        """The credential in ``hello``; raises ``NotAuthenticError``."""
        try:
            plain = AESGCM(self._sid_key).decrypt(self._nonce, hello[_SESSION_ID], _associated(hello))
        except InvalidTag:
            raise NotAuthenticError("session_id") from None
        return Credential.decode(plain)

    def mark(self, hellos: bytes) -> bytes:
        """The 16 bytes that mark the first encrypted record; ``hellos`` are the hello messages seen so far."""
        return hmac.digest(self._mark_key, hashlib.sha256(hellos).digest(), "sha256")[:MARK_SIZE]


def _associated(hello: bytes) -> bytes:
    truncated = truncated_before_binders(hello)
    return truncated[: _SESSION_ID.start] + bytes(32) + truncated[_SESSION_ID.stop :]


@dataclass(frozen=True, slots=True)
class AuthenticatedHello:
    """A ClientHello that holds the key: its cover keys, its ML-KEM-768 public key and its random."""

    keys: CoverKeys
    mlkem_public: bytes
    random: bytes
    credential: Credential


def authenticate(
    message: bytes,
    *,
    server_name: str,
    cover_keys: list[X25519PrivateKey],
    cover_secret: bytes,
    now: float,
    skew: float,
) -> AuthenticatedHello:
    """Check a ClientHello message as a peer does; raises ``RemoteError`` of any kind when it is not ours.

    ``cover_keys`` are today's and, for a day after a rotation, yesterday's. Replay is the caller's to check, after
    this: only what opens may enter the cache.
    """
    hello = ClientHello.parse(message)
    if len(hello.session_id) != 32 or hello.server_name() != server_name:
        raise NotAuthenticError("not for us")
    shares = hello.key_shares()
    x25519 = shares.get(GROUP_X25519, b"")
    hybrid = shares.get(GROUP_X25519_MLKEM768, b"")
    if len(x25519) != 32 or len(hybrid) != MLKEM768_PUBLIC + 32:
        raise NotAuthenticError("key shares")
    public = X25519PublicKey.from_public_bytes(x25519)
    for private in cover_keys:
        try:
            keys = CoverKeys(private.exchange(public), cover_secret, hello.random)
            credential = keys.open_session_id(message)
        except (NotAuthenticError, ValueError):  # ValueError: an all-zero shared secret
            continue
        if credential.version != VERSION or abs(now - credential.time) > skew:
            raise NotAuthenticError("version or time")
        return AuthenticatedHello(keys, hybrid[:MLKEM768_PUBLIC], hello.random, credential)
    raise NotAuthenticError("session_id")


class Wrap:
    """One direction of the wrapped handshake records."""

    __slots__ = ("_aead", "_counter")

    def __init__(self, key: bytes, counter: int = 0) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._counter = counter

    def seal(self, message: bytes, body_size: int = 0, *, more: bool = False) -> bytes:
        """A record body of at least ``body_size`` bytes that carries ``message``, or with ``more`` a part of one."""
        length = len(message) | (_MORE if more else 0)
        padding = bytes(max(0, body_size - len(message) - WRAP_OVERHEAD))
        body = self._aead.encrypt(self._nonce(), length.to_bytes(2, "big") + message + padding, None)
        self._counter += 1
        return body

    def open(self, body: bytes) -> tuple[bytes, bool]:
        """A record body's message, and whether it goes on in the next; raises ``NotAuthenticError``, advancing not."""
        try:
            plain = self._aead.decrypt(self._nonce(), body, None)
        except InvalidTag:
            raise NotAuthenticError("wrap") from None
        length = int.from_bytes(plain[:2], "big")
        more, length = bool(length & _MORE), length & ~_MORE
        if len(plain) < 2 + length:
            raise NotAuthenticError("wrap length")
        self._counter += 1
        return plain[2 : 2 + length], more

    def _nonce(self) -> bytes:
        return self._counter.to_bytes(12, "little")
