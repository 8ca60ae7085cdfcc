"""Peers of this event loop in front of a real decoy, and what clients know of them."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from qnet.keys import NodeKeys
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net import peer_link
from qnet.net.circuit import Circuit
from qnet.net.client_link import Disguise, connect
from qnet.net.decoy import Parting
from qnet.net.link import Link
from qnet.net.peer_link import PeerConnection
from qnet.roles.directory_door import DirectoryDoor
from qnet.roles.exit import Exit
from qnet.roles.hidden import SPARES, Hidden
from qnet.roles.relay import Relay
from qnet.roles.services import Services
from qnet.wire.cover.appearance import APPEARANCES
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.peer import PeerConfig
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.descriptor import Descriptor, peer_id, sign, verify
from qnet.wire.scratch import Scratch
from tests.support.cover_pair import NAME, authority, template
from tests.support.links import Owner, allowing, until
from tests.support.tls_servers import Authority

QUIET = 613
"""What this nginx sends after a handshake: two tickets, SETTINGS and its answer to ours."""
QUIET_RESUMED = 342
"""The same after a resumed one: one ticket."""


def disguise(roots: Authority | None = None) -> Disguise:
    return Disguise(template("chromium"), APPEARANCES["chromium"], [(roots or authority()).certificate])


@dataclass
class Peer:
    """A listening peer. ``made``: every connection it took."""

    port: int
    identity: Ed25519PrivateKey
    keys: PeerKeys
    exit: Exit
    made: list[PeerConnection] = field(default_factory=list)
    owner: Owner = field(default_factory=Owner)

    def descriptor(self, **changes: Any) -> Descriptor:
        """What clients know of it, unsigned."""
        now, keys = int(time.time()), self.keys
        fields = {
            "identity": self.identity.public_key().public_bytes_raw(),
            "noise": keys.noise,
            "cover": keys.cover,
            "cover_secret": keys.cover_secret,
            "addresses": (f"127.0.0.1:{self.port}",),
            "decoy": NAME,
            "roles": ("entry", "exit"),
            "issued": now,
            "expires": now + 999,
            "nickname": "tulip",
            "country": "NL",
        }
        return Descriptor(**fields | changes)

    def signed(self, **changes: Any) -> bytes:
        """The same as a relay is given it."""
        return sign(self.descriptor(**changes), self.identity)

    async def bare(self, wears: Disguise | None = None, **changes: object) -> Link:
        """A link without a circuit, in the disguise that it ``wears``."""
        keys = replace(self.keys, **changes)  # type: ignore[arg-type]
        return await connect([("127.0.0.1", self.port)], keys, wears or disguise(), Scratch(), self.owner)

    async def connect(self, **changes: object) -> Link:
        link = await self.bare(**changes)
        Circuit(link).finish()
        return link


@dataclass
class HiddenPeer:
    """A peer that listens nowhere. ``public``: what it waits at, to be changed at will."""

    role: Hidden
    node: NodeKeys
    public: Peer
    exit: Exit

    def descriptor(self, **changes: Any) -> Descriptor:
        """What clients know of it, with its signed bytes."""
        now, node = int(time.time()), self.node
        fields = {
            "identity": node.identity.public_key().public_bytes_raw(),
            "noise": node.noise.public_key().public_bytes_raw(),
            "cover": node.covers[0].public,
            "cover_secret": node.cover_secret,
            "addresses": (),
            "decoy": "",
            "roles": ("relay",),
            "issued": now,
            "expires": now + 999,
            "nickname": "mole",
            "country": "DE",
            "via": self.public.keys.peer_id,
        }
        return verify(sign(Descriptor(**fields | changes), node.identity), now)


@asynccontextmanager
async def hidden(
    public: Peer, *, exit_port: int = 1, relay: Relay | None = None, waiting: int = SPARES
) -> AsyncIterator[HiddenPeer]:
    """Ready when ``waiting`` connections wait at ``public``."""
    keys = NodeKeys(Ed25519PrivateKey.generate(), X25519PrivateKey.generate(), os.urandom(32), ()).rotated(time.time())
    exit_role = Exit(ExitPolicy(frozenset(), allowing(exit_port)), 1000)
    services = Services(exit_role, relay)

    async def find() -> Descriptor:
        return made.public.descriptor()

    made = HiddenPeer(Hidden(keys, find, disguise(), Scratch(), services), keys, public, exit_role)
    task = asyncio.create_task(made.role.run())
    try:
        await until(lambda: made.role.waiting == waiting)
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        services.close()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def peer(
    decoy: int,
    *,
    quiet_after: int = QUIET,
    exit_port: int = 1,
    relay: Relay | None = None,
    directory: DirectoryDoor | None = None,
    parting: Parting | None = None,
) -> AsyncIterator[Peer]:
    """``relay``, ``directory``: what it does besides being an exit for ``exit_port`` of this computer."""
    identity, noise, cover = Ed25519PrivateKey.generate(), X25519PrivateKey.generate(), X25519PrivateKey.generate()
    config = PeerConfig(
        peer_id=peer_id(identity.public_key().public_bytes_raw()),
        noise_private=noise.private_bytes_raw(),
        noise_public=noise.public_key().public_bytes_raw(),
        cover=(cover,),
        cover_secret=os.urandom(32),
        server_name=NAME,
        quiet_after=quiet_after,
        quiet_after_resumed=QUIET_RESUMED,
    )
    known = PeerKeys(
        config.peer_id, config.noise_public, cover.public_key().public_bytes_raw(), config.cover_secret, NAME
    )
    exit_role, replay, scratch = Exit(ExitPolicy(frozenset(), allowing(exit_port)), 1000), ReplayCache(0), Scratch()

    services = Services(exit_role, relay, directory)

    def accept() -> asyncio.BaseProtocol:
        made.made.append(PeerConnection(config, ("127.0.0.1", decoy), replay, scratch, services, parting))
        return made.made[-1].client

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0)
    made = Peer(server.sockets[0].getsockname()[1], identity, known, exit_role)
    try:
        yield made
    finally:
        server.close()
        for connection in made.made:
            for side in (connection.client, connection.decoy):
                if side.transport is not None:
                    side.transport.abort()
        await asyncio.sleep(0.02)


def gone(side: peer_link._Side) -> bool:
    return side.transport is None or side.transport.get_extra_info("socket").fileno() == -1
