"""Reading and writing the fields of TLS messages: big-endian integers and length-prefixed vectors (RFC 8446 §3)."""

from qnet.wire.tls.errors import DecodeError, IllegalParameterError, UnexpectedMessageError

MESSAGE_LIMIT = 128 * 1024
"""Largest handshake message body in bytes that is buffered."""


class Reader:
    """Takes fields from the front of ``data``; raises ``DecodeError`` where there is not enough."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def empty(self) -> bool:
        """Whether everything has been read."""
        return self._position == len(self._data)

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        end = self._position + length
        if end > len(self._data):
            raise DecodeError(f"{len(self._data) - self._position} bytes where {length} are announced")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def integer(self, size: int) -> int:
        """The next big-endian integer of ``size`` bytes."""
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int, minimum: int = 0, maximum: int | None = None) -> bytes:
        """The next vector with a length of ``size`` bytes; its body has ``minimum`` … ``maximum`` bytes."""
        body = self.take(self.integer(size))
        if len(body) < minimum or (maximum is not None and len(body) > maximum):
            raise DecodeError(f"a vector of {len(body)} bytes")
        return body

    def finish(self) -> None:
        """Raises ``DecodeError`` when bytes are left over."""
        if not self.empty:
            raise DecodeError(f"{len(self._data) - self._position} bytes too many")


def u16(value: int) -> bytes:
    """A 16-bit field."""
    return value.to_bytes(2, "big")


def vector(size: int, body: bytes) -> bytes:
    """``body`` behind its length of ``size`` bytes."""
    return len(body).to_bytes(size, "big") + body


def u16_list(body: bytes) -> list[int]:
    """A vector's body as 16-bit integers; raises ``DecodeError`` on an odd length."""
    if len(body) % 2:
        raise DecodeError("an odd number of bytes in a list of 16-bit values")
    return [int.from_bytes(body[i : i + 2], "big") for i in range(0, len(body), 2)]


def push_u16_list(values: list[int]) -> bytes:
    """The body of a vector of 16-bit integers."""
    return b"".join(map(u16, values))


def pull_extensions(body: bytes) -> list[tuple[int, bytes]]:
    """The body of an extensions block, in order; raises ``IllegalParameterError`` on a duplicate."""
    reader = Reader(body)
    extensions = []
    while not reader.empty:
        extensions.append((reader.integer(2), reader.vector(2)))
    if len({kind for kind, _ in extensions}) != len(extensions):
        raise IllegalParameterError("the same extension twice")
    return extensions


def push_extensions(extensions: list[tuple[int, bytes]]) -> bytes:
    """The body of an extensions block."""
    return b"".join(u16(kind) + vector(2, body) for kind, body in extensions)


def handshake_message(kind: int, body: bytes) -> bytes:
    """A handshake message: type, 24-bit length, body."""
    return bytes([kind]) + vector(3, body)


def message_body(message: bytes, kind: int) -> Reader:
    """A reader over the body of one whole message of type ``kind``; raises ``DecodeError`` otherwise."""
    reader = Reader(message)
    if reader.integer(1) != kind:
        raise DecodeError(f"a handshake message of type {message[0]} where {kind} is expected")
    body = reader.vector(3)
    reader.finish()
    return Reader(body)


class MessageBuffer:
    """Joins record fragments into handshake messages; holds at most one incomplete message."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def empty(self) -> bool:
        """Whether keys may change here: no message has begun."""
        return not self._buffer

    def feed(self, fragment: bytes) -> None:
        """Add a record's content; raises ``UnexpectedMessageError`` on an empty one (RFC 8446 §5.1)."""
        if not fragment:
            raise UnexpectedMessageError("an empty handshake record")
        self._buffer += fragment

    def next(self) -> bytes | None:
        """The next whole message with its header; raises ``IllegalParameterError`` as soon as one is too long."""
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[1:4], "big")
        if length > MESSAGE_LIMIT:
            raise IllegalParameterError(f"a handshake message of {length} bytes")
        if len(self._buffer) < 4 + length:
            return None
        message = bytes(self._buffer[: 4 + length])
        del self._buffer[: 4 + length]
        return message
