"""The exit: connects streams to their destinations, within its policy and its limits.

Conversation about one stream:

1. → OPEN(host, port): refused at once when the exit is full, or has carried what it may in a month
2. it waits for its client's turn (``exit_turns``), ten seconds at most
3. the name is resolved, every address of it checked, and exactly a checked address connected to
4. ← OPENED, or RESET(code); then bytes both ways until either side ends, or none has moved for long
"""

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qnet.mesh.exit_policy import ExitPolicy, carried, permitted
from qnet.net.channel import Channel
from qnet.net.dial import DialError, OutOfFilesError, Surroundings, connect
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.roles.abuse_log import AbuseLog, Refusal
from qnet.roles.exit_turns import ClientLimits, Turns
from qnet.roles.exit_usage import Usage
from qnet.wire.events import StreamOpen
from qnet.wire.frames import Reset
from qnet.wire.messages import ExitCounts

HOUSEKEEPING_SECONDS = 60.0

if TYPE_CHECKING:
    from qnet.net.resolver import Resolver

_log = logging.getLogger(__name__)


class _RefusedError(DialError):
    """The policy does not allow it."""

    def __init__(self, what: Refusal) -> None:
        super().__init__(Reset.POLICY)
        self.what = what


@dataclass(slots=True)
class _Activity:
    """What was seen of a connected stream: bytes moved, and when they last were more."""

    channel: Channel
    moved: int
    since: float


