"""A relay that keeps itself listed, with real HTTP; and directories that gossip over it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.responses import Response

from qnet.mesh.directory import Directory, Policy
from qnet.mesh.gossip import Gossip
from qnet.roles.directory import DirectoryService, no_directory
from qnet.roles.directory_http import Source
from qnet.roles.directory_store import MemoryStore
from qnet.roles.gossiper import Gossiper
from qnet.roles.registrar import Registrar
from tests.support.directories import DAY, NOW, SECRET, Clock, Peer, public, served
from tests.support.tls_servers import free_port

pytestmark = pytest.mark.anyio


class Place:
    """An operator's directory, served."""

    def __init__(self, key: Ed25519PrivateKey, operators: frozenset[bytes], clock: Clock) -> None:
        self.key = key
        self.directory = Directory(Policy(operators), SECRET)
        self.gossip = Gossip(self.directory, key)
        self.service = DirectoryService(self.directory, MemoryStore(None), gossip=self.gossip, clock=clock)
        self.url = ""

    @property
    def source(self) -> Source:
        return Source(public(self.key), self.url)


@asynccontextmanager
async def places(count: int, clock: Clock) -> AsyncIterator[list[Place]]:
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    made = [Place(key, frozenset(map(public, keys)), clock) for key in keys]
    async with AsyncExitStack() as stack:
        for place in made:
            place.url = await stack.enter_async_context(served(place.service.app))
        yield made


def registrar(peer: Peer, sources: list[Place] | list[Source], clock: Clock, words: list[bytes]) -> Registrar:
    found = [each.source if isinstance(each, Place) else each for each in sources]
    return Registrar(peer.key, lambda now: peer.descriptor(now), lambda: list(words), found, lambda: 250, clock)


async def test_descriptor_first_then_heartbeats() -> None:
    clock, peer = Clock(), Peer()
    async with places(2, clock) as made:
        words = [peer.endorsed(made[0].key)]
        node = registrar(peer, made, clock, words)
        await node.beat()
        assert node.problems == {}
        first = [place.directory.entries[peer.id] for place in made]
        clock.now += 30
        await node.beat()
        for place, entry in zip(made, first, strict=True):
            assert place.directory.entries[peer.id] is entry and entry.seen == NOW + 30 and entry.load == 250
            assert entry.descriptor.issued == NOW, "nothing new to say"


async def test_a_heartbeat_every_30_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    enough = anyio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock.now += seconds
        if len(waits) == 5:
            enough.set()
            await anyio.Event().wait()

    clock, peer = Clock(), Peer()
    async with places(1, clock) as (place,), anyio.create_task_group() as group:
        monkeypatch.setattr("qnet.roles.registrar.anyio.sleep", sleep)
        group.start_soon(registrar(peer, [place], clock, [peer.endorsed(place.key)]).run)
        await enough.wait()
        group.cancel_scope.cancel()
        monkeypatch.undo()
    assert waits == [30] * 5
    assert place.directory.entries[peer.id].seen == NOW + 4 * 30


async def test_a_directory_that_forgot_gets_the_descriptor_again() -> None:
    clock, peer = Clock(), Peer()
    async with places(1, clock) as (place,):
        node = registrar(peer, [place], clock, [peer.endorsed(place.key)])
        await node.beat()
        place.directory.prune(clock.now + 2 * DAY)
        assert place.directory.entries == {}
        await node.beat()
        assert node.problems == {} and place.directory.size == 1


async def test_the_descriptor_is_renewed_in_time_and_when_something_changes() -> None:
    clock, peer = Clock(), Peer()
    async with places(1, clock) as (place,):
        words = [peer.endorsed(place.key)]
        node = registrar(peer, [place], clock, words)

        async def issued() -> int:
            await node.beat()
            assert node.problems == {}
            return place.directory.entries[peer.id].descriptor.issued

        assert await issued() == NOW
        node.changed()
        assert await issued() == NOW, "the same second, the same content"
        clock.now += 10
        peer.country = "NL"
        node.changed()
        words.append(peer.endorsed(place.key))
        assert await issued() == NOW + 10
        clock.now += 10
        words.append(peer.endorsed(place.key, clock.now))
        assert await issued() == NOW + 20
        clock.now += DAY / 2 + 1
        assert await issued() == int(clock.now)


async def test_what_goes_wrong_is_told_in_words() -> None:
    async def broken(scope, receive, send) -> None:
        await Response(b"\xff", 500)(scope, receive, send)

    clock, peer = Clock(), Peer()
    async with places(1, clock) as (place,), served(broken) as strange, served(no_directory()) as absent:
        sources = [
            place.source,
            Source(b"strange", strange),
            Source(b"absent", absent),
            Source(b"away", f"http://127.0.0.1:{free_port()}"),
        ]
        node = registrar(peer, sources, clock, [])
        await node.beat()
    assert "no operator of this network endorses" in node.problems.pop(public(place.key))
    assert node.problems == {
        b"strange": "the directory answers 500",
        b"absent": "the directory refuses: this node runs no directory",
        b"away": "the directory is not reached (ConnectError)",
    }


@pytest.mark.parametrize(("skew", "words"), [(600, "600 s ahead of"), (-600, "600 s behind")])
async def test_a_wrong_clock_is_named(skew: int, words: str) -> None:
    clock, peer = Clock(), Peer()
    async with places(1, clock) as (place,):
        node = registrar(peer, [place], Clock(NOW + skew), [peer.endorsed(place.key, NOW)])
        await node.beat()
        assert words in node.problems[public(place.key)]
        assert place.directory.entries == {}


async def test_registered_with_one_it_appears_in_all() -> None:
    clock, peer = Clock(), Peer()
    async with places(3, clock) as made:
        await registrar(peer, made[:1], clock, [peer.endorsed(made[2].key)]).beat()
        gossipers = [
            Gossiper(place.gossip, [other.source for other in made if other is not place], clock) for place in made
        ]
        for source in (made[1].source, made[2].source):
            await gossipers[0].converse(source)
        assert [place.directory.size for place in made] == [1, 1, 1]
        assert all(gossiper.problems == {} for gossiper in gossipers)


async def test_gossip_with_the_wrong_ones_is_told_in_words() -> None:
    clock = Clock()
    async with places(1, clock) as (place,), places(1, clock) as (stranger,):
        away = Source(b"a" * 32, f"http://127.0.0.1:{free_port()}")
        gossiper = Gossiper(place.gossip, [stranger.source, away], clock)
        await gossiper.converse(stranger.source)
        await gossiper.converse(away)
    assert gossiper.problems == {
        public(stranger.key): "the directory refuses: not an operator of this network",
        away.operator: "the directory is not reached (ConnectError)",
    }
