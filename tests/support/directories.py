"""Peers, operators and directories for tests, with a clock of their own."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.types import ASGIApp

from qnet.mesh.directory import Directory, Policy
from qnet.net.listen import bind
from qnet.roles.status import StatusServer
from qnet.wire import descriptor, endorsement, heartbeat
from qnet.wire.descriptor import Descriptor, peer_id
from qnet.wire.endorsement import Endorsement
from qnet.wire.heartbeat import Heartbeat

NOW = 1_800_000_000
DAY = 86400
SECRET = bytes(range(32))


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


@dataclass
class Peer:
    """A relay that signs; ``changes`` are fields of its descriptor."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    country: str = "US"
    roles: tuple[str, ...] = ("entry", "relay")
    address: str = "192.0.2.1:443"
    seq: int = 0

    @property
    def id(self) -> bytes:
        return peer_id(public(self.key))

    def descriptor(self, now: float = NOW, **changes: Any) -> bytes:
        fields = {
            "identity": public(self.key),
            **{name: hashlib.sha256(name.encode() + self.id).digest() for name in ("noise", "cover", "cover_secret")},
            "addresses": (self.address,),
            "decoy": "decoy.test",
            "roles": self.roles,
            "issued": int(now),
            "expires": int(now) + DAY,
            "country": self.country,
        }
        return descriptor.sign(Descriptor(**fields | changes), self.key)

    def heartbeat(self, now: float = NOW, **changes: Any) -> bytes:
        self.seq += 1
        fields = {"peer_id": self.id, "seq": self.seq, "issued": int(now), "load": 0}
        return heartbeat.sign(Heartbeat(**fields | changes), self.key)

    def endorsed(self, operator: Ed25519PrivateKey, now: float = NOW, **changes: Any) -> bytes:
        fields = {
            "endorser": public(operator),
            "peer_id": self.id,
            "addresses": (self.address,),
            "weight": 100,
            "issued": int(now),
            "expires": int(now) + 30 * DAY,
            "country": self.country,
        }
        return endorsement.sign(Endorsement(**fields | changes), operator)


def open_directory(**policy: Any) -> Directory:
    return Directory(Policy(frozenset(), open=True, **policy), SECRET)


def closed_directory(*operators: Ed25519PrivateKey, **policy: Any) -> Directory:
    return Directory(Policy(frozenset(map(public, operators)), **policy), SECRET)


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Clock:
    """Unix seconds that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The URL of ``app`` on a real socket."""
    bound = bind("127.0.0.1", 0, what="the directory", option="")
    server = StatusServer(app)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: server.serve(sockets=[bound]))
        while not server.started:
            await anyio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