class Exit:
    """Opens streams for ``Services``; ``run`` in a task keeps its books.

    ``max_connections``: streams that may be open or opening at once, over all clients. ``clients``: limits of each.
    ``idle_seconds``: a stream on which nothing moves for so long ends. ``sources``: addresses to leave from, at most
    one of each family.
    """

    def __init__(
        self,
        policy: ExitPolicy,
        max_connections: int,
        *,
        clients: ClientLimits | None = None,
        idle_seconds: float = 1800.0,
        resolver: "Resolver | None" = None,
        sources: Sequence[str] = (),
        usage: Usage | None = None,
        abuse_log: AbuseLog | None = None,
    ) -> None:
        self._policy = policy
        self._max_connections = max_connections
        self._client_limits = clients or ClientLimits()
        self._idle_seconds = idle_seconds
        self._resolver = resolver or _system_resolver()
        self._sources = sources
        self._usage = usage or Usage()
        self._abuse_log = abuse_log
        self._tasks: set[asyncio.Task[None]] = set()
        self._links: dict[Link, Turns] = {}
        self._open: dict[StreamSocket, _Activity] = {}
        self._accounted: dict[Channel, tuple[int, int]] = {}
        self._requests = self._success = self._blocked = self._limited = 0
        self._refused_elsewhere: list[bytes] = []
        self._surroundings = Surroundings()
        self._writing = threading.Lock()
        self._out_of_files_said = -HOUSEKEEPING_SECONDS
        self.closed = False
        """Whether it serves nobody, because the month's limit is kept elsewhere and reached."""

    @property
    def counts(self) -> ExitCounts:
        """Since the start, and the month's bytes."""
        self._account()
        carried_bytes = self._usage.since_start
        return ExitCounts(
            requests=self._requests,
            success=self._success,
            blocked=self._blocked,
            limited=self._limited,
            traffic=carried_bytes,
            month_bytes=self._usage.this_month,
        )

    def add(self, counts: ExitCounts, refusals: list[bytes]) -> None:
        """Enter in these books what another process of this node did: its counts, and lines of its abuse log."""
        self._requests += counts.requests
        self._success += counts.success
        self._blocked += counts.blocked
        self._limited += counts.limited
        self._usage.add(counts.traffic.up, counts.traffic.down)
        self._refused_elsewhere += refusals

    @property
    def used_up(self) -> bool:
        """Whether it has carried what it may in a month."""
        return self.closed or self._usage.used_up

    @property
    def streams(self) -> int:
        """Open or opening."""
        return sum(link.streams for link in self._links)

    # --- what Services tells

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """Connect in a task of its own; the stream's first bytes wait meanwhile."""
        self._requests += 1
        turns = self._links.setdefault(channel.link, Turns(self._client_limits))
        self._accounted.setdefault(channel, (0, 0))
        socket = channel.attach(event.circuit, event.stream)
        if self.streams > self._max_connections or self.used_up:
            self._refuse(channel, socket, event.port, DialError(Reset.LIMIT))
            return
        task = asyncio.get_running_loop().create_task(self._connect(channel, socket, turns, event.host, event.port))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A stream that ends before it has its socket takes the attempt with it, so there are no more attempts than
        # streams.
        socket.opened.add_done_callback(lambda _: task.cancel())

    def link_closed(self, link: Link, reason: str) -> None:
        """The client is gone; its streams ended with it."""
        self._account()
        self._links.pop(link, None)
        self._accounted = {channel: seen for channel, seen in self._accounted.items() if channel.link is not link}
        self._open = {socket: seen for socket, seen in self._open.items() if seen.channel.link is not link}
        _log.info("a tunnel ended: %s", reason)

    # --- one stream

    async def _connect(self, channel: Channel, socket: StreamSocket, turns: Turns, host: str, port: int) -> None:
        try:
            async with turns.turn():
                addresses, port = await self._addresses(host, port)
                await connect(lambda: socket, addresses, port, self._sources)
        except DialError as error:
            self._refuse(channel, socket, port, error)
        except Exception as error:
            _log.error("a stream could not be connected: %s", type(error).__name__)
            channel.drop(socket, Reset.INTERNAL)
        else:
            self._success += 1
            self._open[socket] = _Activity(channel, 0, channel.loop.time())
            channel.opened(socket)

    def _refuse(self, channel: Channel, socket: StreamSocket, port: int, error: DialError) -> None:
        if isinstance(error, _RefusedError):
            self._blocked += 1
            self._note(error.what, port)
        elif error.code is Reset.LIMIT:
            self._limited += 1
            self._note(Refusal.LIMIT, port)
        if isinstance(error, OutOfFilesError):
            now = channel.loop.time()
            if now - self._out_of_files_said >= HOUSEKEEPING_SECONDS:
                self._out_of_files_said = now
                _log.warning("no file descriptor is left: streams are refused until some end (raise the hard limit)")
        channel.drop(socket, error.code)

    def _note(self, what: Refusal, port: int) -> None:
        if self._abuse_log is not None:
            self._abuse_log.note(what, port, time.time())

    async def _addresses(self, host: str, port: int) -> tuple[list[str], int]:
        """Where to connect: checked addresses, and nothing else."""
        if target := self._policy.target(host, port):
            return [target[0]], target[1]
        if not self._policy.may_ask(port):
            raise _RefusedError(Refusal.PORT)
        found = await self._resolver.addresses(host)
        now = asyncio.get_running_loop().time()
        addresses = permitted(self._policy, found, port, self._surroundings.own(carried(found), now))
        if not addresses:
            raise _RefusedError(Refusal.ADDRESS)
        return self._surroundings.routable(addresses, now), port

    # --- the books

    async def run(self) -> None:
        """End what is idle, keep the accounts; until cancelled, when they are kept a last time."""
        try:
            while True:
                await asyncio.sleep(min(HOUSEKEEPING_SECONDS, self._idle_seconds / 4))
                self._end_idle()
                self._account()
                if self.used_up:
                    self._end_all()
                await asyncio.to_thread(self._write, self._usage.take(), self._take_lines())
        finally:
            self._account()
            self._write(self._usage.take(), self._take_lines())

    def _take_lines(self) -> list[bytes]:
        elsewhere, self._refused_elsewhere = self._refused_elsewhere, []
        return self._abuse_log.take() + elsewhere if self._abuse_log else []

    def _write(self, usage: bytes | None, lines: list[bytes]) -> None:
        # The last time may come while a thread still writes.
        with self._writing:
            self._usage.write(usage)
            if self._abuse_log is not None:
                self._abuse_log.write(lines, time.time())

    def _account(self) -> None:
        """Add what the channels carried since the last time. At an exit, what a channel sends came from a site."""
        up = down = 0
        for channel, (seen_up, seen_down) in self._accounted.items():
            up += channel.bytes_down - seen_up
            down += channel.bytes_up - seen_down
            self._accounted[channel] = channel.bytes_down, channel.bytes_up
        self._usage.add(up, down)

    def _end_idle(self) -> None:
        for socket, seen in list(self._open.items()):
            now = seen.channel.loop.time()
            if socket.ended:
                del self._open[socket]
            elif socket.moved != seen.moved:
                seen.moved, seen.since = socket.moved, now
            elif now - seen.since >= self._idle_seconds:
                self._end(socket, Reset.TIMEOUT)

    def _end_all(self) -> None:
        if self._open:
            _log.warning("the month's limit is reached: streams end, and new ones are refused until the next month")
        for socket in list(self._open):
            self._end(socket, Reset.LIMIT)

    def _end(self, socket: StreamSocket, code: Reset) -> None:
        self._open.pop(socket).channel.drop(socket, code)
        socket.abort(code)


def _system_resolver() -> "Resolver":
    # Imported here: whoever is no exit starts 30 ms sooner without it.
    from qnet.net.resolver import Resolver

    return Resolver()
