"""HTTP through a tunnel with an ordinary HTTP client: a transport for ``httpx`` whose connections are streams."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import httpcore
import httpx

from qnet.net.stream import StreamSocket
from qnet.roles.operator_link import DIRECTORY
from qnet.wire.errors import RemoteError

OpenStream = Callable[[], Awaitable[StreamSocket]]


class TunnelTransport(httpx.AsyncHTTPTransport):
    """Every connection is a stream that ``open_stream`` gives; it leads to ``directory.qnet`` and nowhere else."""

    def __init__(self, open_stream: OpenStream) -> None:
        super().__init__(verify=False, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(network_backend=_Backend(open_stream))


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, open_stream: OpenStream) -> None:
        self._open_stream = open_stream

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if (host, port) != DIRECTORY:
            raise httpcore.ConnectError("no such name in the tunnel")
        try:
            async with asyncio.timeout(timeout):
                stream = await self._open_stream()
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except RemoteError as error:
            raise httpcore.ConnectError(type(error).__name__) from None
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: stream, sock=ours)
        return _Stream(*await asyncio.open_connection(sock=theirs))


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        try:
            async with asyncio.timeout(timeout):
                return await self._reader.read(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError:
            raise httpcore.ReadError from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's signature
        try:
            self._writer.write(buffer)
            async with asyncio.timeout(timeout):
                await self._writer.drain()
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError:
            raise httpcore.WriteError from None

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("no TLS inside the tunnel")

    def get_extra_info(self, info: str) -> Any:
        return None
