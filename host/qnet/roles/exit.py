"""The exit: connects streams to their destinations, within its policy."""

import asyncio
import logging

from qnet.mesh.exit_policy import ExitPolicy, permitted
from qnet.net.channel import Channel
from qnet.net.dial import DialError, connect, own_among, resolve
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.wire.events import StreamOpen
from qnet.wire.frames import Reset
from qnet.wire.messages import ExitCounts

_log = logging.getLogger(__name__)


class Exit:
    """Opens streams for ``Services``. ``max_connections``: streams that may be open or opening at once."""

    def __init__(self, policy: ExitPolicy, max_connections: int) -> None:
        self._policy = policy
        self._max_connections = max_connections
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = self._success = self._blocked = 0
        self._links: set[Link] = set()

    @property
    def counts(self) -> ExitCounts:
        """Since the start."""
        return ExitCounts(requests=self._requests, success=self._success, blocked=self._blocked)

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """Connect in a task of its own; the stream's first bytes wait meanwhile."""
        self._requests += 1
        self._links.add(channel.link)
        socket = channel.attach(event.circuit, event.stream)
        if sum(each.streams for each in self._links) > self._max_connections:
            channel.drop(socket, Reset.LIMIT)
            return
        task = asyncio.get_running_loop().create_task(self._connect(channel, socket, event.host, event.port))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A stream that ends before it has its socket takes the attempt with it, so there are no more attempts than
        # streams.
        socket.opened.add_done_callback(lambda _: task.cancel())

    def link_closed(self, link: Link, reason: str) -> None:
        """The client is gone; its streams ended with it."""
        self._links.discard(link)
        _log.info("a tunnel ended: %s", reason)

    async def _connect(self, channel: Channel, socket: StreamSocket, host: str, port: int) -> None:
        try:
            addresses, port = await self._addresses(host, port)
            await connect(lambda: socket, addresses, port)
        except DialError as error:
            self._blocked += error.code is Reset.POLICY
            channel.drop(socket, error.code)
        except Exception as error:
            _log.error("a stream could not be connected: %s", type(error).__name__)
            channel.drop(socket, Reset.INTERNAL)
        else:
            self._success += 1
            channel.opened(socket)

    async def _addresses(self, host: str, port: int) -> tuple[list[str], int]:
        """Where to connect: checked addresses, and nothing else."""
        if target := self._policy.target(host, port):
            return [target[0]], target[1]
        if not self._policy.may_ask(port):
            raise DialError(Reset.POLICY)
        found = await resolve(host, port)
        addresses = permitted(self._policy, found, port, own_among(found))
        if not addresses:
            raise DialError(Reset.POLICY)
        return addresses, port
