"""The public listener: who is recognised across rotations of the cover key and across restarts, with a real decoy."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from qnet.app import public
from qnet.app.profile import load_profiles
from qnet.keys import OVERLAP, WEEK, KeyRing
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.client_link import connect, peer_keys
from qnet.roles.exit import Exit
from qnet.roles.peer import DESCRIPTOR_SECONDS, PeerListener, PeerPlace, Presentation, describe
from qnet.roles.replay_journal import ReplayJournal, boot_id
from qnet.roles.services import Services
from qnet.settings import Folders
from qnet.wire.cover.opening import UnprovenPeerError
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.descriptor import verify
from qnet.wire.scratch import Scratch
from tests.support.cover_pair import NAME, authority
from tests.support.links import Owner, allowing, until
from tests.support.peers import disguise
from tests.support.tls_servers import free_port, nginx
from tests.support.visits import UP, observed

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with nginx(tmp_path_factory.mktemp("decoy"), authority().issue(NAME)) as port:
        yield port


class Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def serving(ring: KeyRing, decoy: int, replay: ReplayCache) -> AsyncIterator[int]:
    """A peer with the keys of ``ring``; gives its port."""
    port = free_port()
    place = PeerPlace(("127.0.0.1", port), NAME, ("127.0.0.1", decoy))
    services = Services(Exit(ExitPolicy(frozenset(), allowing(1)), 10), None)
    listener = PeerListener(place, ring, disguise(), load_profiles(), Scratch(), services, replay)
    server = await listener.listen(await listener.measure())
    try:
        yield port
    finally:
        server.close()
        services.close()
        await asyncio.sleep(0.05)


def presentation(port: int) -> Presentation:
    return Presentation(f"127.0.0.1:{port}", NAME, ("entry", "exit"), "tulip", "NL")


async def visit(data: bytes, now: float, port: int = 0) -> None:
    """A client's link, by the descriptor ``data`` that it was given."""
    found = verify(data, now)
    port = port or int(found.addresses[0].rpartition(":")[2])
    link = await connect([("127.0.0.1", port)], peer_keys(found), disguise(), Scratch(), Owner())
    link.close("enough")


@pytest.mark.parametrize(("late", "known"), [(-60, True), (OVERLAP - 600, True), (OVERLAP, False)])
async def test_a_descriptor_of_last_week(decoy: int, tmp_path: Path, late: float, known: bool) -> None:
    """A client that has not heard of the new key: it gets in until a day after the old one's end."""
    now = time.time()
    clock = Clock(now)
    ring = KeyRing(tmp_path, clock)
    data = describe(ring.keys, presentation(1), now, 60)
    assert not verify(data, now).later
    async with serving(ring, decoy, ReplayCache(0)) as port:
        await visit(data, now, port)
        clock.now = (now // WEEK + 1) * WEEK + late
        assert ring.refresh() == (late > -60)
        if known:
            await visit(data, now, port)
        else:
            with pytest.raises(UnprovenPeerError):
                await visit(data, now, port)


async def test_a_descriptor_of_a_week_gets_its_clients_in_to_its_end(tmp_path: Path) -> None:
    now = time.time()
    ring = KeyRing(tmp_path)
    found = verify(describe(ring.keys, presentation(1), now), now)
    keys = peer_keys(found)
    assert found.expires - found.issued == DESCRIPTOR_SECONDS
    assert keys.cover_at(now) == found.cover
    assert keys.cover_at(now + WEEK - 1) == found.later[-1][1]


async def test_new_keys_are_described_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public, "ROTATE_SECONDS", 0.02)
    clock = Clock(time.time())
    ring = KeyRing(tmp_path, clock)
    issued: list[bytes] = []

    def issue() -> bytes:
        issued.append(describe(ring.keys, presentation(1), clock.now))
        return issued[-1]

    task = asyncio.create_task(public.renew(Folders(tmp_path, tmp_path, tmp_path), ring, issue))
    await asyncio.sleep(0.1)
    assert not issued
    clock.now += WEEK
    await until(lambda: issued)
    assert (tmp_path / "descriptor.qnet").read_bytes() == issued[0]
    assert verify(issued[0], clock.now).cover in {each.public for each in ring.keys.covers if each.until > clock.now}
    task.cancel()


async def test_a_recorded_hello_after_a_crash(decoy: int, tmp_path: Path) -> None:
    """Whoever recorded it meets the decoy; the owner of the key gets in at once."""
    ring, now = KeyRing(tmp_path), time.time()
    before = ReplayJournal(tmp_path, now, fresh=True, boot=boot_id())
    async with serving(ring, decoy, before.cache) as port:
        data = describe(ring.keys, presentation(port), now)
        with observed(port) as (relay, seen):
            await visit(data, now, relay)
        hello = seen[0].first[UP]
        assert len(before.cache) == 1
    after = ReplayJournal(tmp_path, time.time(), fresh=False, boot=boot_id())
    async with serving(ring, decoy, after.cache) as port:
        for _ in range(20):
            assert await answered(port, hello), "the decoy's flight"
        assert len(after.cache) == 1, "none was taken for a client's"
        await visit(data, now, port)
        assert len(after.cache) == 2


async def answered(port: int, hello: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    writer.write(hello)
    got = await reader.readexactly(200)
    writer.close()
    return got
