"""Finding peers through real HTTP: fast, from several directories, and whatever a bad one does."""

import gzip
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from qnet.mesh.directory import Directory
from qnet.roles.directory import DirectoryService
from qnet.roles.directory_client import DirectoryClient, read_cache, read_listing
from qnet.roles.directory_http import ANSWER_LIMIT, DirectoryError, Source
from qnet.roles.directory_store import MemoryStore
from qnet.wire.network_file import NetworkFile, Operator
from tests.support.directories import DAY, NOW, Clock, Peer, closed_directory, public, served, text
from tests.support.tls_servers import free_port

pytestmark = pytest.mark.anyio


class Mesh:
    """Operators with directories, a relay that all endorse, and a network file. ``urls`` may be changed before use."""

    def __init__(self, operators: int, folder: Path) -> None:
        self.clock = Clock()
        self.operators = [Peer(country="NL") for _ in range(operators)]
        keys = [each.key for each in self.operators]
        self.directories = [closed_directory(*keys) for _ in keys]
        self.urls = [""] * operators
        self.cache = folder / "peers"
        self.network = NetworkFile(
            bytes(32), "n", NOW, tuple(Operator(each.descriptor(expires=NOW + 9 * DAY)) for each in self.operators)
        )

    def register(self, peer: Peer, *directories: Directory) -> Peer:
        now = self.clock.now
        words = [peer.endorsed(each.key, now) for each in self.operators]
        for directory in directories or self.directories:
            directory.register(peer.descriptor(now), words, peer.heartbeat(now), now)
        return peer

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for number, directory in enumerate(self.directories):
                service = DirectoryService(directory, MemoryStore(None), clock=self.clock)
                self.urls[number] = await stack.enter_async_context(served(service.app))
            yield

    def client(self) -> DirectoryClient:
        keys = [public(each.key) for each in self.operators]
        return DirectoryClient(self.network, list(map(Source, keys, self.urls)), self.cache, self.clock)


async def test_found_in_less_than_two_seconds(tmp_path: Path) -> None:
    mesh = Mesh(3, tmp_path)
    relays = {mesh.register(Peer()).id for _ in range(5)}
    async with mesh.serve():
        started = time.monotonic()
        found = await mesh.client().discover()
        assert time.monotonic() - started < 2
    assert (found.origin, found.problems) == ("directory", {})
    assert {each.descriptor.peer_id for each in found.peers} == relays


async def test_a_second_query_asks_for_changes_only(tmp_path: Path) -> None:
    mesh = Mesh(1, tmp_path)
    first, second = mesh.register(Peer()), mesh.register(Peer())
    async with mesh.serve():
        client = mesh.client()
        found = await client.discover()
        assert {each.descriptor.peer_id for each in found.peers} == {first.id, second.id}
        mesh.clock.now += 100
        third = mesh.register(Peer())
        mesh.directories[0].register(None, [], second.heartbeat(mesh.clock.now), mesh.clock.now)
        mesh.clock.now += 30
        found = await client.discover()
    assert {each.descriptor.peer_id for each in found.peers} == {second.id, third.id}


async def test_a_peer_that_one_of_three_lists_is_not_believed(tmp_path: Path) -> None:
    mesh = Mesh(3, tmp_path)
    common = mesh.register(Peer())
    mesh.register(Peer(), mesh.directories[0])
    async with mesh.serve():
        found = await mesh.client().discover()
    assert [each.descriptor.peer_id for each in found.peers] == [common.id]


async def test_directories_may_know_different_descriptors_of_a_peer(tmp_path: Path) -> None:
    for _ in range(5):  # with other keys, the directories come in another order
        mesh = Mesh(3, tmp_path)
        relay = mesh.register(Peer(), mesh.directories[0])
        mesh.clock.now += 5
        mesh.register(relay, mesh.directories[1])
        async with mesh.serve():
            (found,) = (await mesh.client().discover()).peers
            assert found.descriptor.issued == NOW + 5


async def test_a_client_never_registers(tmp_path: Path) -> None:
    """Nor does it tell a directory later, perhaps from elsewhere, what it was shown before."""
    asked: list[tuple[str, str, bytes]] = []
    since: list[bool] = []

    async def app(scope, receive, send) -> None:
        request = Request(scope, receive)
        asked.append((request.method, request.url.path, await request.body()))
        since.append("since" in request.query_params)
        await service.app(scope, receive, send)

    mesh = Mesh(1, tmp_path)
    mesh.register(Peer())
    service = DirectoryService(mesh.directories[0], MemoryStore(None), clock=mesh.clock)
    async with served(app) as url:
        mesh.urls[0] = url
        client = mesh.client()
        for later in (0, 30, 900):
            mesh.clock.now += later
            mesh.register(Peer())
            assert (await client.discover()).origin == "directory"
    assert asked == [("GET", "/api/relays/by-country", b"")] * 3
    assert since == [False, True, False]


Answer = Callable[[Request], Awaitable[Response]]


def answering(answer: Answer):
    async def app(scope, receive, send) -> None:
        response = await answer(Request(scope, receive))
        await response(scope, receive, send)

    return app


async def stall(request: Request) -> Response:
    await anyio.sleep(30)
    return Response()


async def drip(request: Request) -> Response:
    async def slowly() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await anyio.sleep(0.05)

    return StreamingResponse(slowly())


async def gigabyte(request: Request) -> Response:
    async def much() -> AsyncIterator[bytes]:
        for _ in range(1024):
            yield bytes(1 << 20)

    return StreamingResponse(much())


