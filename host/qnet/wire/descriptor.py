"""Signed descriptors: what a client must know of a peer to reach it. A descriptor is a capability.

The envelope is ``signed``'s, the context ``"qnet-descriptor-1"``, the signer the identity in the body:

| key | field | type |
|---|---|---|
| 0 | version | 1 |
| 1 | identity: Ed25519 public key | 32 bytes |
| 2 | noise: S, X25519 | 32 bytes |
| 3 | cover: C, X25519, when it was issued | 32 bytes |
| 4 | cover_secret | 32 bytes |
| 5 | addresses | 1…8 texts ``host:port``; absent with ``via`` |
| 6 | decoy: the TLS name | text, absent with ``via`` |
| 7 | roles | texts of entry, relay, exit, bootstrap |
| 8, 9 | issued, expires | unix seconds |
| 10, 11 | nickname, country (two capital letters) | text, may be absent |
| 12 | invite_only: never listed nor gossiped | true, may be absent |
| 13 | via: the peer_id of the relay through which alone it is reached, see ``reservation`` | 32 bytes, may be absent |
| 14 | later: 1…8 of ``[from, C]``: the cover keys that follow, each from a time on | array, may be absent |
"""

import hashlib
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.wire.signed import Field, Kind, Reason, SignedError, is_addresses, is_country, is_key, is_text, is_time

LIMIT = 4096
"""Largest descriptor in bytes."""

ROLES = ("entry", "relay", "exit", "bootstrap")


class DescriptorError(SignedError):
    """The descriptor is not acceptable; the message says why, without anything of its content."""


class DescriptorExpiredError(DescriptorError):
    """The descriptor has expired."""

    def __init__(self) -> None:
        super().__init__(reason=Reason.EXPIRED)


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
    invite_only: bool = False
    via: bytes = b""
    later: tuple[tuple[int, bytes], ...] = ()
    signed: bytes = field(default=b"", compare=False, repr=False)

    @property
    def peer_id(self) -> bytes:
        """See ``peer_id``."""
        return peer_id(self.identity)


def peer_id(identity: bytes) -> bytes:
    """What a peer is called: SHA-256 of its identity key, 32 bytes."""
    return hashlib.sha256(identity).digest()


def _is_later(value: object) -> bool:
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        return False
    times = []
    for each in value:
        match each:
            case [int() as start, bytes() as key] if is_time(start) and is_key(key):
                times.append(start)
    return len(times) == len(value) and times == sorted(set(times))


def _is_roles(value: object) -> bool:
    return isinstance(value, list) and len(value) <= 8 and all(map(is_text, value))


_KIND = Kind(
    name="descriptor",
    context=b"qnet-descriptor-1",
    limit=LIMIT,
    fields={
        "identity": Field(1, is_key),
        "noise": Field(2, is_key),
        "cover": Field(3, is_key),
        "cover_secret": Field(4, is_key),
        "addresses": Field(5, is_addresses, ()),
        "decoy": Field(6, is_text, ""),
        "roles": Field(7, _is_roles),
        "issued": Field(8, is_time),
        "expires": Field(9, is_time),
        "nickname": Field(10, is_text, ""),
        "country": Field(11, is_country, ""),
        "invite_only": Field(12, lambda value: value is True, False),
        "via": Field(13, is_key, b""),
        "later": Field(14, _is_later, ()),
    },
    signer="identity",
    error=DescriptorError,
)


def sign(descriptor: Descriptor, key: Ed25519PrivateKey) -> bytes:
    """The descriptor's bytes; ``descriptor.identity`` must be ``key``'s. Raises ``DescriptorError``."""
    _check_reach(descriptor)
    return _KIND.sign(descriptor, key)


def verify(data: bytes, now: float) -> Descriptor:
    """The descriptor in ``data``; raises ``DescriptorError`` or ``DescriptorExpiredError``."""
    values = {"addresses": (), "decoy": ""} | _KIND.verify(data)
    values["later"] = tuple(map(tuple, values.get("later", ())))
    descriptor = Descriptor(**values, signed=data)
    _check_reach(descriptor)
    _KIND.check_issued(descriptor.issued, now)
    if descriptor.expires <= now:
        raise DescriptorExpiredError
    return descriptor


def _check_reach(descriptor: Descriptor) -> None:
    """A peer is either dialled, then it has addresses and a decoy, or reached through another, then it has neither."""
    dialled = bool(descriptor.addresses), bool(descriptor.decoy)
    if dialled != ((False, False) if descriptor.via else (True, True)):
        raise DescriptorError("addresses, decoy and via do not fit each other")


def identity_of(data: bytes) -> bytes:
    """The identity that signed ``data``, be it expired or not; raises ``DescriptorError``."""
    found: bytes = _KIND.verify(data)["identity"]
    return found
