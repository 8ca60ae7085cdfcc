"""What is signed, one envelope for every kind of it.

Layout: deterministic CBOR array ``[body, signature]``; ``body`` is a byte string with a deterministic CBOR map from
small numbers to values, key 0 the version, and ``signature`` (64) is Ed25519 over ``context ‖ body``. The context
names the kind, so that a signature of one kind is never one of another.

Keys of a later version are kept: the signed bytes are never taken apart and put together again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from qnet.wire.cbor import CborError, decode, encode
from qnet.wire.errors import RemoteError

VERSION = 1
SKEW = 120
"""Seconds by which ``issued`` may lie in the future."""


class Reason(StrEnum):
    """Why something signed is refused."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    SIGNATURE = "signature"
    FUTURE = "future"
    EXPIRED = "expired"


class SignedError(RemoteError):
    """Something signed is not acceptable; the message says why, without anything of its content."""

    def __init__(self, message: str = "", reason: Reason = Reason.MALFORMED) -> None:
        super().__init__(message)
        self.reason = reason


class Field(NamedTuple):
    """``key`` in the body, what a value must be, and the value that is left out of the body if there is one."""

    key: int
    valid: Callable[[Any], bool]
    absent: Any = None


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of signed map. ``signer``: the field with the public key, empty if both sides know the key.

    ``limit``: most bytes of the whole; ``error``: what refusals raise.
    """

    name: str
    context: bytes
    limit: int
    fields: Mapping[str, Field]
    signer: str
    error: type[SignedError]

    def sign(self, record: object, key: Ed25519PrivateKey) -> bytes:
        """The envelope of ``record``, an object with an attribute for each field; raises ``error``."""
        body: dict[int, Any] = {0: VERSION}
        for name, (number, valid, absent) in self.fields.items():
            value = getattr(record, name)
            if absent is not None and value == absent:
                continue
            value = list(value) if isinstance(value, tuple) else value
            if not valid(value):
                raise self.error(f"{name} is not acceptable")
            body[number] = value
        encoded = encode(body)
        data = encode([encoded, key.sign(self.context + encoded)])
        if len(data) > self.limit:
            raise self.error(f"more than {self.limit} bytes", Reason.OVERSIZED)
        return data

    def verify(self, data: bytes, signer: Callable[[dict[str, Any]], bytes] | None = None) -> dict[str, Any]:
        """The fields in ``data``, absent ones left out, arrays as tuples; raises ``error``.

        ``signer``: gives the signer's key from the fields where the body has none; what it raises passes through.
        """
        if len(data) > self.limit:
            raise self.error(f"more than {self.limit} bytes", Reason.OVERSIZED)
        try:
            body, signature, found = self._parse(data)
        except CborError as error:
            raise self.error(f"not a {self.name} ({error})") from None
        values: dict[str, Any] = {}
        for name, (number, valid, absent) in self.fields.items():
            if number not in found and absent is not None:
                continue
            value = found.get(number)
            if not valid(value):
                raise self.error(f"{name} is not acceptable")
            values[name] = tuple(value) if isinstance(value, list) else value
        public = values[self.signer] if signer is None else signer(values)
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, self.context + body)
        except (InvalidSignature, ValueError):
            raise self.error("signature", Reason.SIGNATURE) from None
        return values

    def _parse(self, data: bytes) -> tuple[bytes, bytes, dict[Any, Any]]:
        match decode(data, self.limit):
            case [bytes() as body, bytes() as signature]:
                found = decode(body, self.limit)
            case _:
                raise self.error(f"not a {self.name}")
        if not isinstance(found, dict) or found.get(0) != VERSION:
            raise self.error("version")
        return body, signature, found

    def check_issued(self, issued: int, now: float) -> None:
        """Raise ``error`` if ``issued`` lies in the future; unix seconds."""
        if issued > now + SKEW:
            raise self.error("issued in the future", Reason.FUTURE)


TEXT = 255


def is_text(value: object) -> bool:
    """Printable and short."""
    return isinstance(value, str) and len(value) <= TEXT and value.isprintable()


def is_country(value: object) -> bool:
    """Two capital letters (ISO 3166-1), or empty."""
    return value == "" or (isinstance(value, str) and len(value) == 2 and value.isascii() and value.isupper())


def is_key(value: object) -> bool:
    """32 bytes: a public key, or a SHA-256."""
    return isinstance(value, bytes) and len(value) == 32


def is_time(value: object) -> bool:
    """Unix seconds."""
    return type(value) is int and 0 <= value < 1 << 40


def is_address(value: object) -> bool:
    """Text ``host:port``."""
    if not isinstance(value, str) or not is_text(value):
        return False
    host, colon, port = value.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536


def is_addresses(value: object) -> bool:
    """1 to 8 addresses."""
    return isinstance(value, list) and 1 <= len(value) <= 8 and all(map(is_address, value))
