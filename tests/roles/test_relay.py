"""Circuits that go on: two peers in this event loop in front of a real decoy, and relays that refuse or lie."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from qnet.mesh.exit_policy import ExitPolicy, parse_allowance
from qnet.net.circuit import Circuit, ExtendError
from qnet.net.client_link import Disguise, peer_keys
from qnet.net.decoy import Parting
from qnet.net.link import Link
from qnet.net.next_hop import NextHop
from qnet.roles.relay import Relay
from qnet.wire.errors import RemoteError
from qnet.wire.events import Extended
from qnet.wire.frames import Reset
from qnet.wire.link import LinkSession
from qnet.wire.streams import HOP_SLACK, HOP_WINDOW
from tests.support.cover_pair import NAME, authority
from tests.support.links import attach, echo, silent_listener, site, until
from tests.support.peers import Peer, disguise, gone, peer
from tests.support.tls_servers import free_port, nginx

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("decoy")
    with nginx(folder, authority().issue(NAME)) as port:
        yield port


def local_relay(wears: Disguise | None = None) -> Relay:
    """Dials any port of this computer, and nothing else is there to be dialled."""
    return Relay(ExitPolicy(range(1, 65536), (parse_allowance("127.0.0.0/8:*"),)), wears or disguise())


@dataclass
class Two:
    """``link``: the client's with the first peer. ``port``: a site that echoes, which the second may reach."""

    first: Peer
    second: Peer
    link: Link
    port: int

    async def extended(self, **changes: object) -> Circuit:
        circuit = Circuit(self.link)
        await circuit.extend(self.second.signed(**changes), peer_keys(self.second.descriptor(**changes)))
        return circuit

    def next_hops(self) -> list[NextHop]:
        relayed = self.first.made[0]._link
        assert relayed is not None
        return [handler for handler in relayed.channel.circuits.values() if isinstance(handler, NextHop)]


@asynccontextmanager
async def two(decoy: int, relay: Relay | None = None) -> AsyncIterator[Two]:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(site(echo))
        first = await stack.enter_async_context(peer(decoy, relay=relay or local_relay()))
        second = await stack.enter_async_context(peer(decoy, exit_port=port))
        link = await first.connect()
        try:
            yield Two(first, second, link, port)
        finally:
            link.close("the test is over")
            await asyncio.sleep(0.02)


async def test_a_stream_through_a_relay_and_its_end(decoy: int) -> None:
    async with two(decoy) as made:
        circuit = await made.extended()
        circuit.finish()
        stream = circuit.open("127.0.0.1", made.port)
        reader, writer = await attach(stream)
        content = os.urandom(3_000_000)
        writer.write(content)
        assert await reader.readexactly(len(content)) == content
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await until(lambda: circuit.streams == 0)
        assert len(made.next_hops()) == 1
        made.link.close("done")
        await until(lambda: gone(made.first.made[0].client) and gone(made.second.made[0].client))
        assert made.next_hops() == []


async def test_a_hop_lets_go_of_a_circuit_that_nobody_uses(decoy: int) -> None:
    """As its decoy would: the circuit rests and nobody is to blame; the link and a circuit in use stay."""
    async with (
        site(echo) as port,
        peer(decoy, relay=local_relay()) as first,
        peer(decoy, exit_port=port, parting=Parting(0.8, (34, 19))) as second,
    ):
        link = await first.connect()
        circuits = []
        for _ in range(2):
            circuits.append(Circuit(link))
            await circuits[-1].extend(second.signed(), peer_keys(second.descriptor()))
            circuits[-1].finish()
        reader, writer = await attach(circuits[0].open("127.0.0.1", port))
        await until(lambda: circuits[1].closed)
        assert circuits[1].rested and not link.closed
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await until(lambda: circuits[0].rested)
        assert not link.closed
        link.close("enough")


async def test_a_relay_resumes_its_visits_to_the_next_decoy(decoy: int) -> None:
    wears = disguise()
    async with two(decoy, local_relay(wears)) as made:
        await made.extended()
        assert len(wears.tickets) == 2
        first = next(iter(wears.tickets._kept.values()))[:]
        await made.extended()
        second = next(iter(wears.tickets._kept.values()))
        assert second[0] == first[0] and second[1] != first[1], "one was used, and nginx gave one anew"


async def test_the_second_peer_sees_the_relay_and_not_the_client(decoy: int) -> None:
    async with two(decoy) as made:
        await made.extended()
        assert made.link._transport is not None
        own = made.link._transport.get_extra_info("sockname")
        seen = made.second.made[0].client.transport
        assert seen is not None and seen.get_extra_info("peername") != own


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda made: {"addresses": (f"127.0.0.1:{free_port()}",)}, Reset.UNREACHABLE),
        (lambda made: {"addresses": ("10.0.0.1:443",)}, Reset.POLICY),
        (lambda made: {"addresses": ("no-such-name.invalid:443",)}, Reset.POLICY),
        (lambda made: {"expires": int(time.time()) - 1}, Reset.PROTOCOL),
        (lambda made: {"issued": int(time.time()) + 500}, Reset.PROTOCOL),
        (lambda made: {"decoy": "other.test"}, Reset.PROTOCOL),
        (lambda made: {"cover_secret": bytes(32)}, Reset.PROTOCOL),
    ],
    ids=[
        "nobody there",
        "private address",
        "unknown name",
        "expired",
        "from the future",
        "wrong decoy",
        "wrong secret",
    ],
)
async def test_what_cannot_be_done_has_a_reason(decoy: int, change: Callable[[Two], dict], code: Reset) -> None:
    async with two(decoy) as made:
        with pytest.raises(ExtendError) as caught:
            await made.extended(**change(made))
        assert caught.value.reset is code
        assert made.next_hops() == []
        assert not made.link.closed, "another circuit may be tried on the same link"


