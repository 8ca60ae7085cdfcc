"""Everything that is known of peers in one place: directories, the network file, peers joined by hand or seen near."""

import threading
import time
from pathlib import Path

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.mesh.eligibility import Eligible
from qnet.roles import discovery as discovery_module
from qnet.roles.directory import DirectoryService
from qnet.roles.directory_client import DirectoryClient
from qnet.roles.directory_http import Source
from qnet.roles.directory_store import MemoryStore
from qnet.roles.discovery import Discovery
from qnet.roles.peer_book import PeerBook
from qnet.wire import descriptor, network_file
from qnet.wire.network_file import NetworkFile, Operator
from tests.support.directories import DAY, Peer, closed_directory, public, served
from tests.support.tls_servers import free_port

pytestmark = pytest.mark.anyio
ALONE = frozenset[bytes]()


def network(founder: Ed25519PrivateKey, *operators: bytes, peers: tuple[bytes, ...] = ()) -> NetworkFile:
    now = int(time.time())
    draft = NetworkFile(public(founder), "n", now, tuple(map(Operator, operators)), peers=peers)
    return network_file.verify(network_file.sign(draft, founder), now)


def book(folder: Path, *peers: bytes) -> PeerBook:
    made = PeerBook(folder / "peers")
    for number, data in enumerate(peers):
        (folder / f"{number}").write_bytes(data)
        made.join(folder / f"{number}", time.time())
    return made


def listed(service: DirectoryService, peer: Peer, operator: Peer) -> None:
    now = time.time()
    words = [] if peer is operator else [peer.endorsed(operator.key, now, family="f")]
    service.directory.register(peer.descriptor(now), words, peer.heartbeat(now), now)


async def ask(discovery: Discovery, client: DirectoryClient) -> None:
    """One query."""
    async with anyio.create_task_group() as group:
        group.start_soon(discovery.run, client, None)
        with anyio.fail_after(5):
            while not discovery.found.origin:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()


async def test_without_a_network_the_peers_joined_by_hand(tmp_path: Path) -> None:
    peer = Peer()
    found = Discovery(book(tmp_path, peer.descriptor(time.time())))
    assert [each.peer_id for each in found.peers(time.time())] == [peer.id]
    assert [(each.endorsers, each.weight) for each in found.eligible_peers(time.time())] == [(ALONE, None)]
    assert found.peers(time.time() + 2 * DAY) == []


async def test_directories_the_file_and_the_book_together(tmp_path: Path) -> None:
    operator, relay, hidden, friend, founder = Peer(), Peer(), Peer(), Peer(), Ed25519PrivateKey.generate()
    now = time.time()
    service = DirectoryService(closed_directory(operator.key), MemoryStore(None))
    listed(service, operator, operator)
    listed(service, relay, operator)
    joined = network(founder, operator.descriptor(now), peers=(hidden.descriptor(now, invite_only=True),))
    discovery = Discovery(book(tmp_path, friend.descriptor(now), relay.descriptor(now - 100, nickname="old")))
    discovery.join(joined, ask=True)
    async with served(service.app) as url:
        client = DirectoryClient(joined, [Source(public(operator.key), url)], tmp_path / "cache")
        await ask(discovery, client)
    known = {each.descriptor.peer_id: each for each in discovery.eligible_peers(now)}
    assert known.keys() == {operator.id, relay.id, hidden.id, friend.id}
    assert known[relay.id].endorsers == {public(operator.key)} and known[relay.id].families == {"f"}
    assert known[relay.id].descriptor.nickname == "", "the newer descriptor counts"
    assert known[hidden.id].endorsers == {public(founder)}, "its founder vouches for what is in the file"
    assert discovery.found.origin == "directory"


async def test_a_newer_descriptor_by_hand_keeps_what_operators_say(tmp_path: Path) -> None:
    operator, now = Peer(), time.time()
    discovery = Discovery(book(tmp_path, operator.descriptor(now + 5, nickname="new")))
    joined = network(Ed25519PrivateKey.generate(), operator.descriptor(now))
    discovery.join(joined, ask=True)
    client = DirectoryClient(joined, [Source(public(operator.key), f"http://127.0.0.1:{free_port()}")], tmp_path / "c")
    with anyio.move_on_after(1):
        await discovery.run(client, lambda: True)
    (found,) = discovery.eligible_peers(now)
    assert found.descriptor.nickname == "new" and found.endorsers == {public(operator.key)}
    assert discovery.found.origin == "operators"
    assert "not reached" in discovery.found.problems[public(operator.key)]


