"""An observer on the wire: a tap between a client and a peer that writes down what anybody on the way could.

It forwards bytes unchanged and reads them as a censor's box would: TLS records, the ClientHello's name and JA4.
"""

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from qnet.wire.errors import RemoteError
from qnet.wire.tls.hello import ClientHello
from qnet.wire.tls.ja4 import ja4

TYPES = {20: "ChangeCipherSpec", 21: "Alert", 22: "Handshake", 23: "ApplicationData"}


@dataclass(slots=True)
class Flow:
    """One connection. ``records``: (direction, type, body bytes) in order of appearance."""

    started: float = field(default_factory=time.monotonic)
    hello: ClientHello | None = None
    records: list[tuple[str, int, int]] = field(default_factory=list)
    not_tls: int = 0
    bytes: int = 0

    @property
    def ja4(self) -> str:
        return ja4(self.hello) if self.hello else "none"

    @property
    def server_name(self) -> str:
        return (self.hello.server_name() if self.hello else None) or "none"


class Observer:
    """Listens on a port of its own and forwards to ``target`` on loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.flows: list[Flow] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            flow = Flow()
            self.flows.append(flow)
            for source, sink, direction in ((client, server, "→"), (server, client, "←")):
                reader = _Records(flow, direction)
                threading.Thread(target=_pump, args=(source, sink, reader.receive), daemon=True).start()


class _Records:
    def __init__(self, flow: Flow, direction: str) -> None:
        self._flow = flow
        self._direction = direction
        self._buffer = b""

    def receive(self, data: bytes) -> None:
        self._buffer += data
        self._flow.bytes += len(data)
        while len(self._buffer) >= 5:
            kind, length = self._buffer[0], int.from_bytes(self._buffer[3:5], "big")
            if kind not in TYPES or self._buffer[1] != 3 or length > 16640:
                self._flow.not_tls += 1
                self._buffer = b""
                return
            if len(self._buffer) < 5 + length:
                return
            body, self._buffer = self._buffer[5 : 5 + length], self._buffer[5 + length :]
            self._flow.records.append((self._direction, kind, length))
            if kind == 22 and self._direction == "→" and self._flow.hello is None:
                try:
                    self._flow.hello = ClientHello.parse(body)
                except RemoteError:
                    self._flow.not_tls += 1


def _pump(source: socket.socket, sink: socket.socket, note: Callable[[bytes], None]) -> None:
    try:
        while data := source.recv(65536):
            note(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            end.close()
