"""Relays that nobody can dial: over real connections to a public relay, in front of a real decoy, in one event loop."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.net.circuit import Circuit, ExtendError
from qnet.net.client_link import peer_keys
from qnet.net.link import Link
from qnet.roles import hidden as hidden_module
from qnet.roles import reservations as reservations_module
from qnet.roles.hidden import SPARES
from qnet.roles.relay import Relay
from qnet.wire import channel as records
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.events import Reservation, Reserved
from qnet.wire.frames import Frame, Reset
from qnet.wire.reservation import sign
from tests.support.cover_pair import NAME, authority
from tests.support.links import attach, echo, site, until
from tests.support.peers import HiddenPeer, Peer, hidden, peer
from tests.support.routes import EXIT, described, local_relay
from tests.support.tls_servers import nginx

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("decoy")
    with nginx(folder, authority().issue(NAME)) as port:
        yield port


@dataclass
class Mesh:
    """``link``: the client's with a guard. ``port``: a site that echoes, which every exit here may reach."""

    guard: Peer
    public: Peer
    relay: Relay
    hidden: HiddenPeer
    link: Link
    port: int

    async def circuit(self, *path: Descriptor, link: Link | None = None) -> Circuit:
        circuit = Circuit(link or self.link)
        for each in path:
            await circuit.extend(each.signed, peer_keys(each))
        circuit.finish()
        return circuit

    async def carries(self, circuit: Circuit, size: int = 1_000_000) -> None:
        """``size`` bytes go out and come back through the site."""
        reader, writer = await attach(circuit.open("127.0.0.1", self.port))
        content = os.urandom(size)
        writer.write(content)
        assert await reader.readexactly(size) == content
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()


@asynccontextmanager
async def mesh(decoy: int, relay: Relay | None = None) -> AsyncIterator[Mesh]:
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        port = await enter(site(echo))
        relay = relay or local_relay()
        guard = await enter(peer(decoy, relay=local_relay()))
        public = await enter(peer(decoy, relay=relay))
        made = await enter(hidden(public, exit_port=port, relay=local_relay()))
        link = await guard.connect()
        try:
            yield Mesh(guard, public, relay, made, link, port)
        finally:
            link.close("the test is over")
            await asyncio.sleep(0.02)


async def reserve(
    public: Peer, statement: bytes | None = None, key: Ed25519PrivateKey | None = None
) -> tuple[Link, list[Reservation]]:
    """A link that asks to be kept, and what it is told."""
    link = await public.bare()
    told: list[Reservation] = []
    link.on_reservation = told.append
    session = link.channel.session
    if statement is None:
        statement = sign(key or Ed25519PrivateKey.generate(), session.handshake_hash, time.time())
    session.reserve(statement)
    link.channel.flush()
    return link, told


async def test_a_circuit_whose_exit_is_hidden_carries_a_megabyte_both_ways(decoy: int) -> None:
    async with mesh(decoy) as made:
        circuit = await made.circuit(described(made.public), made.hidden.descriptor(roles=EXIT))
        await made.carries(circuit)
        assert made.hidden.exit.counts.traffic.up >= 1_000_000


async def test_a_circuit_whose_middle_is_hidden_carries_a_megabyte_both_ways(decoy: int) -> None:
    async with mesh(decoy) as made, peer(decoy, exit_port=made.port) as last:
        link = await made.public.connect()
        circuit = await made.circuit(made.hidden.descriptor(), described(last, roles=EXIT), link=link)
        await made.carries(circuit)
        assert not made.hidden.exit.counts.traffic.up and last.exit.counts.traffic.up >= 1_000_000
        link.close("done")


async def test_many_circuits_at_once_wait_for_their_turn_and_all_work(decoy: int) -> None:
    async with mesh(decoy) as made:
        last = made.hidden.descriptor(roles=EXIT)
        circuits = await asyncio.gather(*(made.circuit(described(made.public), last) for _ in range(6)))
        await asyncio.gather(*(made.carries(each, 100_000) for each in circuits))
        await until(lambda: made.hidden.role.waiting == SPARES)


async def test_two_hidden_relays_behind_one_public_relay(decoy: int) -> None:
    async with mesh(decoy) as made, hidden(made.public, exit_port=made.port) as other:
        assert made.relay.reservations.count == 2
        for each in (made.hidden, other):
            circuit = await made.circuit(described(made.public), each.descriptor(roles=EXIT))
            await made.carries(circuit, 1000)
            assert each.exit.counts.traffic.up == 1000


