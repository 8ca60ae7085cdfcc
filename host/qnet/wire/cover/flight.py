"""The decoy's flight as a peer passes it on: as it comes, but for the mark in its first encrypted record."""

import hashlib
from typing import Protocol

from qnet.wire.cover.auth import MARK_SIZE

_CCS, _HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_HEADER = 5


class FlightOwner(Protocol):
    """Who knows the mark."""

    def mark_for(self, server_hello: bytes) -> bytes | None:
        """The mark after ``server_hello`` (a message), or None when this handshake cannot be ours."""

    def refuse(self) -> None:
        """The decoy's flight is not one that can be marked."""


class Flight:
    """The decoy's flight up to its first encrypted record: passed on as it comes, all but that record's last bytes."""

    def __init__(self, owner: FlightOwner) -> None:
        self._owner = owner
        self._buffer = bytearray()
        self._passed = 0
        self._mark = b""
        self._hash = hashlib.sha256()
        self.complete = False

    def digest(self) -> bytes:
        """SHA-256 of P→."""
        return self._hash.digest()

    def receive(self, data: bytes) -> bytes:
        """What may pass now, marked where it must be."""
        self._buffer += data
        out = bytearray()
        while not self.complete and len(self._buffer) >= _HEADER:
            length = _HEADER + int.from_bytes(self._buffer[3:5], "big")
            encrypted = self._buffer[0] == _APPLICATION_DATA and bool(self._mark) and length > _HEADER + MARK_SIZE
            limit = length - MARK_SIZE if encrypted else length
            out += self._pass_up_to(min(limit, len(self._buffer)))
            if len(self._buffer) < length:
                break
            message = bytes(self._buffer[:length])
            if encrypted:
                self._hash.update(message)
                tail = message[-MARK_SIZE:]
                out += bytes(a ^ b for a, b in zip(tail, self._mark, strict=True))
                self._passed, self.complete = length, True
            elif not self._read(message):
                self.complete = True
                self._owner.refuse()
            else:
                del self._buffer[:length]
                self._passed = 0
        if self.complete:
            out += self.release()
        elif len(self._buffer) < _HEADER:
            out += self._pass_up_to(len(self._buffer))
        return bytes(out)

    def release(self) -> bytes:
        """Everything not passed yet, as it is."""
        rest = bytes(self._buffer[self._passed :])
        self._buffer.clear()
        self._passed = 0
        self.complete = True
        return rest

    def _pass_up_to(self, end: int) -> bytes:
        start, self._passed = self._passed, max(self._passed, end)
        return bytes(self._buffer[start : self._passed])

    def _read(self, data: bytes) -> bool:
        """A plaintext record: ServerHello, HelloRetryRequest or CCS; False for whatever cannot be marked."""
        self._hash.update(data)
        if data[0] == _CCS:
            return True
        if data[0] != _HANDSHAKE:
            return False
        mark = self._owner.mark_for(data[_HEADER:])
        if mark is None:
            return False
        self._mark = mark
        return True
