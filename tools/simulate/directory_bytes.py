"""What the directory costs: bytes a client fetches, bytes an operator sends, by the size of the network."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import ASGIApp, Message

from qnet.mesh.directory import HEARTBEAT_SECONDS
from qnet.mesh.rate import RateLimit
from qnet.roles.directory import DirectoryService
from qnet.roles.directory_store import MemoryStore
from qnet.wire import heartbeat as heartbeats
from qnet.wire.heartbeat import Heartbeat
from tools.simulate.population import NOW, directory, relays

REFRESH = 30.0
"""Seconds between two queries of a client that is connected."""

CHURN = 0.01
"""Share of the relays that come, and that go, in an hour."""

CLIENTS_PER_RELAY = 50
OPERATORS = 5
ASKED = 2
"""Directories that a client asks each time."""


@dataclass(frozen=True)
class Cost:
    """Bytes, by number of relays. ``operator``: bytes a second that one operator sends and receives."""

    relays: int
    first: int
    refresh: float
    operator: float


def costs(sizes: Sequence[int], rng: random.Random) -> list[Cost]:
    """The real service's answers, compressed as they are sent."""
    return [asyncio.run(_cost(size, rng)) for size in sizes]


async def _cost(size: int, rng: random.Random) -> Cost:
    known = list(relays(size, rng, signed=True))
    listed = directory(known)
    clock = [NOW]
    unlimited = RateLimit(1e12, 1e12)
    service = DirectoryService(
        listed, MemoryStore(None), clock=lambda: clock[0], registrations=unlimited, queries=unlimited
    )
    addresses = [f"{rng.randrange(1, 224)}.{rng.randrange(256)}.0.1" for _ in range(20)]
    first, refreshes = [], []
    tags = {}
    for address in addresses:
        size_of, tags[address] = await _ask(service.app, address, "")
        first.append(size_of)
    # Half a minute later some relays are gone.
    for relay in rng.sample(known, max(1, round(size * CHURN * REFRESH / 3600))):
        listed.entries[relay.descriptor.peer_id].seen = NOW - 3600
    clock[0] = NOW + 1
    listed.prune(clock[0])
    for address in addresses:
        size_of, _ = await _ask(service.app, address, tags[address])
        refreshes.append(size_of)
    refresh = sum(refreshes) / len(refreshes) + _REQUEST
    queries = size * CLIENTS_PER_RELAY / REFRESH * ASKED / OPERATORS
    beats = _heartbeat_size() * size / HEARTBEAT_SECONDS
    return Cost(size, round(sum(first) / len(first)), refresh, beats + queries * refresh)


_REQUEST = 150.0
"""Bytes of a query's own line and headers."""


def _heartbeat_size() -> int:
    key = Ed25519PrivateKey.generate()
    beat = Heartbeat(bytes(32), 1 << 20, int(NOW), 500)
    return len(heartbeats.sign(beat, key)) * 4 // 3 + 300  # base64 in JSON, and HTTP's headers both ways


async def _ask(app: ASGIApp, client: str, since: str) -> tuple[int, str]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/relays/by-country",
        "query_string": f"since={since}".encode() if since else b"",
        "headers": [(b"host", b"directory.qnet"), (b"accept-encoding", b"gzip")],
        "client": (client, 1),
        "server": ("directory.qnet", 80),
        "scheme": "http",
    }
    await app(scope, receive, send)
    body = sum(len(message.get("body", b"")) for message in sent[1:])
    headers = dict(sent[0]["headers"])
    return body + sum(len(name) + len(value) + 4 for name, value in headers.items()), headers.get(b"etag", b"").decode()
