"""One TCP connection in which everything is written down: the view of whoever stands on the way."""

import socket
import time
from collections.abc import Callable
from typing import TypeVar

from qnet.wire.steps import Done, Handshake, Receive, Send

T = TypeVar("T")
HEADER = 5
SECONDS = 10.0


class EndedError(Exception):
    """The other side has closed."""


class Talk:
    """``up``, ``down``: all bytes each way; ``began``: when connecting began (``perf_counter``)."""

    def __init__(self, port: int) -> None:
        self.began = time.perf_counter()
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.up, self.down = bytearray(), bytearray()
        self.writes: list[bytes] = []

    def __enter__(self) -> "Talk":
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of ``data``, in one write."""
        self.writes.append(data)
        self.up += data
        self.socket.sendall(data)

    def receive(self, seconds: float = SECONDS) -> bytes:
        """What arrives next; raises ``EndedError``, ``TimeoutError`` or another ``OSError``."""
        self.socket.settimeout(seconds)
        data = self.socket.recv(1 << 16)
        if not data:
            raise EndedError
        self.down += data
        return data

    def gather(self, quiet: float = 0.2) -> None:
        """Read until nothing has come for ``quiet`` seconds, or the end."""
        try:
            while True:
                self.receive(quiet)
        except (EndedError, OSError):
            return

    def run(self, core: Handshake[T], enough: Callable[[bytes], bool] = lambda up: False) -> Done[T] | None:
        """Drive ``core`` to its end, or until what was written is ``enough``: then None. Raises what it raises."""
        data = b""
        while not enough(bytes(self.up)):
            match core.step(data):
                case Send(out):
                    self.send(out)
                    data = b""
                case Receive():
                    data = self.receive()
                case Done() as done:
                    return done
        return None


def records(data: bytes) -> list[tuple[int, int]]:
    """Type and body length of each whole record in ``data``."""
    found, at = [], 0
    while len(data) - at >= HEADER:
        length = int.from_bytes(data[at + 3 : at + HEADER], "big")
        if len(data) - at < HEADER + length:
            break
        found.append((data[at], length))
        at += HEADER + length
    return found


def bodies(data: bytes) -> list[bytes]:
    """The bodies of the whole records in ``data``."""
    found, at = [], 0
    for _, length in records(data):
        found.append(data[at + HEADER : at + HEADER + length])
        at += HEADER + length
    return found
