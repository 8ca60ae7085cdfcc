"""The data path of a link: bytes of one TCP connection to the sockets of its streams, and back.

Push-based: the event loop puts what arrived into a shared buffer, the session opens or seals all of it at once, and
one write passes it on. No task switch and no object per record lies on that path (architecture, *The data plane*).

Back pressure: towards a stream's socket only credit stops the sender, so a link is never paused for one slow sink.
Towards the link, its full write buffer pauses the reading of every stream's socket.
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol, cast

from qnet.net import endings
from qnet.wire.events import (
    BadRecord,
    Broken,
    Event,
    StreamData,
    StreamFin,
    StreamOpen,
    StreamOpened,
    StreamReset,
    StreamWritable,
)
from qnet.wire.frames import Reset
from qnet.wire.link import LinkSession
from qnet.wire.scratch import BULK, HEADROOM, Scratch

LINK_WRITE_HIGH = 512 * 1024
"""Bytes waiting for the network beyond which streams' sockets are not read."""

CONTROL_LIMIT = 4 * 1024 * 1024
"""Bytes waiting beyond which the link is given up: its other side does not read, and only control frames still go."""

# From 3.12 on a transport keeps views of what it could not send at once instead of copying it.
_TRANSPORT_KEEPS_VIEWS = sys.version_info >= (3, 12)


class LinkOwner(Protocol):
    """Who a link reports to."""

    def stream_opened_by_client(self, link: "Link", event: StreamOpen) -> None:
        """A client wants a stream (exit side)."""

    def link_closed(self, link: "Link", reason: str) -> None:
        """The link is gone, with all its streams."""


