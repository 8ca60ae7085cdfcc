"""Links over real sockets in one event loop: a client's end, a peer's end with an exit behind it, and applications."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from qnet.mesh.exit_policy import Allowance, ExitPolicy, parse_allowance
from qnet.net.channel import Channel
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.roles.exit import Exit
from qnet.roles.exit_turns import ClientLimits
from qnet.roles.services import Services
from qnet.wire.events import Extend, Reserve, StreamOpen
from qnet.wire.link import LinkSession
from qnet.wire.noise import TransportKeys
from qnet.wire.scratch import Scratch

CIRCUIT = 1
AMPLE = ClientLimits(connects=1000, streams_per_minute=1_000_000)
"""For tests of other things than an exit's limits."""
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """The two ends of a TCP connection on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        two, _ = listener.accept()
    for each in (one, two):
        each.setblocking(False)
    return one, two


def allowing(port: int) -> tuple[Allowance, ...]:
    return (parse_allowance(f"127.0.0.0/8:{port}"),)


@dataclass
class Owner:
    """A client's end: remembers why links ended."""

    reasons: list[str] = field(default_factory=list)

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        raise AssertionError("a peer opened a stream")

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        raise AssertionError("a peer extended a circuit")

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        raise AssertionError("a peer asked for a reservation")

    def link_closed(self, link: Link, reason: str) -> None:
        self.reasons.append(reason)


@dataclass
class Pair:
    """``client`` and ``peer``: the channels at the two ends of one link. ``services``: who owns the
    peer's end, with ``exit`` behind it."""

    client: Channel
    peer: Channel
    owner: Owner
    exit: Exit
    services: Services

    async def application(self, port: int, host: str = "127.0.0.1") -> tuple[Streams, StreamSocket]:
        """An application whose socket is handed to a new stream; gives the application's own end."""
        stream = self.client.open(CIRCUIT, host, port)
        return await attach(stream), stream


async def attach(stream: StreamSocket) -> Streams:
    """Give ``stream`` a socket; the application at its other end."""
    ours, theirs = tcp_pair()
    await asyncio.get_running_loop().create_connection(lambda: stream, sock=ours)
    return await asyncio.open_connection(sock=theirs, limit=1 << 16)


@asynccontextmanager
async def link_pair(policy: ExitPolicy, max_connections: int = 1000, **more: Any) -> AsyncIterator[Pair]:
    """``more``: what else the exit is told; or ``exit``, one that is there already."""
    one, two = os.urandom(32), os.urandom(32)
    loop = asyncio.get_running_loop()
    near, far = tcp_pair()
    owner = Owner()
    exit_role = more.pop("exit", None) or Exit(policy, max_connections, **{"clients": AMPLE} | more)
    services = Services(exit_role, None)
    links = []
    for raw, keys, initiator, who in (
        (near, TransportKeys(one, two, b""), True, owner),
        (far, TransportKeys(two, one, b""), False, services),
    ):
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=raw)
        scratch = Scratch()
        link = Link(LinkSession(keys, initiator=initiator, scratch=scratch, now=loop.time()), transport, scratch, who)
        transport.set_protocol(link)
        links.append(link)
    client, peer = (link.channel for link in links)
    client.session.open_circuit(CIRCUIT)
    try:
        yield Pair(client, peer, owner, exit_role, services)
    finally:
        for link in links:
            link.close("the test is over")
            link._transport.abort()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def site(serve: Serve) -> AsyncIterator[int]:
    """A server that handles each connection with ``serve``; gives its port."""
    connections = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            with suppress(ConnectionError):
                await serve(reader, writer)
        finally:
            writer.close()
            # Else the garbage collector may tell how it ended, as of an error that nobody handled.
            with suppress(ConnectionError):
                await writer.wait_closed()
            connections.discard(writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(connections):
            writer.transport.abort()
        await asyncio.sleep(0.02)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


@contextmanager
def silent_listener() -> Iterator[int]:
    """A port that answers no connection any more, neither yes nor no; gives it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        try:
            yield full.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
