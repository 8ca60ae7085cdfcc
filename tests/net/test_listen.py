"""Listening, and the failures that a person can mend."""

import asyncio
import socket

import pytest

from qnet.net.listen import ListenError, PortInUseError, bind, serve


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)])
def test_any_free_port(host: str, family: int) -> None:
    try:
        bound = bind(host, 0, what="the proxy", option="--socks-port")
    except ListenError:
        pytest.skip("this machine has no IPv6")
    with bound:
        assert bound.family == family and bound.getsockname()[1] > 0
        with socket.create_connection(bound.getsockname()[:2]):
            pass


def test_a_port_in_use_is_said_in_words() -> None:
    with bind("127.0.0.1", 0, what="the proxy", option="--socks-port") as first:
        port = first.getsockname()[1]
        with pytest.raises(PortInUseError) as caught:
            bind("127.0.0.1", port, what="the proxy", option="--socks-port")
    assert str(port) in caught.value.message and "the proxy" in caught.value.message
    assert "--socks-port" in caught.value.hint
    assert caught.value.exit_code == 75


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "2001:db8::1"])
def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(ListenError) as caught:
        bind(host, 0, what="the public", option="--listen")
    assert caught.value.exit_code == 71 and "--listen" in caught.value.hint


@pytest.mark.anyio
async def test_serve_takes_connections() -> None:
    accepted = asyncio.get_running_loop().create_future()

    class Once(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.set_result(transport)

    server = await serve(Once, bind("127.0.0.1", 0, what="the proxy", option="--socks-port"))
    with socket.socket() as client:
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, server.sockets[0].getsockname())
        (await accepted).abort()
    server.close()


@pytest.mark.anyio
async def test_accepted_connections_send_small_answers_at_once() -> None:
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made = transport.get_extra_info("socket")
            accepted.set_result(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    server = await serve(Accepted, bind("127.0.0.1", 0, what="the proxy", option="--socks-port"))
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await accepted
        writer.close()
