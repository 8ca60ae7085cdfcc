"""How TCP connections end: in order, in time, or with RST. Whoever relays bytes must not turn one into another.

An application takes FIN for "that was all", so a stream that was cut off must end with RST and nothing else.
"""

import asyncio
import os
import socket
import struct
from contextlib import suppress

from qnet.wire.channel import record

LINGER_SECONDS = 30.0
"""How long a connection that is closing may stand still with bytes that the other side does not take."""

UNREAD_LIMIT = 1 << 18

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_ALERT_BODY = 19
"""Bytes in the body of an encrypted TLS 1.3 alert: level, description, content type, tag."""


def reset(transport: asyncio.Transport) -> None:
    """End with RST; what was not sent yet is lost."""
    raw = transport.get_extra_info("socket")
    with suppress(OSError):  # it is gone already
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


def end_output(transport: asyncio.Transport) -> None:
    """Send FIN after everything written."""
    try:
        transport.write_eof()
    except OSError:
        # The other side has reset the connection, and nobody was reading it to notice.
        transport.abort()


def close(transport: asyncio.Transport) -> None:
    """Close once everything written has left, or when for ``LINGER_SECONDS`` none of it has."""
    transport.close()
    _linger(transport)


def _linger(transport: asyncio.Transport) -> None:
    waiting = transport.get_write_buffer_size()
    if waiting:
        asyncio.get_running_loop().call_later(LINGER_SECONDS, _check, transport, waiting)


def _check(transport: asyncio.Transport, before: int) -> None:
    if transport.get_write_buffer_size() == before:
        reset(transport)
    else:
        _linger(transport)


def was_reset(transport: asyncio.Transport) -> bool:
    """Whether a RST has come that nobody has noticed yet."""
    try:
        return bool(transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
    except OSError:
        return True


def unread(transport: asyncio.Transport) -> bytes:
    """What the system still holds of a connection that was reset, at most ``UNREAD_LIMIT`` bytes."""
    found = bytearray()
    with suppress(OSError), socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as raw:
        raw.setblocking(False)  # as the system has it already; Python takes a new object for a blocking one
        while len(found) < UNREAD_LIMIT and (data := raw.recv(UNREAD_LIMIT - len(found))):
            found += data
    return bytes(found)


def alert_record() -> bytes:
    """What is seen of a TLS endpoint that refuses a record: an encrypted alert, of which only the size shows."""
    return record(os.urandom(_ALERT_BODY))