class StreamSocket(asyncio.BufferedProtocol):
    """One stream's end at a TCP socket: an application's at the client, the destination's at the exit.

    It may exist before its socket: what the other side sends meanwhile waits here, bounded by the first window.
    ``opened`` resolves when the exit has reached the destination, or to the reason why it has not.
    """

    def __init__(self, link: "Link", circuit: int, stream: int) -> None:
        self._link = link
        self.circuit = circuit
        self.stream = stream
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._unsent = b""
        self._limit: int | None = None
        self._undrained = 0
        self._ended = False
        self._gone = False
        self.opened: asyncio.Future[Reset | None] = link.loop.create_future()

    # --- from the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Zero: any byte that the socket does not take calls pause_writing, and its leaving calls resume_writing.
        self._transport.set_write_buffer_limits(high=0)
        early, self._early = bytes(self._early), bytearray()
        if self._gone:
            endings.reset(self._transport)
            return
        if early:
            self._write(early)
        if self._ended:
            self._end_output()
        self.continue_reading()

    def limit_input(self, count: int) -> None:
        """Take only ``count`` more bytes from the socket: what follows is not for this destination."""
        self._limit = count

    def send_first(self, data: bytes) -> None:
        """Bytes that came before this object: they go out ahead of what the socket says."""
        self._unsent += data
        self.continue_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        room = BULK if self._limit == 0 else min(max(self._sendable(), 1), BULK)
        return self._link.scratch.payload[HEADROOM : HEADROOM + room]

    def buffer_updated(self, nbytes: int) -> None:
        if self._limit == 0:
            return  # not for this destination; it is read only to see the end
        if self._limit is not None:
            self._limit -= nbytes
        self._link.send(self, nbytes)
        if not self._may_read():
            self.pause()

    def _may_read(self) -> bool:
        return self._limit == 0 or self._sendable() > 0

    def _sendable(self) -> int:
        credit = self._link.session.credit(self.circuit, self.stream)
        return credit if self._limit is None else min(credit, self._limit)

    def eof_received(self) -> bool:
        self._link.fin(self)
        self._close_if_finished()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.forget(self)
        if not self._gone:
            self._gone = True
            self._link.drop(self, Reset.CLOSED)

    def pause_writing(self) -> None:
        """The socket is slow: the bytes wait in the transport, and are granted again as they leave."""

    def resume_writing(self) -> None:
        self._account()
        self._link.flush()

    # --- from the link

    def deliver(self, data: memoryview) -> None:
        """Payload for the socket; ``data`` is not kept."""
        if self._transport is None:
            self._early += data
        elif not self._gone:
            self._write(data)

    def _write(self, data: bytes | memoryview) -> None:
        transport = self._transport
        assert transport is not None  # noqa: S101
        transport.write(data)
        self._undrained += len(data)
        self._account()

    def _account(self) -> None:
        assert self._transport is not None  # noqa: S101
        waiting = self._transport.get_write_buffer_size()
        if waiting and _TRANSPORT_KEEPS_VIEWS:
            self._link.scratch.renew_plain()
        drained, self._undrained = self._undrained - waiting, waiting
        if drained:
            self._link.session.consumed(self.circuit, self.stream, drained, self._link.loop.time())

    def finish(self) -> None:
        """The other side sends no more."""
        self._ended = True
        if self._transport is not None and not self._gone:
            self._end_output()

    def _end_output(self) -> None:
        assert self._transport is not None  # noqa: S101
        if not self._transport.is_closing():
            endings.end_output(self._transport)
        self._close_if_finished()

    def _close_if_finished(self) -> None:
        if self._transport is not None and self._link.session.is_finished(self.circuit, self.stream):
            # Until the socket has taken the last bytes it counts as one of the link's.
            self._gone = True
            endings.close(self._transport)

    def give_up(self, code: Reset) -> None:
        """End the stream from this side, before or after it has its socket."""
        self._gone = True
        self._link.drop(self, code)

    def abort(self, code: Reset) -> None:
        """The stream was cut off: the socket ends with RST, never as if that had been all."""
        if not self.opened.done():
            self.opened.set_result(code)
        if self._gone:
            return  # all was said before; the rest may still leave
        self._gone = True
        if self._transport is not None:
            endings.reset(self._transport)

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def continue_reading(self) -> None:
        """Send what waits, and read on if there is credit and the link takes more."""
        link = self._link
        while self._unsent and not link.paused and (credit := link.session.credit(self.circuit, self.stream)):
            piece, self._unsent = self._unsent[: min(credit, BULK)], self._unsent[min(credit, BULK) :]
            link.scratch.payload[HEADROOM : HEADROOM + len(piece)] = piece
            link.send(self, len(piece))
        if self._transport is None or self._transport.is_closing():
            return
        if self._unsent or link.paused or not self._may_read():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


