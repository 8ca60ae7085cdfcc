"""The cover and the link, from docs/PROTOCOL.md: sections 2 to 6."""

import hashlib
import hmac
import struct
import time
from dataclasses import dataclass

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from noise.connection import Keypair, NoiseConnection

NOISE = b"Noise_XKpsk3_25519_ChaChaPoly_SHA256"
SESSION_ID = slice(39, 71)


@dataclass
class Peer:
    """What the descriptor says, section 7.2."""

    identity: bytes
    noise: bytes
    cover: bytes
    cover_secret: bytes
    addresses: list[str]
    decoy: str

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.identity).digest()


def read_descriptor(data: bytes) -> Peer:
    """Section 7.1 and 7.2; raises ``InvalidSignature``, ``KeyError`` …"""
    body, signature = cbor2.loads(data)
    fields = cbor2.loads(body)
    Ed25519PublicKey.from_public_bytes(fields[1]).verify(signature, b"qnet-descriptor-1" + body)
    now, cover = time.time(), fields[3]
    for start, later in fields.get(14, []):
        cover = later if start <= now else cover
    return Peer(fields[1], fields[2], cover, fields[4], fields[5], fields[6])


class Keys:
    """Section 3.1."""

    def __init__(self, private: X25519PrivateKey, cover: bytes, cover_secret: bytes, random: bytes) -> None:
        shared = private.exchange(X25519PublicKey.from_public_bytes(cover))
        output = HKDF(SHA256(), 128, random[:20], b"qnet-htx1").derive(shared + cover_secret)
        self.sid, self.mark_key, self.client, self.server = (output[at : at + 32] for at in range(0, 128, 32))
        self._random = random

    def session_id(self, hello: bytes, unix: int, identifier: bytes, flags: int = 0) -> bytes:
        """Section 3.2; ``hello``: a ClientHello message without PSK, with any session_id of 32 bytes."""
        credential = bytes([1, flags]) + unix.to_bytes(4, "big") + identifier
        bare = hello[: SESSION_ID.start] + bytes(32) + hello[SESSION_ID.stop :]
        return AESGCM(self.sid).encrypt(self._random[20:32], credential, bare)

    def mark(self, hellos: bytes) -> bytes:
        """Section 3.3."""
        return hmac.digest(self.mark_key, hashlib.sha256(hellos).digest(), "sha256")[:16]


class Wrap:
    """Section 4.2."""

    def __init__(self, key: bytes) -> None:
        self._aead, self._counter = ChaCha20Poly1305(key), 0

    def seal(self, message: bytes, size: int = 0) -> bytes:
        plain = (struct.pack(">H", len(message)) + message).ljust(size - 16, b"\0")
        body = self._aead.encrypt(self._counter.to_bytes(12, "little"), plain, None)
        self._counter += 1
        return record(body)

    def open(self, body: bytes) -> tuple[bytes, bool] | None:
        """The message, and whether it goes on; None if the record is not one of these."""
        try:
            plain = self._aead.decrypt(self._counter.to_bytes(12, "little"), body, None)
        except InvalidTag:
            return None
        self._counter += 1
        (length,) = struct.unpack_from(">H", plain)
        return plain[2 : 2 + (length & 0x7FFF)], bool(length & 0x8000)


def record(body: bytes) -> bytes:
    return b"\x17\x03\x03" + struct.pack(">H", len(body)) + body


class Inner:
    """The inner handshake, section 4.1; ``digests``: of C→ and P→, joined."""

    def __init__(self, peer: Peer, digests: bytes) -> None:
        self._noise = NoiseConnection.from_name(NOISE)
        self._noise.set_psks(psk=bytes(32))  # the library wants one now; the real one follows before it is used
        self._noise.set_as_initiator()
        self._noise.set_keypair_from_private_bytes(Keypair.STATIC, X25519PrivateKey.generate().private_bytes_raw())
        self._noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, peer.noise)
        self._noise.set_prologue(b"qnet-htx1\x01" + peer.id + peer.noise + digests)
        self._noise.start_handshake()

    def first(self, payload: bytes = b"") -> bytes:
        return bytes(self._noise.write_message(payload))

    def second(self, message: bytes) -> bytes:
        """The ML-KEM ciphertext."""
        return bytes(self._noise.read_message(message))

    def third(self, secret: bytes, payload: bytes) -> bytes:
        self._noise.set_psks(psk=secret)
        return bytes(self._noise.write_message(payload))

    def channels(self) -> "tuple[Channel, Channel]":
        protocol = self._noise.noise_protocol
        return Channel(protocol.cipher_state_encrypt.k), Channel(protocol.cipher_state_decrypt.k)


class Channel:
    """One direction of the record channel, section 5."""

    def __init__(self, key: bytes) -> None:
        self._key, self._counter = key, 0

    def seal(self, plain: bytes) -> bytes:
        body = ChaCha20Poly1305(self._key).encrypt(self._nonce(), plain.ljust(10, b"\0"), None)
        self._counter += 1
        return record(body)

    def open(self, body: bytes) -> bytes | None:
        try:
            plain = ChaCha20Poly1305(self._key).decrypt(self._nonce(), body, None)
        except InvalidTag:
            return None
        self._counter += 1
        return plain

    def rekey(self) -> None:
        self._key = ChaCha20Poly1305(self._key).encrypt(bytes(4) + b"\xff" * 8, bytes(32), None)[:32]

    def _nonce(self) -> bytes:
        return bytes(4) + self._counter.to_bytes(8, "little")


def digests(client_bytes: bytes, server_bytes: bytes) -> bytes:
    """Of C→ and P→."""
    return hashlib.sha256(client_bytes).digest() + hashlib.sha256(server_bytes).digest()


FORWARD, EXTEND, EXTENDED = 1, 2, 3
PADDING, PING, PONG, REKEY, SETTINGS, OPEN, RESET = 0, 6, 7, 9, 10, 16, 20


def frame(kind: int, circuit: int = 0, body: bytes = b"") -> bytes:
    return struct.pack(">BHH", kind, circuit, len(body)) + body


def frames(plain: bytes) -> list[tuple[int, int, bytes]]:
    """Type, circuit, body of each, section 6."""
    found, at = [], 0
    while at < len(plain) and plain[at] != PADDING:
        kind, circuit, length = struct.unpack_from(">BHH", plain, at)
        if kind == FORWARD:
            return [*found, (kind, circuit, plain[at + 3 :])]
        found.append((kind, circuit, plain[at + 5 : at + 5 + length]))
        at += 5 + length
    return found
