"""What outlives a directory's memory: a snapshot on disk, and a real redis-server shared by two front ends."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import httpx
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.directory import Directory
from qnet.roles import directory_store
from qnet.roles.directory import DirectoryService
from qnet.roles.directory_store import MemoryStore, Record, RedisStore, Store, StoreError
from qnet.wire.errors import RemoteError
from tests.support.directories import NOW, Clock, Peer, open_directory, text
from tests.support.tls_servers import free_port

pytestmark = pytest.mark.anyio


class FrontEnd:
    """A directory over a store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self.directory = open_directory()
        self.service = DirectoryService(self.directory, store, clock=clock)
        transport = httpx.ASGITransport(self.service.app, client=("127.0.0.1", 5))  # type: ignore[arg-type]
        self.http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", trust_env=False)

    async def register(self, peer: Peer, now: float, descriptor: bytes | None) -> httpx.Response:
        body = {"heartbeat": text(peer.heartbeat(now))}
        if descriptor is not None:
            body["descriptor"] = text(descriptor)
        return await self.http.post("/api/relay/register", json=body)

    async def listed(self) -> set[str]:
        await self.service.start()
        answer = (await self.http.get("/api/relays/by-country")).json()
        return {item["peer_id"] for items in answer.values() for item in items}


def record(peer: Peer, directory: Directory | None = None) -> Record:
    directory = directory if directory is not None else open_directory()
    directory.register(peer.descriptor(), [], peer.heartbeat(load=3), NOW)
    return Record.of(directory.entries[peer.id])


def test_records_round_trip() -> None:
    made = record(Peer())
    assert Record.decode(made.encode()) == made


@given(st.binary(max_size=100))
def test_junk_is_no_record(data: bytes) -> None:
    with pytest.raises(RemoteError):
        Record.decode(data)


async def test_a_snapshot_survives_a_restart(tmp_path: Path) -> None:
    path, clock, peers = tmp_path / "directory", Clock(), [Peer(), Peer()]
    before = FrontEnd(MemoryStore(path), clock)
    for peer in peers:
        await before.register(peer, NOW, peer.descriptor())
    await before.service._checkpoint()
    assert path.stat().st_mode & 0o777 == 0o600
    clock.now += 60
    after = FrontEnd(MemoryStore(path), clock)
    assert await after.listed() == {peer.id.hex() for peer in peers}
    peers[0].seq = 0
    replayed = await after.register(peers[0], clock.now, None)
    assert replayed.json()["error"]["code"] == "replayed", "what was seen before the restart counts"
    clock.now += 60
    assert await after.listed() == set(), "nor does a restart make anyone live longer"


@pytest.mark.parametrize("content", [b"", b"junk", b"\x81\x41\x00", b"\x80", b"\x81\x01", b"\x01"])
async def test_a_damaged_snapshot_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "directory"
    path.write_bytes(content)
    front, peer = FrontEnd(MemoryStore(path), Clock()), Peer()
    assert await front.listed() == set()
    assert (await front.register(peer, NOW, peer.descriptor())).json()["is_new"] is True


async def test_a_full_disk_is_said_and_the_directory_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    front, peer = FrontEnd(MemoryStore(Path("/dev/full/directory")), Clock()), Peer()
    await front.register(peer, NOW, peer.descriptor())
    with pytest.raises(StoreError, match="snapshot cannot be written"):
        await front.service._checkpoint()
    monkeypatch.setattr("qnet.roles.directory.PRUNE_SECONDS", 0)
    monkeypatch.setattr("qnet.roles.directory.SYNC_SECONDS", 0.01)
    with anyio.move_on_after(0.1) as ended:
        await front.service.run()
    assert ended.cancelled_caught
    assert await front.listed() == {peer.id.hex()}


async def test_pruning_goes_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qnet.roles.directory.PRUNE_SECONDS", 0.02)
    monkeypatch.setattr("qnet.roles.directory.SYNC_SECONDS", 0.01)
    clock, peer = Clock(), Peer()
    front = FrontEnd(MemoryStore(None), clock)
    await front.register(peer, NOW, peer.descriptor())
    clock.now += 120
    async with anyio.create_task_group() as group:
        group.start_soon(front.service.run)
        with anyio.fail_after(5):
            while front.directory.size:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()


