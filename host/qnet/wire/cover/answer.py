"""The decoy's own answer, when it is the decoy that we speak with: what it owes us is the time.

Frame (RFC 9113 §4.1): length(3) type(1) flags(1) stream(4) payload. A header block is HPACK (RFC 7541) and may go on in
CONTINUATION frames. What a browser would answer, SETTINGS and PING, is answered.
"""

from email.utils import parsedate_to_datetime
from enum import IntEnum

from hpack import Decoder
from hpack.exceptions import HPACKError

from qnet.wire.errors import RemoteError

ANSWER_LIMIT = 1 << 16
"""Bytes of an answer that are read: less than the smallest window that a browser opens, which we never widen."""

FRAME_LIMIT = 1 << 14
BLOCK_LIMIT = 1 << 16
"""Bytes of a header block, and of what it becomes."""

_HEADER = 9
_END_STREAM = _ACK = 0x01
_END_HEADERS, _PADDED, _PRIORITY = 0x04, 0x08, 0x20


class Frame(IntEnum):
    """Frame types (RFC 9113 §6)."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class AnswerError(RemoteError):
    """No HTTP/2, or more of it than anybody needs."""


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Answer:
    """Session shape: ``receive`` gives what to send. ``done``: the answer to our one request has ended.

    ``date``: what its Date header says, in unix seconds; None while it says nothing. ``table_size``: what our SETTINGS
    allow for the header table, in bytes.
    """

    def __init__(self, table_size: int) -> None:
        self.done = False
        self.date: float | None = None
        self._decoder = Decoder(max_header_list_size=BLOCK_LIMIT)
        self._decoder.max_allowed_table_size = table_size
        self._buffer = bytearray()
        self._block = bytearray()
        self._continues = False
        self._ends = False
        self._read = 0

    def receive(self, data: bytes) -> bytes:
        """Take application data of the decoy; raises ``AnswerError``."""
        self._read += len(data)
        if self._read > ANSWER_LIMIT:
            raise AnswerError("a long answer")
        self._buffer += data
        said = b""
        while len(self._buffer) >= _HEADER and not self.done:
            length = int.from_bytes(self._buffer[:3], "big")
            if length > FRAME_LIMIT:
                raise AnswerError("a long frame")
            if len(self._buffer) < _HEADER + length:
                break
            kind, flags = self._buffer[3], self._buffer[4]
            payload = bytes(self._buffer[_HEADER : _HEADER + length])
            del self._buffer[: _HEADER + length]
            said += self._on_frame(kind, flags, payload)
        return said

    def _on_frame(self, kind: int, flags: int, payload: bytes) -> bytes:
        if self._continues != (kind == Frame.CONTINUATION):
            raise AnswerError("a header block that is broken off, or none that goes on")
        match kind:
            case Frame.SETTINGS | Frame.PING if not flags & _ACK:
                return frame(kind, _ACK, 0, payload if kind == Frame.PING else b"")
            case Frame.HEADERS:
                self._ends = bool(flags & _END_STREAM)
                self._on_block(flags, _without_padding(payload, flags))
            case Frame.CONTINUATION:
                self._on_block(flags, payload)
            case Frame.DATA:
                self.done = bool(flags & _END_STREAM)
            case Frame.RST_STREAM | Frame.GOAWAY:
                self.done = True
        return b""

    def _on_block(self, flags: int, block: bytes) -> None:
        self._block += block
        self._continues = not flags & _END_HEADERS
        if len(self._block) > BLOCK_LIMIT:
            raise AnswerError("a long header block")
        if self._continues:
            return
        try:
            headers = self._decoder.decode(bytes(self._block), raw=True)
        except HPACKError as error:
            raise AnswerError(f"a header block that is none: {error}") from None
        self._block.clear()
        self.done = self._ends
        for name, value in headers:
            if name == b"date":
                self.date = _read_date(value)


def _without_padding(payload: bytes, flags: int) -> bytes:
    padding = 0
    if flags & _PADDED:
        padding, payload = payload[0] if payload else 0, payload[1:]
    if flags & _PRIORITY:
        payload = payload[5:]
    if padding > len(payload):
        raise AnswerError("more padding than frame")
    return payload[: len(payload) - padding]


def _read_date(value: bytes) -> float | None:
    """An HTTP date (RFC 9110 §5.6.7) in unix seconds; None for what is none."""
    try:
        found = parsedate_to_datetime(value.decode("ascii"))
        return found.timestamp() if found.tzinfo is not None else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