async def test_the_public_relay_does_one_operation_a_record(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a record the client seals or opens two layers, the public relay one, the hidden peer one."""
    async with mesh(decoy) as made:
        link = await made.public.connect()
        circuit = await made.circuit(made.hidden.descriptor(roles=EXIT), link=link)
        stream = circuit.open("127.0.0.1", made.port)
        assert await stream.opened is None
        counted = {"seal": 0, "open": 0}
        seal, unseal = records.Sealer.seal_into, records.Opener.open_into

        def sealed(self: records.Sealer, *rest: Any) -> int:
            counted["seal"] += 1
            return seal(self, *rest)

        def opened(self: records.Opener, *rest: Any) -> int:
            counted["open"] += 1
            return unseal(self, *rest)

        inner = circuit.channel.session
        records_before = inner.opened_records, inner._sealer.counter
        monkeypatch.setattr(records.Sealer, "seal_into", sealed)
        monkeypatch.setattr(records.Opener, "open_into", opened)
        reader, writer = await attach(stream)
        content = os.urandom(1_000_000)
        writer.write(content)
        assert await reader.readexactly(len(content)) == content
        down, up = inner.opened_records - records_before[0], inner._sealer.counter - records_before[1]
        assert down > 60 and up > 60
        # Up: the client seals twice, the relay and the hidden peer open. Down: the reverse. Besides, few others.
        for count in counted.values():
            assert 2 * (up + down) <= count <= 2.2 * (up + down), (counted, up, down)
        writer.close()
        link.close("done")


async def test_without_the_descriptors_secret_the_hidden_relay_does_not_answer(decoy: int) -> None:
    async with mesh(decoy) as made:
        peer_of = made.hidden.descriptor()
        keys = replace(peer_keys(peer_of), cover_secret=os.urandom(32))
        link = await made.public.connect()
        with pytest.raises(ExtendError, match="LINK_LOST"):
            await Circuit(link).extend(peer_of.signed, keys)
        link.close("done")


async def test_a_descriptor_that_names_another_relay_leads_nowhere(decoy: int) -> None:
    """Although the relay that has the reservation would go on: the two ends must mean the same way."""
    async with mesh(decoy) as made:
        elsewhere = made.hidden.descriptor(via=made.guard.keys.peer_id)
        link = await made.public.connect()
        with pytest.raises(ExtendError, match="LINK_LOST"):
            await Circuit(link).extend(elsewhere.signed, peer_keys(elsewhere))
        link.close("done")


async def test_a_relay_that_lies_about_its_link_only_fails(decoy: int) -> None:
    async with mesh(decoy) as made:
        for each in made.relay.reservations._waiting.values():
            for link in each:
                link.channel.session.handshake_hash = os.urandom(32)
        with pytest.raises(RemoteError):
            await made.circuit(described(made.public), made.hidden.descriptor())


async def test_who_does_not_wait_is_unreachable(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations_module, "READY_SECONDS", 0.2)
    async with mesh(decoy) as made:
        stranger = replace(made.hidden, node=replace(made.hidden.node, identity=Ed25519PrivateKey.generate()))
        with pytest.raises(ExtendError, match="UNREACHABLE"):
            await made.circuit(described(made.public), stranger.descriptor())
        assert not made.link.closed


async def test_a_hidden_relay_that_hangs_is_given_up_for_its_next_connection(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations_module, "READY_SECONDS", 0.2)
    async with mesh(decoy) as made:
        deaf, told = await reserve(made.public, key=made.hidden.node.identity)
        await until(lambda: told)
        circuit = await made.circuit(described(made.public), made.hidden.descriptor(roles=EXIT))
        await made.carries(circuit, 1000)
        await until(lambda: deaf.closed)


# --- what is refused


@pytest.mark.parametrize(
    "statement",
    [
        lambda key, link: sign(key, os.urandom(32), time.time()),
        lambda key, link: sign(key, link, time.time() - 121),
        lambda key, link: sign(key, link, time.time() + 122),
        lambda key, link: (made := sign(key, link, time.time()))[:-1] + bytes([made[-1] ^ 1]),
        lambda key, link: b"",
    ],
    ids=["replayed from another link", "old", "from the future", "forged", "empty"],
)
async def test_a_statement_that_does_not_hold_gets_no_answer(decoy: int, statement: object) -> None:
    relay = local_relay()
    async with peer(decoy, relay=relay) as public:
        link = await public.bare()
        told: list[Reservation] = []
        link.on_reservation = told.append
        made = statement(Ed25519PrivateKey.generate(), link.channel.session.handshake_hash)  # type: ignore[operator]
        link.channel.session.reserve(made)
        link.channel.flush()
        await until(lambda: link.closed)
        assert not told and relay.reservations.count == 0


async def test_there_is_room_for_so_many_hidden_relays(decoy: int) -> None:
    relay = Relay(local_relay()._policy, local_relay()._disguise, 2)
    async with peer(decoy, relay=relay) as public:
        links = []
        for code in (Reset.CLOSED, Reset.CLOSED, Reset.LIMIT):
            link, told = await reserve(public)
            links.append(link)
            await until(lambda told=told: told)  # type: ignore[misc]
            assert isinstance(told[0], Reserved) and told[0].code is code
        assert relay.reservations.count == 2
        links[0].close("gone")
        await until(lambda: relay.reservations.count == 1)
        link, told = await reserve(public)
        await until(lambda: told)
        assert isinstance(told[0], Reserved) and told[0].code is Reset.CLOSED
        for each in (*links, link):
            each.close("done")


async def test_the_fifth_connection_of_one_takes_the_place_of_its_oldest(decoy: int) -> None:
    relay, key = local_relay(), Ed25519PrivateKey.generate()
    async with peer(decoy, relay=relay) as public:
        made = []
        for _ in range(5):
            made.append(await reserve(public, key=key))
            await until(lambda: made[-1][1])
        await until(lambda: made[0][0].closed)
        assert [link.closed for link, _ in made] == [True, False, False, False, False]
        assert relay.reservations.count == 1
        for link, _ in made:
            link.close("done")


async def test_a_peer_that_does_not_relay_keeps_nobody(decoy: int) -> None:
    async with peer(decoy) as public:
        link, told = await reserve(public)
        await until(lambda: told)
        assert told == [Reserved(Reset.POLICY, 0)]
        link.close("done")


async def test_a_reservation_ends_in_time(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations_module, "RESERVED_SECONDS", 1)
    async with peer(decoy, relay=local_relay()) as public:
        link, told = await reserve(public)
        await until(lambda: told)
        await until(lambda: link.closed, 3)


@pytest.mark.parametrize("frame", [Frame.RESERVED, Frame.TAKEN, Frame.READY])
async def test_words_out_of_turn_end_the_link(decoy: int, frame: Frame) -> None:
    async with peer(decoy, relay=local_relay()) as public:
        link = await public.bare()
        link.channel.session._pending += bytes([frame]) + bytes(4)
        link.channel.flush()
        await until(lambda: link.closed)


async def test_a_link_that_waits_carries_no_circuit_of_the_hidden_relay(decoy: int) -> None:
    async with peer(decoy, relay=local_relay()) as public:
        link, told = await reserve(public)
        await until(lambda: told)
        Circuit(link).finish()
        link.channel.open(1, "127.0.0.1", 80)
        await until(lambda: link.closed)


# --- how the hidden relay stays reachable


async def test_it_replaces_what_is_lost_and_moves_to_another_relay(decoy: int) -> None:
    async with mesh(decoy) as made, peer(decoy, relay=local_relay()) as other:
        for connection in made.public.made:
            if connection.client.transport is not None:
                connection.client.transport.abort()
        await until(lambda: made.hidden.role.waiting < SPARES)
        await until(lambda: made.hidden.role.waiting == SPARES)
        await made.carries(await made.circuit(described(made.public), made.hidden.descriptor(roles=EXIT)), 1000)
        # The circuit took one: what replaces it must not be half-way to the old relay when that ends.
        await until(lambda: made.hidden.role.waiting == SPARES)
        made.hidden.public = other
        for connection in made.public.made:
            if connection._link is not None:
                connection._link.close("the public relay ends")
        await until(lambda: made.hidden.role.waiting == SPARES and len(other.made) >= SPARES)
        link = await other.connect()
        await made.carries(await made.circuit(made.hidden.descriptor(roles=EXIT), link=link), 1000)
        link.close("done")


async def test_it_renews_before_its_time_is_over(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reservations_module, "RESERVED_SECONDS", 1)
    async with mesh(decoy) as made:
        before = len(made.public.made)
        await until(lambda: len(made.public.made) >= before + SPARES)
        await until(lambda: made.hidden.role.waiting == SPARES)
        await made.carries(await made.circuit(described(made.public), made.hidden.descriptor(roles=EXIT)), 1000)


async def test_while_the_public_relay_has_no_room_it_tries_again_with_longer_pauses(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []

    def noted(attempt: int, rng: object) -> float:
        pauses.append(attempt)
        return 0.01

    monkeypatch.setattr(hidden_module, "backoff", noted)
    small = Relay(local_relay()._policy, local_relay()._disguise, 1)
    async with mesh(decoy, small) as made, hidden(made.public, waiting=0) as refused:
        await until(lambda: max(pauses, default=0) >= 3)
        assert refused.role.waiting == 0 and made.hidden.role.waiting == SPARES
