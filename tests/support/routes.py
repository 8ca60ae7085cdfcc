"""A client's tunnel through several peers of this event loop: relays, exits, a site behind them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qnet.mesh.exit_policy import ExitPolicy, parse_allowance
from qnet.net.stream import StreamSocket
from qnet.roles.relay import Relay
from qnet.roles.tunnel import Tunnel
from qnet.wire.descriptor import Descriptor, verify
from qnet.wire.messages import State
from qnet.wire.scratch import Scratch
from tests.support.links import Serve, attach, echo, site, until
from tests.support.peers import Peer, disguise, peer

RELAY, EXIT = ("entry", "relay"), ("exit",)


def local_relay() -> Relay:
    """Dials any port of this computer, and nothing else is there to be dialled."""
    return Relay(ExitPolicy(range(1, 65536), (parse_allowance("127.0.0.0/8:*"),)), disguise())


@dataclass
class Routes:
    """``port``: the site. ``known``: what the tunnel's client knows."""

    relays: list[Peer]
    exits: list[Peer]
    port: int
    known: list[Descriptor]
    tunnel: Tunnel

    async def open(self, **wish: Any) -> StreamSocket:
        return await self.tunnel.open("127.0.0.1", self.port, **wish)

    async def connected(self) -> None:
        self.tunnel.lease("browser")
        await until(lambda: self.tunnel.view().state is State.CONNECTED)


async def works(stream: StreamSocket) -> None:
    """An echo through ``stream``, to the end."""
    assert await stream.opened is None
    reader, writer = await attach(stream)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


@asynccontextmanager
async def routes(
    decoy: int,
    *,
    relays: int = 2,
    exits: tuple[str, ...] = ("NL",),
    hops: int = 3,
    guards: Path | None = None,
    serve: Serve = echo,
) -> AsyncIterator[Routes]:
    """``exits``: the country of each."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(site(serve))
        between = [await stack.enter_async_context(peer(decoy, relay=local_relay())) for _ in range(relays)]
        last = [await stack.enter_async_context(peer(decoy, relay=local_relay(), exit_port=port)) for _ in exits]
        known = [described(each, roles=RELAY, nickname=f"relay{n}") for n, each in enumerate(between)]
        known += [
            described(each, roles=EXIT, nickname=f"exit{n}", country=country)
            for n, (each, country) in enumerate(zip(last, exits, strict=True))
        ]
        tunnel = Tunnel(lambda now: known, disguise(), Scratch(), lambda: None, hops=hops, guards=guards)
        task = asyncio.create_task(tunnel.run())
        try:
            yield Routes(between, last, port, known, tunnel)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.02)


def described(made: Peer, **changes: Any) -> Descriptor:
    """As a client has it: with its signed bytes."""
    changes = {"nickname": "n"} | changes
    return verify(made.signed(**changes), float(made.descriptor().issued))