class Link(asyncio.BufferedProtocol):
    """A link after its handshake: the protocol of its TCP connection."""

    def __init__(self, session: LinkSession, transport: asyncio.Transport, scratch: Scratch, owner: LinkOwner) -> None:
        self.session = session
        self.scratch = scratch
        self.loop = asyncio.get_running_loop()
        self.paused = False
        self.closed = False
        self.bytes_up = 0
        self.bytes_down = 0
        self.on_bad_record: Callable[[bytes], None] | None = None
        self._transport = transport
        self._owner = owner
        self._sockets: dict[tuple[int, int], StreamSocket] = {}
        transport.set_write_buffer_limits(high=LINK_WRITE_HIGH)

    @property
    def streams(self) -> int:
        return len(self._sockets)

    # --- from the network

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.session.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        self._dispatch(self.session.received(nbytes, self.loop.time()))

    def receive(self, data: bytes) -> None:
        """Bytes that arrived before this protocol was in place."""
        for start in range(0, len(data), BULK):
            piece = data[start : start + BULK]
            self.session.get_buffer()[: len(piece)] = piece
            self.buffer_updated(len(piece))

    def receive_payload(self, payload: bytes) -> None:
        """The frames of the handshake's last message."""
        self._dispatch(self.session.receive_payload(payload, self.loop.time()))

    def _dispatch(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case StreamData(circuit, stream, data):
                    self.bytes_down += len(data)
                    if socket := self._sockets.get((circuit, stream)):
                        socket.deliver(data)
                case StreamWritable(circuit, stream):
                    if socket := self._sockets.get((circuit, stream)):
                        socket.continue_reading()
                case StreamOpened(circuit, stream):
                    socket = self._sockets.get((circuit, stream))
                    if socket and not socket.opened.done():
                        socket.opened.set_result(None)
                case StreamFin(circuit, stream):
                    if socket := self._sockets.get((circuit, stream)):
                        socket.finish()
                case StreamReset(circuit, stream, code):
                    if socket := self._sockets.pop((circuit, stream), None):
                        socket.abort(code)
                case StreamOpen():
                    self._owner.stream_opened_by_client(self, event)
                case BadRecord(rest):
                    self._bad_record(rest)
                    return
                case Broken(reason):
                    self.close(reason)
                    return
        self.flush()

    def _bad_record(self, rest: bytes) -> None:
        if self.on_bad_record is None:
            self.close("a record that does not open")
            return
        self._end_streams("a record that does not open")
        self.on_bad_record(rest)

    def eof_received(self) -> bool:
        self.close("the other side closed the link")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_streams("the connection was lost")

    def pause_writing(self) -> None:
        self.paused = True
        for socket in self._sockets.values():
            socket.pause()

    def resume_writing(self) -> None:
        self.paused = False
        for socket in list(self._sockets.values()):
            socket.continue_reading()

    # --- towards the network

    def flush(self) -> None:
        """Send waiting frames."""
        if self.session.waiting and not self.closed:
            self._transport.write(self.session.flush(self.loop.time()))
            if self._transport.get_write_buffer_size() > CONTROL_LIMIT:
                self._end_streams("the other side does not read")
                self._transport.abort()

    def send(self, socket: StreamSocket, count: int) -> None:
        """Seal and send ``count`` bytes that lie in the scratch's payload buffer."""
        if self.closed:
            return
        self.flush()
        session = self.session
        self.bytes_up += count
        self._transport.write(session.seal_data(socket.circuit, socket.stream, count, self.loop.time()))
        if _TRANSPORT_KEEPS_VIEWS and self._transport.get_write_buffer_size():
            self.scratch.renew_sealed()

    # --- streams

    def open(self, circuit: int, host: str, port: int) -> StreamSocket:
        """Ask the circuit's exit for a destination; the socket's ``opened`` tells how it went."""
        stream = self.session.open(circuit, host, port, self.loop.time())
        socket = self.attach(circuit, stream)
        self.flush()
        return socket

    def attach(self, circuit: int, stream: int) -> StreamSocket:
        """A socket for a stream that the session knows; it is gone already if the link is."""
        socket = StreamSocket(self, circuit, stream)
        if self.closed:
            socket.abort(Reset.LINK_LOST)
        else:
            self._sockets[circuit, stream] = socket
        return socket

    def opened(self, socket: StreamSocket) -> None:
        """Tell the client that its destination is reached."""
        self.session.opened(socket.circuit, socket.stream)
        self.flush()

    def fin(self, socket: StreamSocket) -> None:
        self.session.fin(socket.circuit, socket.stream)
        self.flush()

    def forget(self, socket: StreamSocket) -> None:
        self._sockets.pop((socket.circuit, socket.stream), None)

    def drop(self, socket: StreamSocket, code: Reset) -> None:
        """End a stream from this side."""
        self.forget(socket)
        if not socket.opened.done():
            socket.opened.set_result(code)
        if not self.closed:
            self.session.reset(socket.circuit, socket.stream, code)
            self.flush()

    def close(self, reason: str) -> None:
        """End the link and its streams."""
        self._end_streams(reason)
        endings.close(self._transport)

    def _end_streams(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        sockets, self._sockets = self._sockets, {}
        for socket in sockets.values():
            socket.abort(Reset.LINK_LOST)
        self._owner.link_closed(self, reason)
