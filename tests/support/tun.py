"""A small internet of network namespaces with true end-to-end TCP: delay, rate and queue between every two places.

Each place is a network namespace with one address, on a TUN device whose other end a router process of ours holds.
The router passes packets on as a link of that kind would: one after the other at its rate, tail drop when its queue is
full, and then the delay. Needs root and ``/dev/net/tun``; ``available()`` tells.
"""

import fcntl
import heapq
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

DEVICE = Path("/dev/net/tun")
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_BURST = 32
"""Packets read from one device before the others have their turn."""
_SALT = os.urandom(8)
_CONNECTIONS = 4096


@dataclass(frozen=True, slots=True)
class Wire:
    """One direction of a link. ``delay``: seconds one way; ``rate``: bytes a second, 0 for no limit.

    ``queue``: bytes that may wait. ``spread``: further seconds at most, the same for all packets of one connection;
    ``jitter``: further seconds at most, for each packet anew, which keep a connection's packets in order.
    """

    delay: float = 0.0
    rate: float = 0.0
    queue: int = 1 << 20
    spread: float = 0.0
    jitter: float = 0.0


@dataclass(slots=True)
class _Line:
    """A wire in use: when it is free again, and what happened on it."""

    wire: Wire
    free_at: float = 0.0
    packets: int = 0
    octets: int = 0
    drops: int = 0
    waits: list[float] = field(default_factory=list)
    latest: dict[bytes, float] = field(default_factory=dict)
    """When the last packet of each connection arrives."""

    def due(self, packet: bytes, now: float) -> float | None:
        """When a packet that came ``now`` arrives; ``None`` if it is dropped."""
        size = len(packet)
        self.packets += 1
        rate = self.wire.rate
        wait = max(0.0, self.free_at - now)
        if rate:
            if wait * rate + size > self.wire.queue:
                self.drops += 1
                return None
            self.free_at = now + wait + size / rate
            self.waits.append(wait)
        self.octets += size
        due = now + wait + (size / rate if rate else 0.0) + self.wire.delay
        return due if not self.wire.spread and not self.wire.jitter else self._unsteady(packet, due)

    def _unsteady(self, packet: bytes, due: float) -> float:
        """The same on a way that is longer for some connections, and not the same for every packet."""
        start = (packet[0] & 15) * 4
        ends = sorted((packet[12:16] + packet[start : start + 2], packet[16:20] + packet[start + 2 : start + 4]))
        connection = b"".join(ends)
        share = zlib.crc32(connection + _SALT) / (1 << 32)
        due += self.wire.spread * share + self.wire.jitter * random.random()
        due = self.latest[connection] = max(due, self.latest.get(connection, 0.0))
        if len(self.latest) > _CONNECTIONS:
            del self.latest[next(iter(self.latest))]
        return due


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one direction carried. ``waits``: seconds that its packets queued, in order."""

    packets: int
    octets: int
    drops: int
    waits: list[float]

    def wait(self, share: float) -> float:
        """The queueing that ``share`` of the packets did not exceed, in seconds."""
        ordered = sorted(self.waits) or [0.0]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass(slots=True)
class Internet:
    """``addresses``: by place."""

    addresses: Mapping[str, str]
    _names: dict[str, str]
    _router: subprocess.Popen[str]

    @property
    def router(self) -> int:
        """The id of the process that carries the packets."""
        return self._router.pid

    def inside(self, place: str) -> list[str]:
        """What to put before a command that shall run at ``place``."""
        return ["ip", "netns", "exec", self._names[place]]

    def traffic(self) -> dict[tuple[str, str], Traffic]:
        """What every direction carried since the last call."""
        assert self._router.stdin is not None and self._router.stdout is not None
        self._router.stdin.write("\n")
        self._router.stdin.flush()
        rows = json.loads(self._router.stdout.readline())
        return {(row.pop("source"), row.pop("target")): Traffic(**row) for row in rows}


def available() -> bool:
    """Whether this machine lets us."""
    return os.geteuid() == 0 and DEVICE.exists()


@contextmanager
def internet(
    addresses: Mapping[str, str], wires: Mapping[tuple[str, str], Wire], default: Wire = Wire()
) -> Iterator[Internet]:
    """Namespaces for the places in ``addresses``; ``wires`` by (place, place) hold both ways.

    Whoever runs in them must have ended before the block does.
    """
    mark = f"qn{os.getpid() % 100_000}"
    names = {place: f"{mark}-{place}" for place in addresses}
    devices = {place: f"{mark}x{number}" for number, place in enumerate(addresses)}
    plan = {
        "devices": [[devices[place], place, address] for place, address in addresses.items()],
        "wires": [[*places, asdict(wire)] for pair, wire in wires.items() for places in (pair, pair[::-1])],
        "default": asdict(default),
    }
    router = subprocess.Popen(
        [sys.executable, __file__, json.dumps(plan)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    made = []
    try:
        assert router.stdout is not None
        if router.stdout.readline() != "ready\n":
            raise RuntimeError("the router did not start")
        for place, address in addresses.items():
            name, device = names[place], devices[place]
            _ip("netns", "add", name)
            made.append(name)
            _ip("link", "set", "dev", device, "netns", name)
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{address}/32", "dev", device)
            _ip("-n", name, "link", "set", device, "up", "txqueuelen", "10000")
            _ip("-n", name, "route", "add", "default", "dev", device)
        yield Internet(addresses, names, router)
    finally:
        router.send_signal(signal.SIGTERM)
        router.communicate()
        for name in made:
            _ip("netns", "delete", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


# --- the router, a process of its own


def _open(device: str) -> int:
    handle = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TUN_NO_PI))
    return handle


class _Router:
    def __init__(self, plan: dict) -> None:
        self._places = {_open(device): place for device, place, _ in plan["devices"]}
        handles = {place: handle for handle, place in self._places.items()}
        self._targets = {socket.inet_aton(address): handles[place] for _, place, address in plan["devices"]}
        wires = {(source, target): Wire(**wire) for source, target, wire in plan["wires"]}
        default = Wire(**plan["default"])
        self._lines = {
            (source, target): _Line(wires.get((self._places[source], self._places[target]), default))
            for source in self._places
            for target in self._places
        }
        self._due: list[tuple[float, int, int, bytes]] = []
        self._count = 0

    def run(self) -> None:
        """Until standard input ends."""
        print("ready", flush=True)
        handles = [0, *self._places]
        while True:
            timeout = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            # Not epoll: its time-outs are whole milliseconds.
            for handle in select.select(handles, [], [], timeout)[0]:
                if handle:
                    self._take(handle)
                elif not sys.stdin.readline():
                    return
                else:
                    self._report()
            self._deliver()

    def _take(self, source: int) -> None:
        for _ in range(_BURST):
            try:
                packet = os.read(source, 65536)
            except (BlockingIOError, OSError):  # nothing there, or the device is not up yet
                return
            target = self._targets.get(packet[16:20])
            if target is None or packet[0] >> 4 != 4:
                continue
            due = self._lines[source, target].due(packet, time.monotonic())
            if due is not None:
                self._count += 1
                heapq.heappush(self._due, (due, self._count, target, packet))

    def _deliver(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._due)
            try:
                os.write(target, packet)
            except OSError:
                continue  # its place is gone

    def _report(self) -> None:
        rows = []
        for (source, target), line in self._lines.items():
            if line.packets:
                row = {"packets": line.packets, "octets": line.octets, "drops": line.drops, "waits": line.waits}
                rows.append({"source": self._places[source], "target": self._places[target], **row})
                line.packets = line.octets = line.drops = 0
                line.waits = []
        print(json.dumps(rows), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _Router(json.loads(sys.argv[1])).run()