async def test_a_forged_descriptor_is_not_dialled(decoy: int) -> None:
    async with two(decoy) as made:
        forged = bytearray(made.second.signed())
        forged[-1] ^= 1
        with pytest.raises(ExtendError, match="PROTOCOL"):
            await Circuit(made.link).extend(bytes(forged), peer_keys(made.second.descriptor()))
        assert made.second.made == []


async def test_an_exit_by_itself_does_not_relay(decoy: int) -> None:
    async with peer(decoy) as only, peer(decoy) as other:
        link = await only.connect()
        with pytest.raises(ExtendError, match="POLICY"):
            await Circuit(link).extend(other.signed(), peer_keys(other.descriptor()))
        link.close("done")


async def test_another_identity_than_the_descriptors_never_completes(decoy: int) -> None:
    """The relay may connect us to whom it likes; only the peer of the descriptor can answer."""
    async with two(decoy) as made, peer(decoy) as third:
        with pytest.raises(RemoteError):
            await Circuit(made.link).extend(third.signed(), peer_keys(made.second.descriptor()))


async def test_a_relay_that_lies_about_the_cover_only_fails(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Extended.__init__

    def lie(self: Extended, circuit: int, client_digest: bytes, server_digest: bytes) -> None:
        real(self, circuit, b"x" * 32, server_digest)

    async with two(decoy) as made:
        monkeypatch.setattr(Extended, "__init__", lie)
        with pytest.raises(RemoteError):
            async with asyncio.timeout(10):
                await made.extended()


async def test_a_next_hop_that_dies_ends_its_circuit_and_neither_the_link_nor_another(decoy: int) -> None:
    async with two(decoy) as made:
        circuit = await made.extended()
        circuit.finish()
        stream = circuit.open("127.0.0.1", made.port)
        reader, writer = await attach(stream)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        transport = made.second.made[0].client.transport
        assert transport is not None
        transport.abort()
        await until(lambda: circuit.closed)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert not made.link.closed and circuit.broke_at == 0
        again = await made.extended()
        again.finish()
        reader, writer = await attach(again.open("127.0.0.1", made.port))
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        writer.close()


async def test_a_client_that_leaves_while_its_circuit_is_made_leaves_nothing(decoy: int) -> None:
    async with two(decoy) as made:
        with silent_listener() as port:
            task = asyncio.create_task(made.extended(addresses=(f"127.0.0.1:{port}",)))
            await asyncio.sleep(0.2)
            made.link.close("enough")
            with pytest.raises(RemoteError):
                await task
        await until(lambda: gone(made.first.made[0].client))
        assert made.next_hops() == []


async def test_a_slow_next_hop_stops_its_circuit_and_no_other(decoy: int) -> None:
    """The client stops by itself for want of credit; the relay goes on reading their link."""
    async with two(decoy) as made:
        slow, quick = await made.extended(), await made.extended()
        for circuit in (slow, quick):
            circuit.finish()
        _, writer = await attach(slow.open("127.0.0.1", made.port))
        reader, quick_writer = await attach(quick.open("127.0.0.1", made.port))
        await until(lambda: len(made.next_hops()) == 2)
        stuck = made.second.made[0]._link
        assert stuck is not None
        stuck._transport.pause_reading()
        writer.write(bytes(30_000_000))
        await asyncio.sleep(0.3)
        content = os.urandom(3_000_000)
        quick_writer.write(content)
        assert await reader.readexactly(len(content)) == content
        hop = made.next_hops()[0]
        assert hop._transport.get_write_buffer_size() <= HOP_WINDOW + HOP_SLACK and not slow.closed
        stuck._transport.resume_reading()
        await until(lambda: slow.carried > 3_000_000)
        for each in (writer, quick_writer):
            each.transport.abort()


async def test_a_client_that_overruns_its_hop_credit_loses_the_circuit(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LinkSession, "hop_room", property(lambda self: 1 << 24))
    async with two(decoy) as made:
        circuit = await made.extended()
        circuit.finish()
        stream = circuit.open("127.0.0.1", made.port)
        assert await stream.opened is None
        stuck = made.second.made[0]._link
        assert stuck is not None
        stuck._transport.pause_reading()
        session = circuit.channel.session
        session._known(circuit.number, stream.stream).send_credit = 1 << 40  # type: ignore[union-attr]
        _, writer = await attach(stream)
        writer.write(bytes(40_000_000))
        await until(lambda: circuit.closed)
        assert not made.link.closed
        writer.transport.abort()
