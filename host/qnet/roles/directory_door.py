"""``directory.qnet`` at an operator's node: streams of tunnels to the directory's HTTP server.

1. A stream is opened to ``directory.qnet``, port 80.
2. It gets a connection to a port on loopback that only this object knows the clients of; HTTP goes on there.
3. By the connection's own port the server learns from where the tunnel comes: its limits and buckets go by that.
"""

import asyncio
import logging
import socket
from typing import NamedTuple

from starlette.types import ASGIApp

from qnet.net.channel import Channel
from qnet.net.link import Link
from qnet.net.listen import bind
from qnet.net.peer_link import PeerConnection
from qnet.net.stream import StreamSocket
from qnet.roles.directory import TunnelApp
from qnet.roles.status import StatusServer
from qnet.wire.events import StreamOpen
from qnet.wire.frames import Reset

MAX_CONNECTIONS = 4096
"""Streams to the directory at once, over all tunnels."""

MAX_OF_ONE = 64
"""Of one tunnel."""

LONGEST_SECONDS = 60.0
"""A request ends sooner, or is ended: whoever connects and says nothing must not take the places of others."""

_log = logging.getLogger(__name__)


class DirectoryServer(StatusServer):
    """The status page's server for as many clients as a directory has."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.config.limit_concurrency = MAX_CONNECTIONS + 64


class _Visit(NamedTuple):
    """One stream's connection to the server, by our end of it."""

    end: socket.socket
    link: Link
    source: str

    @property
    def over(self) -> bool:
        return self.end.fileno() == -1


class DirectoryDoor:
    """Start ``run`` in a task, then streams may come."""

    def __init__(self, app: ASGIApp) -> None:
        self._visits: dict[int, _Visit] = {}
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
        self._visits = {port: visit for port, visit in self._visits.items() if not visit.over}
        mine = sum(visit.link is channel.link for visit in self._visits.values())
        if len(self._visits) >= MAX_CONNECTIONS or mine >= MAX_OF_ONE:
            channel.drop(stream, Reset.LIMIT)
            return
        try:
            end = _local_end()
        except OSError:
            channel.drop(stream, Reset.INTERNAL)
            return
        # Known before the server can ask for it.
        self._visits[end.getsockname()[1]] = _Visit(end, channel.link, source_of(channel))
        task = asyncio.get_running_loop().create_task(self._connect(channel, stream, end))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A stream that ends before it has its socket takes the attempt with it.
        stream.opened.add_done_callback(lambda _: task.cancel())

    async def _connect(self, channel: Channel, stream: StreamSocket, end: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(end, self._bound.getsockname())
            transport, _ = await loop.create_connection(lambda: stream, sock=end)
        except OSError as error:
            _log.error("the directory cannot be reached from its own tunnel: %s", type(error).__name__)
            end.close()
            channel.drop(stream, Reset.INTERNAL)
        except asyncio.CancelledError:
            end.close()
            raise
        else:
            channel.opened(stream)
            loop.call_later(LONGEST_SECONDS, transport.abort)

    def _source(self, port: int) -> str | None:
        visit = self._visits.get(port)
        return None if visit is None or visit.over else visit.source


def _local_end() -> socket.socket:
    end = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        end.setblocking(False)
        end.bind(("127.0.0.1", 0))
    except OSError:
        end.close()
        raise
    return end


def source_of(channel: Channel) -> str:
    """The address at the other end of the tunnel; "" if nobody knows."""
    owner = channel.link.owner
    return owner.source if isinstance(owner, PeerConnection) else ""
