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
from qnet.roles.tunnel import NoTunnelError
from qnet.wire.errors import RemoteError

OpenStream = Callable[[], Awaitable[StreamSocket]]


class TunnelTransport(httpx.AsyncHTTPTransport):
    """Every connection is a stream that ``open_stream`` gives; it leads to ``directory.qnet`` and nowhere else."""

    def __init__(self, open_stream: OpenStream) -> None:
        super().__init__(verify=False, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(network_backend=_Backend(open_stream))


class WebTransport(httpx.AsyncHTTPTransport):
    """HTTPS to any site through the tunnel; ``open_stream`` is given host and port, ``trust`` verifies the site."""

    def __init__(self, open_stream: Callable[[str, int], Awaitable[StreamSocket]], trust: ssl.SSLContext) -> None:
        super().__init__(verify=False, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(ssl_context=trust, network_backend=_WebBackend(open_stream))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("only https", request=request)
        return await super().handle_async_request(request)


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
        try:
            async with asyncio.timeout(timeout):
                stream = await self._open(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except RemoteError as error:
            raise httpcore.ConnectError(type(error).__name__) from None
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        await asyncio.get_running_loop().create_connection(lambda: stream, sock=ours)
        return self._stream(*await asyncio.open_connection(sock=theirs))

    async def _open(self, host: str, port: int) -> StreamSocket:
        if (host, port) != DIRECTORY:
            raise httpcore.ConnectError("no such name in the tunnel")
        return await self._open_stream()

    def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> httpcore.AsyncNetworkStream:
        return _Stream(reader, writer)


class _WebBackend(_Backend):
    def __init__(self, open_stream: Callable[[str, int], Awaitable[StreamSocket]]) -> None:
        self._open_any = open_stream

    async def _open(self, host: str, port: int) -> StreamSocket:
        try:
            return await self._open_any(host, port)
        except NoTunnelError:
            raise httpcore.ConnectError("no tunnel") from None

    def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> httpcore.AsyncNetworkStream:
        return _WebStream(reader, writer)


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


class _WebStream(_Stream):
    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        # A reader of its own: ``StreamWriter.start_tls`` leaves the old one, which would go on to pause the transport
        # below TLS (3.11), and after some hundred kilobytes nothing comes any more.
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport = await loop.start_tls(
                self._writer.transport,
                protocol,
                ssl_context,
                server_hostname=server_hostname,
                ssl_handshake_timeout=timeout,
            )
        except OSError as error:  # ssl.SSLError is one
            raise httpcore.ConnectError(type(error).__name__) from None
        if transport is None:
            raise httpcore.ConnectError("lost at once")
        protocol.connection_made(transport)
        made = _WebStream(reader, asyncio.StreamWriter(transport, protocol, reader, loop))
        made._below = self  # whose end would close what is below TLS
        return made

    _below: "_WebStream | None" = None
