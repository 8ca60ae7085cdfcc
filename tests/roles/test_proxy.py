"""The local proxy over a tunnel that is a real link: answers, handing over, programs that misbehave."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from qnet.browser.rules.ruleset import Verdict
from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.stream import StreamSocket
from qnet.roles import proxy as proxy_module
from qnet.roles.proxy import Proxy
from qnet.roles.tunnel import NoTunnelError, Tunnel
from qnet.wire.messages import RuleAction
from tests.support.links import CIRCUIT, Pair, allowing, link_pair, silent_listener, site, until

pytestmark = pytest.mark.anyio


class OneLink:
    """A tunnel that is one link already, or none."""

    def __init__(self, pair: Pair | None) -> None:
        self.pair = pair

    async def open(self, host: str, port: int, **wish: object) -> StreamSocket:
        if self.pair is None:
            raise NoTunnelError
        return self.pair.client.open(CIRCUIT, host, port)


def reaching(port: int) -> ExitPolicy:
    return ExitPolicy(frozenset(), allowing(port))


@asynccontextmanager
async def proxy(pair: Pair | None, *, is_browser: bool = False) -> AsyncIterator[tuple[Proxy, int]]:
    role = Proxy(cast(Tunnel, OneLink(pair)), lambda host, port: Verdict(RuleAction.TUNNEL))
    server = await asyncio.get_running_loop().create_server(
        lambda: role.protocol(is_browser=is_browser), "127.0.0.1", 0
    )
    try:
        yield role, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.sleep(0.02)  # the last connections end


def socks(port: int, host: bytes = b"127.0.0.1") -> bytes:
    return b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(host)]) + host + struct.pack(">H", port)


async def talk(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    async with asyncio.timeout(5):
        got = await reader.read()
    writer.close()
    return got


async def echo_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read(1 << 16))


async def test_socks_with_data_in_one_piece() -> None:
    async with (
        site(echo_once) as port,
        link_pair(reaching(port)) as pair,
        proxy(pair) as (_, at),
    ):
        got = await talk(at, socks(port) + b"early")
        assert got == b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6) + b"early"


async def test_connect_with_data_in_one_piece() -> None:
    async with (
        site(echo_once) as port,
        link_pair(reaching(port)) as pair,
        proxy(pair) as (_, at),
    ):
        got = await talk(at, b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\nearly" % (port, port))
        assert got == b"HTTP/1.1 200 Connection established\r\n\r\nearly"


async def test_a_plain_request_and_nothing_after_it() -> None:
    got = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(4)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfine")
        writer.write_eof()
        got.set_result(head + body + await reader.read())

    async with site(serve) as port, link_pair(reaching(port)) as pair, proxy(pair) as (_, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at)
        writer.write(b"POST http://127.0.0.1:%d/ HTTP/1.0\r\nContent-Length: 4\r\n\r\nbody" % port)
        writer.write(b"GET http://other.test/secret HTTP/1.1\r\n\r\n")
        assert (await reader.read()).endswith(b"fine")
        writer.close()
        assert (await got).endswith(b"\r\n\r\nbody")
        await until(lambda: pair.client.streams == 0)


async def test_a_program_that_leaves_after_its_request_is_noticed() -> None:
    """The site does not answer; only the program's end says that nobody waits any more."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with site(hang) as port, link_pair(reaching(port)) as pair, proxy(pair) as (_, at):
        _, writer = await asyncio.open_connection("127.0.0.1", at)
        writer.write(b"GET http://127.0.0.1:%d/ HTTP/1.0\r\n\r\n" % port)
        await until(lambda: pair.client.streams == 1)
        await asyncio.sleep(0.05)
        writer.close()
        await until(lambda: pair.client.streams == 0 and pair.peer.streams == 0)


async def test_no_tunnel_has_its_answer() -> None:
    async with proxy(None) as (_, at):
        assert (await talk(at, socks(80)))[2:4] == b"\x05\x03"
        assert b" 503 " in await talk(at, b"GET http://site.test/ HTTP/1.0\r\n\r\n")
        assert b" 503 " in await talk(at, b"CONNECT site.test:443 HTTP/1.0\r\n\r\n")


async def test_the_exits_reason_is_told() -> None:
    async with link_pair(ExitPolicy(frozenset([80]))) as pair, proxy(pair) as (_, at):
        assert (await talk(at, socks(80, b"10.0.0.1")))[2:4] == b"\x05\x02"
        assert b" 403 " in await talk(at, b"GET http://10.0.0.1/ HTTP/1.0\r\n\r\n")
        assert b" 502 " in await talk(at, b"GET http://name.invalid/ HTTP/1.0\r\n\r\n")


async def test_a_destination_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "OPEN_SECONDS", 0.2)
    with silent_listener() as port:
        async with link_pair(reaching(port)) as pair, proxy(pair) as (_, at):
            assert (await talk(at, socks(port)))[2:4] == b"\x05\x06"
            await until(lambda: pair.client.streams == pair.peer.streams == 0 and not pair.exit._tasks)


async def test_an_optimistic_browser_is_told_at_once_and_cut_off_when_it_was_wrong() -> None:
    async with link_pair(ExitPolicy(frozenset([80]))) as pair, proxy(pair, is_browser=True) as (_, at):
        reader, writer = await asyncio.open_connection("127.0.0.1", at)
        writer.write(b"CONNECT 10.0.0.1:443 HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.read()
        writer.close()


async def test_a_program_that_says_nothing_or_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "HANDSHAKE_SECONDS", 0.2)
    async with link_pair(ExitPolicy(frozenset([80]))) as pair, proxy(pair) as (role, at):
        for data in (b"", b"\x05", b"GET http://site"):
            assert await talk(at, data) == b""
        assert await talk(at, b"\xff\xff") == b""
        await until(lambda: not role._tasks)


async def test_too_many_at_once_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "MAX_CONNECTIONS", 2)
    async with link_pair(ExitPolicy(frozenset([80]))) as pair, proxy(pair) as (role, at):
        held = [await asyncio.open_connection("127.0.0.1", at) for _ in range(2)]
        await until(lambda: len(role._tasks) == 2)
        assert await talk(at, b"") == b""
        for _, writer in held:
            writer.close()
        await until(lambda: not role._tasks)


async def test_a_program_that_is_gone_before_the_answer() -> None:
    async with site(echo_once) as port, link_pair(reaching(port)) as pair, proxy(pair) as (role, at):
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", at)) as gone:
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.sendall(socks(port))
            await asyncio.sleep(0.005)
        await until(lambda: not role._tasks and pair.client.streams == pair.peer.streams == 0)
        assert not pair.client.link.closed
