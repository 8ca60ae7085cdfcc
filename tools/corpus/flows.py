"""What an observer keeps of a TCP connection: packets with payload, and the TLS records in them, with their times."""

import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

KEPT = 160
"""Packets and records kept of each connection; classifiers look at fewer."""
_HEADER = 5


@dataclass(slots=True)
class Flow:
    """``packets``: (seconds, ±payload bytes); ``records``: (seconds, ±body bytes, type); + leaves the client.

    Seconds count from the connection's first packet with payload. A record's time is that of its last byte. ``up`` and
    ``octets``: bytes of the client and of both; ``lasted``: seconds to the last packet seen.
    """

    server: str
    started: float
    name: str = ""
    octets: int = 0
    up: int = 0
    lasted: float = 0.0
    packets: list[tuple[float, int]] = field(default_factory=list)
    records: list[tuple[float, int, int]] = field(default_factory=list)

    def row(self) -> dict[str, object]:
        return asdict(self)


class _Direction:
    """Reads the records of one direction, in order; what comes early waits."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._next: int | None = None
        self._early: dict[int, bytes] = {}
        self._head = b""
        self._left = 0
        self._size = self._kind = 0
        self._first = bytearray()
        self.broken = False

    def receive(self, sequence: int, data: bytes, at: float, flow: Flow) -> None:
        if self._next is None:
            self._next = sequence
        self._early[sequence] = data
        while self._early:
            start = min(self._early, key=lambda each: (each - self._next) % (1 << 32) if each != self._next else -1)
            behind = (self._next - start) % (1 << 32)
            if behind >= 1 << 31:
                return  # a gap
            piece = self._early.pop(start)[behind:]
            self._next = (self._next + len(piece)) % (1 << 32)
            if not self.broken:
                self._read(piece, at, flow)

    def _read(self, data: bytes, at: float, flow: Flow) -> None:
        while data:
            if not self._left:
                need = _HEADER - len(self._head)
                self._head, data = self._head + data[:need], data[need:]
                if len(self._head) < _HEADER:
                    return
                kind, version, length = self._head[0], self._head[1], int.from_bytes(self._head[3:5], "big")
                if kind not in (20, 21, 22, 23) or version != 3 or not 0 < length <= 16640:
                    self.broken = True
                    return
                self._kind, self._size, self._left, self._head = kind, length, length, b""
            piece, data = data[: self._left], data[self._left :]
            self._left -= len(piece)
            if self._kind == 22 and self._sign > 0 and not flow.name:
                self._first += piece
            if not self._left:
                if self._first and not flow.name:
                    flow.name = _server_name(bytes(self._first))
                if len(flow.records) < KEPT:
                    flow.records.append((at, self._sign * self._size, self._kind))


class Flows:
    """Connections of one host, from its raw IPv4 packets."""

    def __init__(self, host: str) -> None:
        self._host = socket.inet_aton(host)
        self._flows: dict[bytes, tuple[Flow, _Direction, _Direction]] = {}

    def packet(self, packet: bytes, at: float) -> None:
        """One IP packet seen ``at`` (seconds)."""
        if packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
            return
        start = (packet[0] & 15) * 4
        payload = packet[start + (packet[start + 12] >> 4) * 4 : int.from_bytes(packet[2:4], "big")]
        if not payload:
            return
        source, target = packet[12:16] + packet[start : start + 2], packet[16:20] + packet[start + 2 : start + 4]
        out = packet[12:16] == self._host
        key = source + target if out else target + source
        known = self._flows.get(key)
        if known is None:
            if not out:
                return
            address = f"{socket.inet_ntoa(target[:4])}:{int.from_bytes(target[4:], 'big')}"
            known = self._flows[key] = Flow(address, at), _Direction(1), _Direction(-1)
        flow, up, down = known
        flow.octets += len(payload)
        flow.up += len(payload) if out else 0
        elapsed = flow.lasted = round(at - flow.started, 6)
        if len(flow.packets) < KEPT:
            flow.packets.append((elapsed, len(payload) if out else -len(payload)))
        if len(flow.records) < KEPT:
            sequence = int.from_bytes(packet[start + 4 : start + 8], "big")
            (up if out else down).receive(sequence, payload, elapsed, flow)

    def take(self) -> Iterable[Flow]:
        """The connections since the last call."""
        flows, self._flows = [flow for flow, _, _ in self._flows.values()], {}
        return flows


def _server_name(message: bytes) -> str:
    from qnet.wire.errors import RemoteError
    from qnet.wire.tls.hello import ClientHello

    try:
        return ClientHello.parse(message).server_name() or "none"
    except RemoteError:
        return "none"
