"""``directory.qnet`` at an operator's node: streams of tunnels to the directory's HTTP server.

1. A stream is opened to ``directory.qnet``, port 80.
2. It gets a connection to a port on loopback that only this object knows the clients of; HTTP goes on there.
3. By the connection's own port the server learns from where the tunnel comes: its limits and buckets go by that.
"""

import asyncio
import logging
import socket
import weakref

from starlette.types import ASGIApp

from qnet.net.channel import Channel
from qnet.net.listen import bind
from qnet.net.peer_link import PeerConnection
from qnet.net.stream import StreamSocket
from qnet.roles.directory import TunnelApp
from qnet.roles.status import StatusServer
from qnet.wire.events import StreamOpen
from qnet.wire.frames import Reset

MAX_CONNECTIONS = 4096
"""Streams to the directory at once, over all tunnels."""

_log = logging.getLogger(__name__)


class DirectoryServer(StatusServer):
    """The status page's server for as many clients as a directory has."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.config.limit_concurrency = MAX_CONNECTIONS + 64


class DirectoryDoor:
    """Start ``run`` in a task, then streams may come."""

    def __init__(self, app: ASGIApp) -> None:
        self._sources: dict[int, tuple[str]] = {}
        self._bound = bind("127.0.0.1", 0, what="the directory", option="--directory-http")
        self._server = DirectoryServer(TunnelApp(app, self._source))
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await self._server.serve(sockets=[self._bound])
        finally:
            self._bound.close()

    def open(self, channel: Channel, event: StreamOpen) -> None:
        """Connect the stream in a task of its own."""
        stream = channel.attach(event.circuit, event.stream)
        if len(self._sources) >= MAX_CONNECTIONS:
            channel.drop(stream, Reset.LIMIT)
            return
        task = asyncio.get_running_loop().create_task(self._connect(channel, stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, channel: Channel, stream: StreamSocket) -> None:
        loop = asyncio.get_running_loop()
        raw = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        raw.setblocking(False)
        try:
            raw.bind(("127.0.0.1", 0))
            # Known before the server can ask for it, and forgotten with the socket.
            self._remember(raw, source_of(channel))
            await loop.sock_connect(raw, self._bound.getsockname())
            await loop.create_connection(lambda: stream, sock=raw)
        except OSError as error:
            _log.error("the directory cannot be reached from its own tunnel: %s", type(error).__name__)
            raw.close()
            channel.drop(stream, Reset.INTERNAL)
        else:
            channel.opened(stream)

    def _remember(self, raw: socket.socket, source: str) -> None:
        port = raw.getsockname()[1]
        entry = self._sources[port] = (source,)

        def forget() -> None:
            if self._sources.get(port) is entry:  # another connection may have the port by now
                del self._sources[port]

        weakref.finalize(raw, forget)

    def _source(self, port: int) -> str | None:
        entry = self._sources.get(port)
        return entry and entry[0]


def source_of(channel: Channel) -> str:
    """The address at the other end of the tunnel; "" if nobody knows."""
    owner = channel.link.owner
    return owner.source if isinstance(owner, PeerConnection) else ""
