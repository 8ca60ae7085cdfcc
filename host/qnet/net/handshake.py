"""Drives a handshake core over a TCP connection."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar, cast

from qnet.net.alarm import Alarm
from qnet.wire.errors import RemoteError
from qnet.wire.steps import Done, Handshake, Receive, Send

T = TypeVar("T")


class ConnectionEndedError(RemoteError):
    """The other side closed the connection during the handshake."""


class HandshakeProtocol(asyncio.Protocol, Generic[T]):
    """Feeds what arrives to a core and writes what it says; ``result`` resolves to its ``Done``.

    After that the transport is paused: whoever takes over sets its own protocol and resumes reading.

    ``begin`` makes the core as soon as there is a connection.
    """

    def __init__(self, begin: Callable[[asyncio.Transport], Handshake[T]]) -> None:
        self._begin = begin
        self._core: Handshake[T]
        self._late: deque[tuple[bytes, float]] = deque()
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, self._on_alarm)
        self._since = 0.0
        self.transport: asyncio.Transport | None = None
        self.received = 0
        self.result: asyncio.Future[Done[T]] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        try:
            self._core = self._begin(self.transport)
        except (RemoteError, ValueError) as error:
            self._fail(error)
        self._step(b"")

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self._step(data)

    def eof_received(self) -> bool:
        self._fail(ConnectionEndedError())
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(ConnectionEndedError())

    def _step(self, data: bytes) -> None:
        if self.result.done():
            return
        assert self.transport is not None  # noqa: S101
        self._since = self._loop.time()
        try:
            while True:
                match self._core.step(data):
                    case Send(out, pause):
                        self._send(out, pause)
                    case Receive():
                        return
                    case Done() as done:
                        self._hurry()
                        self.transport.pause_reading()
                        self.result.set_result(done)
                        return
                data = b""
        except RemoteError as error:
            self._fail(error)

    def _send(self, data: bytes, pause: float) -> None:
        """Write ``data``, after what is to be written before."""
        if pause:
            self._late.append((data, pause))
            if len(self._late) == 1:
                self._alarm.set(self._since + pause)
        else:
            self._hurry()
            self._write(data)

    def _on_alarm(self) -> None:
        """What waits first is due; the next waits from now on."""
        self._write(self._late.popleft()[0])
        if self._late:
            self._alarm.set(self._since + self._late[0][1])

    def _hurry(self) -> None:
        """Write what was to be written later."""
        self._alarm.cancel()
        while self._late:
            self._write(self._late.popleft()[0])

    def _write(self, data: bytes) -> None:
        assert self.transport is not None  # noqa: S101
        self._since = self._loop.time()  # a pause is from one write's beginning to the next's: writing takes its time
        self.transport.write(data)

    def _fail(self, error: RemoteError | ValueError) -> None:
        self._alarm.cancel()
        if not self.result.done():
            self.result.set_exception(error)


@asynccontextmanager
async def dialled(
    begin: Callable[[asyncio.Transport], Handshake[T]], address: tuple[str, int], seconds: float
) -> AsyncIterator[tuple[asyncio.Transport, Done[T]]]:
    """Connect to ``address`` and run the core that ``begin`` makes, within ``seconds``.

    Whatever ends the block by an exception closes. Raises ``OSError`` (``TimeoutError`` included) when there is no
    connection, else what the core raises, or ``begin`` (``ValueError``, too).
    """
    protocol = HandshakeProtocol(begin)
    try:
        async with asyncio.timeout(seconds):
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: protocol, *address)
            done = await protocol.result
        yield transport, done
    except BaseException as error:
        protocol.result.cancel()  # nobody waits for it any more
        if protocol.transport is not None and isinstance(error, RemoteError):
            protocol.transport.close()  # what the core has said last may still leave
        elif protocol.transport is not None:
            protocol.transport.abort()
        raise