async def test_who_builds_a_path_waits_for_the_first_query(tmp_path: Path) -> None:
    operator = Peer()
    service = DirectoryService(closed_directory(operator.key), MemoryStore(None))
    listed(service, operator, operator)
    joined = network(Ed25519PrivateKey.generate(), operator.descriptor(time.time()))
    discovery, got = Discovery(book(tmp_path)), []
    discovery.join(joined, ask=True)
    waiting = threading.Thread(target=lambda: got.append(discovery.peers(time.time())))
    waiting.start()
    async with served(service.app) as url:
        await anyio.sleep(0.1)
        assert not got
        await ask(discovery, DirectoryClient(joined, [Source(public(operator.key), url)], tmp_path / "cache"))
        await anyio.to_thread.run_sync(waiting.join)
    assert [peer.peer_id for peer in got[0]] == [operator.id]


async def test_nobody_waits_where_nobody_asks(tmp_path: Path) -> None:
    discovery, began = Discovery(book(tmp_path)), time.monotonic()
    discovery.join(network(Ed25519PrivateKey.generate(), Peer().descriptor(time.time())), ask=False)
    assert discovery.peers(time.time()) == []
    discovery.join(None, ask=True)
    assert discovery.peers(time.time()) == [] and time.monotonic() - began < 0.5


async def test_queries_follow_one_another_only_while_somebody_needs_peers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discovery_module, "REFRESH_SECONDS", 0.05)
    operator, used = Peer(), True
    service = DirectoryService(closed_directory(operator.key), MemoryStore(None))
    listed(service, operator, operator)
    joined = network(Ed25519PrivateKey.generate(), operator.descriptor(time.time()))
    changes = []
    discovery = Discovery(book(tmp_path), lambda: changes.append(1))
    discovery.join(joined, ask=True)
    async with served(service.app) as url, anyio.create_task_group() as group:
        client = DirectoryClient(joined, [Source(public(operator.key), url)], tmp_path / "cache")
        group.start_soon(discovery.run, client, lambda: used)
        with anyio.fail_after(5):
            while len(changes) < 4:
                await anyio.sleep(0.01)
        used = False
        await anyio.sleep(0.2)
        quiet = len(changes)
        await anyio.sleep(0.3)
        assert len(changes) == quiet
        used = True
        discovery.use()
        with anyio.fail_after(5):
            while len(changes) < quiet + 2:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()


async def test_an_operators_newest_descriptor_leads_to_its_directory(tmp_path: Path) -> None:
    operator, now = Peer(), time.time()
    discovery = Discovery(book(tmp_path))
    assert discovery.operator(public(operator.key)) is None
    old = operator.descriptor(now - 3, nickname="in the file", expires=int(now) - 1)
    draft = NetworkFile(b"", "n", int(now) - 2, (Operator(old),))
    discovery.join(draft, ask=False)
    filed = discovery.operator(public(operator.key))
    assert filed is not None and filed.nickname == "in the file", "an expired one is better than none"
    fresh = descriptor.verify(operator.descriptor(now, nickname="listed"), now)
    discovery.found = discovery_module.Found([Eligible(fresh, ALONE, frozenset(), None)], "directory", {})
    assert discovery.operator(public(operator.key)) == fresh
    assert discovery.operator(bytes(32)) is None


async def test_a_peer_that_shows_itself_nearby(tmp_path: Path) -> None:
    peer, now, changes = Peer(), time.time(), []
    discovery = Discovery(book(tmp_path), lambda: changes.append(1))
    discovery.near(Eligible(descriptor.verify(peer.descriptor(now), now), ALONE, frozenset(), None))
    assert [each.peer_id for each in discovery.peers(now)] == [peer.id] and changes
    discovery.join(None, ask=False)
    assert discovery.peers(now) == [], "another network, other neighbours"