async def bomb(request: Request) -> Response:
    return Response(gzip.compress(bytes(100 << 20)), headers={"Content-Encoding": "gzip"})


async def broken_gzip(request: Request) -> Response:
    return Response(b"no gzip", headers={"Content-Encoding": "gzip"})


async def junk(request: Request) -> Response:
    return Response(os.urandom(1000))


async def nested(request: Request) -> Response:
    return Response(b"[" * 100_000)


async def failing(request: Request) -> Response:
    return Response(b"{}", status_code=500)


async def elsewhere(request: Request) -> Response:
    return Response(status_code=302, headers={"Location": "http://192.0.2.1/"})


async def refusing(request: Request) -> Response:
    return Response(json.dumps({"error": {"code": "rate", "message": "too many requests"}}), status_code=429)


async def nobody(request: Request) -> Response:
    return Response(b"{}")


async def sybils(request: Request) -> Response:
    peers = [Peer(roles=("entry", "exit")) for _ in range(50)]
    items = [{"descriptor": text(each.descriptor()), "endorsements": [text(each.endorsed(each.key))]} for each in peers]
    return Response(json.dumps({"US": items}))


BAD = {
    stall: "in time",
    drip: "in time",
    gigabyte: "longer than 8 MiB",
    bomb: "longer than 8 MiB",
    broken_gzip: "compression is damaged",
    junk: "no list of peers",
    nested: "no list of peers",
    failing: "answers 500",
    elsewhere: "answers 302",
    refusing: "too many requests",
}


@pytest.mark.parametrize("bad", [*BAD, nobody, sybils], ids=lambda bad: bad.__name__)
async def test_a_bad_directory_beside_a_good_one_costs_a_moment(bad: Answer, tmp_path: Path) -> None:
    mesh = Mesh(2, tmp_path)
    relay = mesh.register(Peer())
    async with mesh.serve(), served(answering(bad)) as url:
        mesh.urls[0] = url
        started = time.monotonic()
        found = await mesh.client().discover()
        assert time.monotonic() - started < 2
    assert [each.descriptor.peer_id for each in found.peers] == [relay.id]
    assert found.origin == "directory"


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
async def test_a_bad_directory_alone_is_told_in_words(bad: Answer, tmp_path: Path) -> None:
    mesh = Mesh(1, tmp_path)
    async with served(answering(bad)) as url:
        mesh.urls[0] = url
        with anyio.fail_after(4):
            found = await mesh.client().discover()
    assert BAD[bad] in found.problems[public(mesh.operators[0].key)]
    assert found.origin == "operators"
    assert [each.descriptor.peer_id for each in found.peers] == [mesh.operators[0].id]


async def test_without_any_directory_the_disk_then_the_operators(tmp_path: Path) -> None:
    mesh = Mesh(3, tmp_path)
    relay = mesh.register(Peer())
    async with mesh.serve():
        await mesh.client().discover()
    mesh.urls = [f"http://127.0.0.1:{free_port()}" for _ in mesh.urls]
    found = await mesh.client().discover()
    assert found.origin == "cache" and len(found.problems) == 3
    assert [each.descriptor.peer_id for each in found.peers] == [relay.id]
    mesh.clock.now += DAY
    found = await mesh.client().discover()
    assert found.origin == "operators"
    assert {each.descriptor.peer_id for each in found.peers} == {each.id for each in mesh.operators}


async def test_a_directory_that_forgets_everyone_is_not_believed_at_once(tmp_path: Path) -> None:
    mesh = Mesh(1, tmp_path)
    relay = mesh.register(Peer())
    async with mesh.serve():
        await mesh.client().discover()
    async with served(answering(nobody)) as url:
        mesh.urls[0] = url
        found = await mesh.client().discover()
    assert found.origin == "cache" and [each.descriptor.peer_id for each in found.peers] == [relay.id]


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80", b"\x81\x82\x41\x00\x81\x82\x41\x00\x81\x00", b"\x01"])
async def test_a_corrupt_cache_is_as_good_as_none(content: bytes, tmp_path: Path) -> None:
    mesh = Mesh(1, tmp_path)
    mesh.cache.write_bytes(content)
    relay = mesh.register(Peer())
    async with mesh.serve():
        found = await mesh.client().discover()
    assert [each.descriptor.peer_id for each in found.peers] == [relay.id]
    assert list(read_cache(mesh.cache, NOW)) == [public(mesh.operators[0].key)], "and is mended"


async def test_a_full_disk_does_not_matter(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mesh = Mesh(1, tmp_path)
    mesh.cache = Path("/dev/full/peers")
    mesh.register(Peer())
    async with mesh.serve():
        assert len((await mesh.client().discover()).peers) == 1
    assert "cannot be kept on disk" in caplog.text


def test_bad_items_are_passed_over() -> None:
    good, old = Peer(), Peer()
    items = [{"descriptor": text(data)} for data in (b"x", old.descriptor(NOW - 2 * DAY), good.descriptor())]
    items[-1]["endorsements"] = [text(b"x")]  # type: ignore[assignment]
    assert set(read_listing(json.dumps({"US": items}).encode(), {}, NOW)) == {good.id}


@given(st.binary(max_size=200))
def test_junk_is_no_listing(body: bytes) -> None:
    with suppress(DirectoryError):
        assert read_listing(body, {}, NOW) == {}


def test_the_limit_is_what_the_words_say() -> None:
    assert ANSWER_LIMIT == 8 << 20