# --- Redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    port = free_port()
    folder = tmp_path_factory.mktemp("redis")
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 100)) as connection:
            connection.ping()
        yield port
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
async def url(server: int) -> AsyncIterator[str]:
    with redis.Redis(port=server) as connection:
        connection.flushall()
    yield f"redis://127.0.0.1:{server}/0"


async def test_two_front_ends_are_one_directory(url: str, server: int) -> None:
    clock, peer = Clock(), Peer()
    stores = [RedisStore(url), RedisStore(url)]
    one, two = (FrontEnd(store, clock) for store in stores)
    assert (await one.register(peer, NOW, peer.descriptor())).json()["is_new"] is True
    assert (await two.register(peer, NOW, None)).json()["error"]["code"] == "unknown-peer", "not seen yet, says so"
    assert (await two.register(peer, NOW, peer.descriptor())).json()["is_new"] is False
    assert await two.listed() == await one.listed() == {peer.id.hex()}
    clock.now += 5
    assert (await two.register(peer, clock.now, peer.descriptor(clock.now))).status_code == 200
    old = await one.register(peer, clock.now, peer.descriptor(NOW - 9))
    assert old.json()["error"]["code"] == "older", "what the other took counts at once"
    with redis.Redis(port=server) as connection:
        assert 110 < connection.ttl(f"qnet:entry:{peer.id.hex()}") <= 120
        assert connection.zcard("qnet:changes") == 1
    for store in stores:
        await store.close()


async def test_only_changes_are_read_again(url: str) -> None:
    store, peers = RedisStore(url), [Peer() for _ in range(3)]
    for peer in peers:
        await store.save(peer.id, record(peer))
    assert len(await store.changes()) == 3
    assert await store.changes() == []
    again = record(peers[1])
    await store.save(peers[1].id, again)
    assert await store.changes() == [again]
    assert await store.fetch(peers[1].id) == again
    assert await store.fetch(Peer().id) is None
    await store.close()


async def test_a_late_write_does_not_undo_a_newer_one(url: str) -> None:
    store, peer, directory = RedisStore(url), Peer(), open_directory()
    older, newer = record(peer, directory), record(peer, directory)
    await store.save(peer.id, newer)
    await store.save(peer.id, older)
    assert await store.fetch(peer.id) == newer
    await store.close()


async def test_redis_itself_forgets_the_silent(url: str, server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory_store, "TTL", 1)
    store, peer, other = RedisStore(url), Peer(), Peer()
    await store.save(peer.id, record(peer))
    await anyio.sleep(1.1)
    await store.save(other.id, record(other))
    assert await store.fetch(peer.id) is None
    assert len(await store.changes()) == 1
    await store.checkpoint([])
    with redis.Redis(port=server, decode_responses=True) as connection:
        assert connection.zrange("qnet:changes", 0, -1) == [other.id.hex()]
    await store.close()


async def test_damaged_entries_are_passed_over(url: str, server: int) -> None:
    store, peer = RedisStore(url), Peer()
    await store.save(peer.id, record(peer))
    with redis.Redis(port=server) as connection:
        connection.set(f"qnet:entry:{peer.id.hex()}", b"junk")
    assert await store.fetch(peer.id) is None and await store.changes() == []
    await store.close()


async def test_without_redis_registrations_are_refused_in_words() -> None:
    store, peer = RedisStore(f"redis://127.0.0.1:{free_port()}/0"), Peer()
    response = await FrontEnd(store, Clock()).register(peer, NOW, peer.descriptor())
    assert response.status_code == 503 and response.json()["error"]["code"] == "store"
    for call in (store.changes(), store.checkpoint([]), store.save(peer.id, record(Peer()))):
        with pytest.raises(StoreError, match="Redis does not answer"):
            await call
    await store.close()


def test_a_url_that_is_none() -> None:
    with pytest.raises(StoreError, match="URL"):
        RedisStore("here")
