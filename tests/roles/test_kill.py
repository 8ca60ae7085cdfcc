"""Hops that die, refuse or garble while many downloads run: a reason each time, new ones at once, nothing left."""

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from qnet.net import alive
from qnet.net.next_hop import NextHop
from qnet.roles.circuits import Route
from qnet.roles.tunnel import NoTunnelError
from qnet.wire.frames import Reset
from tests.support.cover_pair import NAME, authority
from tests.support.links import attach, until
from tests.support.peers import Peer
from tests.support.routes import Routes, routes, works
from tests.support.tls_servers import nginx

pytestmark = pytest.mark.anyio

PARALLEL = 20


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echoes a greeting; whoever says ``more`` gets bytes without end."""
    said = await reader.read(5)
    while said == b"more!":
        writer.write(bytes(1 << 15))
        await writer.drain()
    writer.write(said)
    await reader.read()
    writer.write_eof()


async def echoed(made: Routes) -> None:
    await works(await made.open())


async def download(made: Routes) -> BaseException | int:
    """Read until it ends; gives how it ended."""
    stream = await made.open()
    if (code := await stream.opened) is not None:
        return int(code)
    reader, writer = await attach(stream)
    writer.write(b"more!")
    try:
        while await reader.read(1 << 16):
            pass
        return 0
    except ConnectionError as error:
        return error
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


def hop(made: Routes, route: Route, number: int) -> Peer:
    """The peer at ``number`` of ``route``."""
    wanted = route.path[number].peer_id
    return next(each for each in (*made.relays, *made.exits) if each.descriptor().peer_id == wanted)


def kill(dead: Peer) -> None:
    """What is seen when the process of a peer is killed: all its connections end."""
    for connection in dead.made:
        for side in (connection.client, connection.decoy):
            if side.transport is not None:
                side.transport.abort()
        link = connection._link
        for handler in list(link.channel.circuits.values()) if link is not None else []:
            if isinstance(handler, NextHop):
                handler._transport.abort()
    dead.made.clear()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("number", [0, 1, 2], ids=["the guard", "the middle", "the exit"])
async def test_a_hop_that_is_killed_during_twenty_downloads(decoy: int, number: int) -> None:
    async with routes(decoy, relays=3, exits=("NL", "NL"), serve=endless) as made:
        await made.connected()
        downloads = [asyncio.create_task(download(made)) for _ in range(PARALLEL)]
        route = made.tunnel._circuits.routes[0]
        await until(lambda: route.circuit.streams == PARALLEL and route.circuit.carried > 3_000_000)
        kill(hop(made, route, number))
        async with asyncio.timeout(2):
            ends = await asyncio.gather(*downloads)
        assert all(isinstance(end, ConnectionResetError) for end in ends), "cut off, never as if that had been all"
        async with asyncio.timeout(2):
            await asyncio.gather(*(echoed(made) for _ in range(PARALLEL)))


async def test_two_hundred_kills_leave_no_task_and_no_descriptor(decoy: int) -> None:
    async with routes(decoy, relays=2, exits=("NL",), serve=endless) as made:

        async def round_of(number: int) -> None:
            made.tunnel._attempts = 0
            made.tunnel._hurry.set()  # as a person who does not wait for the back-off
            downloads = [asyncio.create_task(download(made)) for _ in range(4)]
            circuits = made.tunnel._circuits.routes
            await until(lambda: circuits and circuits[0].circuit.streams == 4 and circuits[0].circuit.carried > 200_000)
            kill(hop(made, circuits[0], number % 3))
            async with asyncio.timeout(2):
                assert all(isinstance(end, ConnectionResetError) for end in await asyncio.gather(*downloads))

        counts = []
        for number in range(200):
            await round_of(number)
            if number in (5, 199):
                await until(lambda: not made.tunnel._circuits.routes and made.tunnel._circuits.streams == 0)
                await asyncio.sleep(0.3)
                gc.collect()
                counts.append((len(asyncio.all_tasks()), descriptors()))
        assert counts[0] == counts[1]
        assert made.tunnel._circuits._scratch.budget.used == 0


async def test_an_exit_that_refuses_and_one_that_is_gone_have_a_reason(decoy: int) -> None:
    async with routes(decoy, relays=2, exits=("NL",)) as made:
        stream = await made.tunnel.open("127.0.0.1", 9)
        assert await stream.opened is Reset.POLICY
        await works(await made.open())
        kill(made.exits[0])
        made.known[:] = [each for each in made.known if "exit" not in each.roles]
        made.tunnel.lease("browser")
        await until(lambda: (error := made.tunnel.view().last_error) is not None and error.code == "too-few-peers")
        with pytest.raises(NoTunnelError):
            await made.open()


@pytest.mark.parametrize("harm", ["drops", "corrupts", "reorders", "repeats"])
async def test_a_relay_that_harms_records_ends_the_circuit_and_nothing_wrong_arrives(
    decoy: int, harm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle relay changes what it passes on downstream: nothing of it opens at the client."""
    real = NextHop._receive_records
    armed = False

    def harmful(self: NextHop, arrived: memoryview) -> None:
        nonlocal armed
        if not armed or len(arrived) < 100:
            return real(self, arrived)
        armed = False
        size = 5 + int.from_bytes(arrived[3:5], "big")
        record = bytes(arrived[:size])
        rest = bytes(arrived[size:])
        match harm:
            case "drops":
                data = rest
            case "corrupts":
                data = record[:50] + bytes([record[50] ^ 1]) + record[51:] + rest
            case "reorders":
                second = 5 + int.from_bytes(rest[3:5], "big") if len(rest) > 5 else 0
                data = rest[:second] + record + rest[second:]
                armed = len(rest) < max(second, 6)
            case _:
                data = record + record + rest
        arrived[: len(data)] = data[: len(arrived)]
        return real(self, arrived[: len(data)] if len(data) <= len(arrived) else memoryview(bytearray(data)))

    monkeypatch.setattr(NextHop, "_receive_records", harmful)
    async with routes(decoy, relays=2, exits=("NL",), serve=endless) as made:
        ends = asyncio.create_task(download(made))
        await until(lambda: made.tunnel._circuits.routes and made.tunnel._circuits.routes[0].circuit.carried > 500_000)
        route = made.tunnel._circuits.routes[0]
        armed = True
        async with asyncio.timeout(10):
            assert isinstance(await ends, ConnectionResetError)
        assert route.circuit.closed
        made.tunnel._attempts = 0
        await works(await made.open())


async def test_a_relay_that_goes_silent_is_found_out_and_replaced(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = {"IDLE_SECONDS": 0.4, "WAITING_SECONDS": 0.2, "ANSWER_SECONDS": 0.5, "_LOOK_SECONDS": 0.05}
    for name, value in quick.items():
        monkeypatch.setattr(alive, name, value)
    async with routes(decoy, relays=2, exits=("NL",), serve=endless) as made:
        await works(await made.open())
        route = made.tunnel._circuits.routes[0]
        silent = hop(made, route, 1)
        held = await made.open()  # a way that nobody uses is not asked
        assert await held.opened is None
        _, writer = await attach(held)
        monkeypatch.setattr(NextHop, "forwarded", lambda self, records: None)
        await until(lambda: route.circuit.closed)
        monkeypatch.undo()
        assert silent.made
        writer.close()
        await works(await made.open())
