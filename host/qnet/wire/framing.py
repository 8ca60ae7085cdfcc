"""Native-messaging frames: a 32-bit length in native byte order, then that many bytes of JSON.

The same framing runs over the browser's stdio and over the helper's control socket.
Limits: host to browser 1 MiB (both browsers end the port beyond it); we accept the same from a browser.
"""

import sys

from qnet.wire.errors import RemoteError

LIMIT = 1 << 20
"""Largest body in bytes, in either direction."""


class FrameTooLargeError(RemoteError):
    """The frame announces more than 1 MiB."""


def encode_frame(body: bytes) -> bytes:
    """One frame; raises ``FrameTooLargeError`` where the browser would drop the port."""
    if len(body) > LIMIT:
        raise FrameTooLargeError(f"a frame of {len(body)} bytes")
    return len(body).to_bytes(4, sys.byteorder) + body


class FrameReader:
    """Cuts a byte stream into frame bodies; holds at most one incomplete frame."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def empty(self) -> bool:
        """Whether the stream may end here without losing a part of a frame."""
        return not self._buffer

    def receive(self, data: bytes) -> list[bytes]:
        """The bodies completed by ``data``; raises ``FrameTooLargeError`` as soon as a length says so."""
        self._buffer += data
        bodies = []
        start = 0
        while len(self._buffer) - start >= 4:
            length = int.from_bytes(self._buffer[start : start + 4], sys.byteorder)
            if length > self._limit:
                raise FrameTooLargeError(f"a frame of {length} bytes")
            if len(self._buffer) - start - 4 < length:
                break
            bodies.append(bytes(self._buffer[start + 4 : start + 4 + length]))
            start += 4 + length
        del self._buffer[:start]
        return bodies
