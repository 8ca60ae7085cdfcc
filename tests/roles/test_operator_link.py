"""Asking an operator's directory through its tunnel, with an ordinary HTTP client: a real peer before a real decoy."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from qnet.net import peer_link
from qnet.roles import directory_door, operator_link
from qnet.roles.directory_door import DirectoryDoor
from qnet.roles.directory_http import DirectoryError, Source, request
from qnet.roles.operator_link import OperatorLink
from qnet.roles.tunnel_http import TunnelTransport
from qnet.wire.frames import Reset
from qnet.wire.scratch import Scratch
from tests.support.cover_pair import NAME, authority
from tests.support.links import CIRCUIT, attach, until
from tests.support.peers import Peer, disguise, peer
from tests.support.tls_servers import free_port, nginx

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def decoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("decoy")
    with nginx(folder, authority().issue(NAME)) as port:
        yield port


@dataclass
class Operator:
    """A peer with a door to an application that says who asks."""

    peer: Peer
    door: DirectoryDoor
    links: list[OperatorLink]

    def link(self, **changes: object) -> OperatorLink:
        made = OperatorLink(lambda: self.peer.descriptor(**changes), disguise(), Scratch())
        self.links.append(made)
        return made

    def source(self, link: OperatorLink) -> Source:
        return Source(b"", "http://directory.qnet", lambda: TunnelTransport(link.open))


@asynccontextmanager
async def operator(decoy: int) -> AsyncIterator[Operator]:
    async def who(request: Request) -> Response:
        assert request.client is not None
        return JSONResponse(
            {"from": request.client.host, "got": len(await request.body()), "host": request.url.hostname}
        )

    async def big(request: Request) -> Response:
        return Response(bytes(3_000_000))

    async def never(request: Request) -> Response:
        await asyncio.sleep(60)
        raise AssertionError

    routes = [Route("/who", who, methods=["GET", "POST"]), Route("/big", big), Route("/never", never)]
    door = DirectoryDoor(Starlette(routes=routes))
    serving = asyncio.create_task(door.run())
    try:
        async with peer(decoy, directory=door) as made:
            found = Operator(made, door, [])
            yield found
            for link in found.links:
                link.close()
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def test_requests_are_streams_of_one_link(decoy: int) -> None:
    async with operator(decoy) as made:
        link = made.link()
        for size in (0, 10, 5000):
            status, _, body = await request(made.source(link), "POST", "/who", content=bytes(size))
            # Loopback is not “this computer” to a directory that is asked through a tunnel.
            assert (status, body) == (200, b'{"from":"tunnel","got":%d,"host":"directory.qnet"}' % size)
        assert len(made.peer.made) == 1


async def test_the_directory_knows_from_where_a_tunnel_comes(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_link.PeerConnection, "source", "198.51.100.7")
    async with operator(decoy) as made:
        assert b"198.51.100.7" in (await request(made.source(made.link()), "GET", "/who"))[2]


async def test_other_programs_of_this_computer_do_not_come_in_by_the_back_door(decoy: int) -> None:
    async with operator(decoy) as made:
        host, port = made.door._bound.getsockname()
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://{host}:{port}/who")
        assert answer.status_code == 403


async def test_megabytes_at_once_and_in_parallel(decoy: int) -> None:
    async with operator(decoy) as made:
        source = made.source(made.link())
        answers = await asyncio.gather(*(request(source, "GET", "/big") for _ in range(8)))
        assert [(status, len(body)) for status, _, body in answers] == [(200, 3_000_000)] * 8
        assert len(made.peer.made) == 1


async def test_nothing_but_the_directory_is_behind_it(decoy: int) -> None:
    async with operator(decoy) as made:
        link = made.link()
        for url in ("http://site.test", "http://directory.qnet:81", "http://other.qnet"):
            with pytest.raises(DirectoryError, match="ConnectError"):
                await request(Source(b"", url, lambda: TunnelTransport(link.open)), "GET", "/who")
        assert not made.peer.made


@pytest.mark.parametrize("name", ["other.qnet", "qnet", "DIRECTORY.qnet", "directory.qnet.", "x.directory.qnet"])
async def test_a_peer_answers_for_no_other_name_of_the_mesh(decoy: int, name: str) -> None:
    async with operator(decoy) as made:
        link = await made.peer.connect()
        assert await link.channel.open(CIRCUIT, name, 80).opened is Reset.POLICY
        assert await link.channel.open(CIRCUIT, "directory.qnet", 443).opened is Reset.POLICY
        assert made.peer.exit.counts.requests == 0, "no resolver is asked"
        link.close("done")


async def test_a_peer_without_a_directory_refuses(decoy: int) -> None:
    async with peer(decoy) as plain:
        link = OperatorLink(plain.descriptor, disguise(), Scratch())
        with pytest.raises(DirectoryError, match="not reached"):
            await request(Source(b"", "http://directory.qnet", lambda: TunnelTransport(link.open)), "GET", "/who")
        assert plain.exit.counts.requests == 0
        link.close()


async def test_one_tunnel_has_so_many_places_and_silence_loses_them(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_door, "MAX_OF_ONE", 4)
    monkeypatch.setattr(directory_door, "LONGEST_SECONDS", 0.5)
    async with operator(decoy) as made:
        link = await made.peer.connect()
        streams = [link.channel.open(CIRCUIT, "directory.qnet", 80) for _ in range(4)]
        assert [await stream.opened for stream in streams] == [None] * 4
        applications = [await attach(stream) for stream in streams]
        assert await link.channel.open(CIRCUIT, "directory.qnet", 80).opened is Reset.LIMIT
        assert (await request(made.source(made.link()), "GET", "/who"))[0] == 200, "another tunnel has places"
        for reader, writer in applications:
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.close()
        assert await link.channel.open(CIRCUIT, "directory.qnet", 80).opened is None
        link.close("done")


async def test_a_lost_link_is_made_again(decoy: int) -> None:
    async with operator(decoy) as made:
        source = made.source(link := made.link())
        assert (await request(source, "GET", "/who"))[0] == 200
        made.peer.made[0].client.transport.abort()  # type: ignore[union-attr]
        await until(lambda: link._circuit is None or link._circuit.closed)
        assert (await request(source, "GET", "/who"))[0] == 200
        assert len(made.peer.made) == 2


async def test_a_link_that_went_silent_is_given_up_at_the_next_request(
    decoy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operator_link, "SILENT_SECONDS", 0.1)
    async with operator(decoy) as made:
        source = made.source(made.link())
        assert (await request(source, "GET", "/who"))[0] == 200
        made.peer.made[0].client.transport.pause_reading()  # type: ignore[union-attr]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await request(source, "GET", "/who")
        assert (await request(source, "GET", "/who"))[0] == 200
        assert len(made.peer.made) == 2


async def test_a_link_that_nobody_uses_is_let_go(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_link, "IDLE_SECONDS", 0.1)
    async with operator(decoy) as made:
        link = made.link()
        await request(made.source(link), "GET", "/who")
        await until(lambda: link._circuit is None)


async def test_a_request_in_progress_keeps_the_link(decoy: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_link, "IDLE_SECONDS", 0.1)
    async with operator(decoy) as made:
        link = made.link()
        asking = asyncio.create_task(request(made.source(link), "GET", "/never"))
        await asyncio.sleep(0.5)
        assert link._circuit is not None and not link._circuit.closed
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking


async def test_the_next_address_when_one_does_not_answer(decoy: int) -> None:
    async with operator(decoy) as made:
        link = made.link(addresses=(f"127.0.0.1:{free_port()}", f"127.0.0.1:{made.peer.port}"))
        assert (await request(made.source(link), "GET", "/who"))[0] == 200


async def test_an_operator_that_is_not_there_is_a_reason(decoy: int) -> None:
    async with operator(decoy) as made:
        link = made.link(addresses=(f"127.0.0.1:{free_port()}",))
        with pytest.raises(DirectoryError, match="not reached"):
            await request(made.source(link), "GET", "/who")
