"""Frames: what the records of a link say.

A record's plaintext is a row of frames:

- type 0 PADDING: the rest of the plaintext is ignored;
- type 1 FORWARD: ``type(1) ‖ circuit(2) ‖ record body`` up to the end of the plaintext;
- every other: ``type(1) ‖ circuit(2) ‖ length(2) ‖ body(length)``.

Stream frames live between a client and its exit; their body starts with ``stream(4)``:

| frame | body after the stream | direction |
|---|---|---|
| OPEN | port(2) ‖ host (ASCII or UTF-8, 1…255 bytes) | client → exit |
| OPENED | – | exit → client |
| DATA | 1…16376 bytes | both |
| FIN | – : no more DATA from this side | both |
| RESET | code(1): the stream is gone, both ways | both |
| WINDOW | credit(4): this many more bytes may be sent | both |

Link frames: PING and PONG carry 8 … 64 bytes that come back; SETTINGS a CBOR map; REKEY none (this was the last record
under the old key). Circuit frames: EXTEND carries the next peer's signed descriptor, EXTENDED two digests of 32 bytes,
CREDIT a credit(4): this many more bytes of records may be forwarded; CLOSE a code(1): the circuit is gone. TRUNCATE is
not understood by this version. RESERVE carries a signed statement, RESERVED code(1) ‖ seconds(4), TAKEN and READY
nothing: see ``reservation``. PIECE carries a fragment of a row of plaintexts, VISIT the seed(10) of a script: see
``shaping``.

GOODBYE is a link's last frame: zeros, as many as give its record the size of what a web server or browser says at the
end (HTTP/2's GOAWAY).
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from qnet.wire.channel import MAX_PLAINTEXT, TAG
from qnet.wire.errors import RemoteError


class Frame(IntEnum):
    """Frame types."""

    PADDING = 0
    FORWARD = 1
    EXTEND = 2
    EXTENDED = 3
    TRUNCATE = 4
    CREDIT = 5
    PING = 6
    PONG = 7
    CLOSE = 8
    REKEY = 9
    SETTINGS = 10
    RESERVE = 11
    RESERVED = 12
    TAKEN = 13
    READY = 14
    PIECE = 15
    OPEN = 16
    OPENED = 17
    DATA = 18
    FIN = 19
    RESET = 20
    WINDOW = 21
    VISIT = 22
    GOODBYE = 23


class Reset(IntEnum):
    """Why a stream ended before its time."""

    CLOSED = 0
    REFUSED = 1
    UNREACHABLE = 2
    NAME_NOT_FOUND = 3
    TIMEOUT = 4
    POLICY = 5
    LIMIT = 6
    INTERNAL = 7
    PROTOCOL = 8
    LINK_LOST = 9


class FrameError(RemoteError):
    """The record opened, but what it says breaks the protocol: the link is closed."""


DATA = int(Frame.DATA)
"""A plain number: to ask an enumeration takes as long as to pack a header, and bulk data has one in each record."""

HEADER = struct.Struct(">BHH")
FORWARD_HEADER = struct.Struct(">BH")
STREAM_HEADER = struct.Struct(">BHHI")
_stream = struct.Struct(">I")
_window = struct.Struct(">II")
_credit = struct.Struct(">I")
_open = struct.Struct(">IH")
_reset = struct.Struct(">IB")
_reserved = struct.Struct(">BI")
_resets = {reset.value: reset for reset in Reset}

LEAST_GOODBYE = HEADER.size + TAG
"""Bytes of the smallest record body that holds a GOODBYE."""
MAX_DATA = MAX_PLAINTEXT - STREAM_HEADER.size
STREAM_ID = 4
MAX_WINDOW = 1 << 24
DIGEST = 32


def frame(kind: Frame, circuit: int, body: bytes = b"") -> bytes:
    """One frame of the general layout."""
    return HEADER.pack(kind, circuit, len(body)) + body


def open_frame(circuit: int, stream: int, host: str, port: int) -> bytes:
    return frame(Frame.OPEN, circuit, _open.pack(stream, port) + host.encode())


def stream_frame(kind: Frame, circuit: int, stream: int) -> bytes:
    """OPENED or FIN."""
    return frame(kind, circuit, _stream.pack(stream))


def reset_frame(circuit: int, stream: int, code: Reset) -> bytes:
    return frame(Frame.RESET, circuit, _reset.pack(stream, code))


def window_frame(circuit: int, stream: int, credit: int) -> bytes:
    return frame(Frame.WINDOW, circuit, _window.pack(stream, credit))


def credit_frame(circuit: int, credit: int) -> bytes:
    return frame(Frame.CREDIT, circuit, _credit.pack(credit))


def close_frame(circuit: int, code: Reset) -> bytes:
    return frame(Frame.CLOSE, circuit, bytes([code]))


def reserved_frame(code: Reset, seconds: int) -> bytes:
    return frame(Frame.RESERVED, 0, _reserved.pack(code, seconds))


def pack(pending: bytearray, limit: int) -> list[bytes]:
    """Cut a row of frames into plaintexts of at most ``limit`` bytes, each with whole frames only."""
    plaintexts = []
    start = position = 0
    while position < len(pending):
        after = position + HEADER.size + HEADER.unpack_from(pending, position)[2]
        if after - start > limit:
            plaintexts.append(bytes(pending[start:position]))
            start = position
        position = after
    plaintexts.append(bytes(pending[start:position]))
    return plaintexts


@dataclass(frozen=True, slots=True)
class OpenBody:
    """The body of an OPEN."""

    stream: int
    host: str
    port: int


def _exactly(layout: struct.Struct, body: memoryview) -> tuple[int, ...]:
    if len(body) != layout.size:
        raise FrameError("frame size")
    return layout.unpack(body)


def parse_open(body: memoryview) -> OpenBody:
    """Raises ``FrameError``."""
    if not _open.size < len(body) <= _open.size + 255:
        raise FrameError("OPEN size")
    stream, port = _open.unpack_from(body)
    try:
        host = str(body[_open.size :], "utf-8")
    except UnicodeDecodeError:
        raise FrameError("OPEN host") from None
    if not stream or not port:
        raise FrameError("OPEN stream or port")
    return OpenBody(stream, host, port)


def parse_stream(body: memoryview) -> int:
    return _exactly(_stream, body)[0]


def parse_reset(body: memoryview) -> tuple[int, Reset]:
    """Codes of a later version read as INTERNAL."""
    stream, code = _exactly(_reset, body)
    return stream, _resets.get(code, Reset.INTERNAL)


def parse_code(body: memoryview) -> Reset:
    """The code of a CLOSE."""
    if len(body) != 1:
        raise FrameError("CLOSE size")
    return _resets.get(body[0], Reset.INTERNAL)


def parse_reserved(body: memoryview) -> tuple[Reset, int]:
    """The code, CLOSED if it is granted, and for how many seconds."""
    code, seconds = _exactly(_reserved, body)
    return _resets.get(code, Reset.INTERNAL), seconds


def parse_credit(body: memoryview) -> int:
    return _exactly(_credit, body)[0]


def parse_window(body: memoryview) -> tuple[int, int]:
    stream, credit = _exactly(_window, body)
    return stream, credit
