"""ClientHello and ServerHello as values (RFC 8446 §4.1).

Layout of both: type(1) length(3) | legacy_version(2) random(32) session_id(1+n) …

* ClientHello: … cipher_suites(2+n) compression(1+n) extensions(2+n)
* ServerHello, HelloRetryRequest: … cipher_suite(2) compression(1) [extensions(2+n)]

An extension is type(2) body(2+n). Unknown ones, their order and their bytes survive a round trip.
"""

from dataclasses import dataclass

from qnet.wire.tls import codes
from qnet.wire.tls.codec import (
    Reader,
    handshake_message,
    message_body,
    pull_extensions,
    push_extensions,
    push_u16_list,
    u16,
    u16_list,
    vector,
)
from qnet.wire.tls.errors import DecodeError

RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random that makes a ServerHello a HelloRetryRequest: SHA-256 of that word."""


@dataclass(slots=True)
class ClientHello:
    """A ClientHello; ``extensions`` in wire order."""

    legacy_version: int
    random: bytes
    session_id: bytes
    cipher_suites: list[int]
    compression: bytes
    extensions: list[tuple[int, bytes]]

    @classmethod
    def parse(cls, message: bytes) -> "ClientHello":
        """Read exactly one handshake message with its 4-byte header; raises ``DecodeError`` or another TlsError."""
        reader = message_body(message, codes.CLIENT_HELLO)
        hello = cls(
            legacy_version=reader.integer(2),
            random=reader.take(32),
            session_id=reader.vector(1, 0, 32),
            cipher_suites=u16_list(reader.vector(2, 2)),
            compression=reader.vector(1, 1),
            extensions=pull_extensions(reader.vector(2)),
        )
        reader.finish()
        return hello

    def message(self) -> bytes:
        """The handshake message with its header, without a record header."""
        return handshake_message(
            codes.CLIENT_HELLO,
            u16(self.legacy_version)
            + self.random
            + vector(1, self.session_id)
            + vector(2, push_u16_list(self.cipher_suites))
            + vector(1, self.compression)
            + vector(2, push_extensions(self.extensions)),
        )

    def extension(self, kind: int) -> bytes | None:
        """The body of one extension."""
        return next((body for found, body in self.extensions if found == kind), None)

    def server_name(self) -> str | None:
        """The host name of the SNI extension (RFC 6066 §3), if any; raises ``DecodeError`` when malformed."""
        body = self.extension(codes.SERVER_NAME)
        if body is None:
            return None
        outer = Reader(body)
        names = Reader(outer.vector(2, 1))
        outer.finish()
        if names.integer(1) != 0:
            raise DecodeError("a server name that is no host name")
        name = names.vector(2, 1)
        names.finish()
        if not name.isascii():
            raise DecodeError("a server name that is not ASCII")
        return name.decode("ascii")

    def key_shares(self) -> dict[int, bytes]:
        """Group → public key, in wire order; raises ``DecodeError`` when malformed or a group is named twice."""
        body = self.extension(codes.KEY_SHARE)
        if body is None:
            return {}
        outer = Reader(body)
        reader = Reader(outer.vector(2))
        outer.finish()
        shares: dict[int, bytes] = {}
        while not reader.empty:
            group = reader.integer(2)
            if group in shares:
                raise DecodeError("two key shares for one group")
            shares[group] = reader.vector(2, 1)
        return shares

    def code_list(self, kind: int, size: int = 2) -> list[int]:
        """The 16-bit values of a list extension with a length of ``size`` bytes; empty when absent."""
        body = self.extension(kind)
        if body is None:
            return []
        reader = Reader(body)
        values = u16_list(reader.vector(size))
        reader.finish()
        return values

    def protocols(self) -> list[bytes]:
        """The ALPN names offered (RFC 7301); raises ``DecodeError`` when malformed."""
        body = self.extension(codes.ALPN)
        return [] if body is None else pull_protocols(body)


def pull_protocols(body: bytes) -> list[bytes]:
    """The body of an ALPN extension as a list of names."""
    outer = Reader(body)
    reader = Reader(outer.vector(2, 2))
    outer.finish()
    names = []
    while not reader.empty:
        names.append(reader.vector(1, 1))
    return names


@dataclass(slots=True)
class ServerHello:
    """A ServerHello or HelloRetryRequest of any TLS version."""

    legacy_version: int
    random: bytes
    session_id: bytes
    cipher_suite: int
    compression: int
    extensions: dict[int, bytes]

    @classmethod
    def parse(cls, message: bytes) -> "ServerHello":
        """Read exactly one handshake message with its 4-byte header; raises ``DecodeError`` or another TlsError."""
        reader = message_body(message, codes.SERVER_HELLO)
        hello = cls(
            legacy_version=reader.integer(2),
            random=reader.take(32),
            session_id=reader.vector(1, 0, 32),
            cipher_suite=reader.integer(2),
            compression=reader.integer(1),
            # TLS 1.2 permits a ServerHello without the extensions block.
            extensions=dict(pull_extensions(b"" if reader.empty else reader.vector(2))),
        )
        reader.finish()
        return hello

    @property
    def is_hello_retry_request(self) -> bool:
        """Whether the server asks for a second ClientHello."""
        return self.random == RETRY_RANDOM

    @property
    def selected_version(self) -> int:
        """0x0304 for TLS 1.3; ``legacy_version`` where supported_versions is absent; raises ``DecodeError``."""
        body = self.extensions.get(codes.SUPPORTED_VERSIONS)
        return self.legacy_version if body is None else _one_code(body)

    @property
    def resumed(self) -> bool:
        """Whether the server accepted a pre-shared key."""
        return codes.PRE_SHARED_KEY in self.extensions

    @property
    def key_share(self) -> tuple[int, bytes] | None:
        """A ServerHello's group and public key; raises ``DecodeError`` when malformed."""
        body = self.extensions.get(codes.KEY_SHARE)
        if body is None:
            return None
        reader = Reader(body)
        share = reader.integer(2), reader.vector(2, 1)
        reader.finish()
        return share

    @property
    def retry_group(self) -> int | None:
        """The group that a HelloRetryRequest asks for; raises ``DecodeError`` when malformed."""
        body = self.extensions.get(codes.KEY_SHARE)
        return None if body is None else _one_code(body)


def _one_code(body: bytes) -> int:
    reader = Reader(body)
    value = reader.integer(2)
    reader.finish()
    return value


def truncated_before_binders(message: bytes) -> bytes:
    """A ClientHello message up to its PSK binders list (RFC 8446 §4.2.11.2); the whole message without one.

    Raises ``DecodeError`` when the message is malformed or pre_shared_key is not its last extension.
    """
    hello = ClientHello.parse(message)
    body = hello.extension(codes.PRE_SHARED_KEY)
    if body is None:
        return message
    if hello.extensions[-1][0] != codes.PRE_SHARED_KEY:
        raise DecodeError("pre_shared_key is not the last extension")
    reader = Reader(body)
    reader.vector(2, 7)
    binders = reader.vector(2, 33)
    reader.finish()
    return message[: len(message) - 2 - len(binders)]
