"""A listener for one ClientHello: a browser of this computer is sent here, and what it says first is kept.

It answers nothing. Only a hello for the name that nobody but the asker knows counts, so that no other program can slip
in one of its own; names below ``localhost`` are this computer's (RFC 6761), and are looked up nowhere.
"""

import asyncio
import secrets
from contextlib import suppress
from typing import cast

from qnet.wire.errors import RemoteError
from qnet.wire.tls.hello import ClientHello

SECONDS = 10.0
"""How long a browser may take to come."""
_HEADER = 5
_LIMIT = _HEADER + (1 << 14)
_CONNECTIONS = 8


class HelloListener:
    """``open`` it and send the browser to ``url``; ``record`` waits for what it says."""

    def __init__(self) -> None:
        self._name = f"{secrets.token_hex(16)}.localhost"
        self._found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._left = _CONNECTIONS
        self._callers: set[asyncio.Transport] = set()
        self._servers: list[asyncio.Server] = []
        self.url = ""

    async def open(self) -> None:
        """Listen, on a port of the system's choice; raises ``OSError``."""
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(lambda: _Caller(self), "127.0.0.1", 0))
        port = self._servers[0].sockets[0].getsockname()[1]
        with suppress(OSError):  # a machine without IPv6
            self._servers.append(await loop.create_server(lambda: _Caller(self), "::1", port))
        self.url = f"https://{self._name}:{port}/"

    def close(self) -> None:
        """Be gone."""
        for server in self._servers:
            server.close()
        for transport in list(self._callers):
            transport.abort()

    async def record(self) -> bytes:
        """The first ClientHello for ``url``, a whole TLS record; raises ``TimeoutError`` after ten seconds."""
        async with asyncio.timeout(SECONDS):
            return await self._found

    # --- what the callers tell

    def came(self, transport: asyncio.Transport) -> None:
        """A connection was made."""
        self._left -= 1
        self._callers.add(transport)
        if self._left < 0:
            transport.abort()

    def went(self, transport: asyncio.Transport) -> None:
        """It is over."""
        self._callers.discard(transport)

    def said(self, record: bytes) -> None:
        """Its first record is whole."""
        try:
            named = ClientHello.parse(record[_HEADER:]).server_name()
        except RemoteError:
            return
        if named == self._name and not self._found.done():
            self._found.set_result(record)


class _Caller(asyncio.Protocol):
    def __init__(self, listener: HelloListener) -> None:
        self._listener = listener
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._listener.came(self._transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        if len(self._heard) < _HEADER:
            return
        end = _HEADER + int.from_bytes(self._heard[3:5], "big")
        if len(self._heard) >= end or end > _LIMIT:
            self._listener.said(bytes(self._heard[:end]))
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.went(self._transport)
