"""Signed descriptors: what a client must know of a peer to reach it. A descriptor is a capability.

Layout: deterministic CBOR array ``[body, signature]``; ``body`` is a byte string with a deterministic CBOR map, and
``signature`` (64) is Ed25519 over ``"qnet-descriptor-1" ‖ body`` by the identity in it.

| key | field | type |
|---|---|---|
| 0 | version | 1 |
| 1 | identity: Ed25519 public key | 32 bytes |
| 2 | noise: S, X25519 | 32 bytes |
| 3 | cover: C, X25519, rotated weekly | 32 bytes |
| 4 | cover_secret | 32 bytes |
| 5 | addresses | 1…8 texts ``host:port`` |
| 6 | decoy: the TLS name | text |
| 7 | roles | texts of entry, relay, exit, bootstrap |
| 8, 9 | issued, expires | unix seconds |
| 10, 11 | nickname, country | text, may be absent |

Keys of a later version are kept: the signed bytes are never taken apart and put together again.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from qnet.wire.cbor import decode, encode
from qnet.wire.errors import RemoteError

LIMIT = 4096
"""Largest descriptor in bytes."""

VERSION = 1
SKEW = 120
"""Seconds by which ``issued`` may lie in the future."""

ROLES = ("entry", "relay", "exit", "bootstrap")
_CONTEXT = b"qnet-descriptor-1"


class DescriptorError(RemoteError):
    """The descriptor is not acceptable; the message says why, without anything of its content."""


class DescriptorExpiredError(DescriptorError):
    """The descriptor has expired."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A peer's public face. Times in unix seconds; keys raw, 32 bytes each."""

    identity: bytes
    noise: bytes
    cover: bytes
    cover_secret: bytes
    addresses: tuple[str, ...]
    decoy: str
    roles: tuple[str, ...]
    issued: int
    expires: int
    nickname: str = ""
    country: str = ""
    signed: bytes = field(default=b"", compare=False, repr=False)

    @property
    def peer_id(self) -> bytes:
        """See ``peer_id``."""
        return peer_id(self.identity)


def peer_id(identity: bytes) -> bytes:
    """What a peer is called: SHA-256 of its identity key, 32 bytes."""
    return hashlib.sha256(identity).digest()


_TEXT = 255
# field → (key, what a value must be)
_FIELDS: dict[str, tuple[int, Any]] = {
    "identity": (1, lambda v: isinstance(v, bytes) and len(v) == 32),
    "noise": (2, lambda v: isinstance(v, bytes) and len(v) == 32),
    "cover": (3, lambda v: isinstance(v, bytes) and len(v) == 32),
    "cover_secret": (4, lambda v: isinstance(v, bytes) and len(v) == 32),
    "addresses": (5, lambda v: isinstance(v, list) and 1 <= len(v) <= 8 and all(map(_is_address, v))),
    "decoy": (6, lambda v: _is_text(v) and v != ""),
    "roles": (7, lambda v: isinstance(v, list) and len(v) <= 8 and all(map(_is_text, v))),
    "issued": (8, lambda v: type(v) is int and 0 <= v < 1 << 40),
    "expires": (9, lambda v: type(v) is int and 0 <= v < 1 << 40),
    "nickname": (10, lambda v: _is_text(v)),
    "country": (11, lambda v: _is_text(v) and len(v) in (0, 2)),
}
_OPTIONAL = ("nickname", "country")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT and value.isprintable()


def _is_address(value: object) -> bool:
    if not isinstance(value, str) or not _is_text(value):
        return False
    host, colon, port = value.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def sign(descriptor: Descriptor, key: Ed25519PrivateKey) -> bytes:
    """The descriptor's bytes; ``descriptor.identity`` must be ``key``'s."""
    body: dict[int, Any] = {0: VERSION}
    for name, (number, valid) in _FIELDS.items():
        value = getattr(descriptor, name)
        value = list(value) if isinstance(value, tuple) else value
        if value == "" and name in _OPTIONAL:
            continue
        if not valid(value):
            raise DescriptorError(f"{name} is not acceptable")
        body[number] = value
    encoded = encode(body)
    return encode([encoded, key.sign(_CONTEXT + encoded)])


def verify(data: bytes, now: float) -> Descriptor:
    """The descriptor in ``data``; raises ``DescriptorError``, ``DescriptorExpiredError`` or ``CborError``."""
    outer = decode(data, LIMIT)
    match outer:
        case [bytes() as body, bytes() as signature]:
            fields = decode(body, LIMIT)
        case _:
            raise DescriptorError("not a descriptor")
    if not isinstance(fields, dict) or fields.get(0) != VERSION:
        raise DescriptorError("version")
    values: dict[str, Any] = {}
    for name, (number, valid) in _FIELDS.items():
        if number not in fields and name in _OPTIONAL:
            continue
        value = fields.get(number)
        if not valid(value):
            raise DescriptorError(f"{name} is not acceptable")
        values[name] = tuple(value) if isinstance(value, list) else value
    descriptor = Descriptor(**values, signed=data)
    try:
        Ed25519PublicKey.from_public_bytes(descriptor.identity).verify(signature, _CONTEXT + body)
    except (InvalidSignature, ValueError):
        raise DescriptorError("signature") from None
    if descriptor.issued > now + SKEW:
        raise DescriptorError("issued in the future")
    if descriptor.expires <= now:
        raise DescriptorExpiredError
    return descriptor
