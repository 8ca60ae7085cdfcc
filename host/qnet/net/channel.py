"""One secure channel's traffic: its streams' sockets, and the ways on of its circuits."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from qnet.net.alive import Alive
from qnet.net.stream import StreamSocket
from qnet.wire.events import (
    BadRecord,
    Broken,
    CircuitClosed,
    CircuitWritable,
    Event,
    Extend,
    Extended,
    Forwarded,
    Goodbye,
    Ready,
    Reserve,
    Reserved,
    StreamData,
    StreamFin,
    StreamOpen,
    StreamOpened,
    StreamReset,
    StreamWritable,
    Taken,
)
from qnet.wire.frames import Reset
from qnet.wire.link import LinkSession
from qnet.wire.scratch import Scratch

if TYPE_CHECKING:
    from qnet.net.link import Link


class CircuitHandler(Protocol):
    """What goes on beyond this channel on one of its circuits."""

    def extended(self, client_digest: bytes, server_digest: bytes) -> None:
        """The relay has made the next peer's cover."""

    def forwarded(self, records: memoryview) -> None:
        """Records of the next layer, headers included; the view is not kept."""

    def closed(self, code: Reset) -> None:
        """The circuit is gone."""

    def credited(self) -> None:
        """A relay on the way takes more again."""

    def pause(self) -> None:
        """The link takes no more for now."""

    def resume(self) -> None:
        """The link takes more again."""


class Channel:
    """A session at work on a link."""

    def __init__(self, link: "Link", session: LinkSession) -> None:
        self._link = link
        self.session = session
        self.circuits: dict[int, CircuitHandler] = {}
        self._ended = False
        self.on_broken: Callable[[str], None] | None = None
        self.on_goodbye: Callable[[], None] | None = None
        self.alive: Alive | None = None
        self._heard = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._sockets: dict[tuple[int, int], StreamSocket] = {}
        self._waiting: dict[StreamSocket, None] = {}
        self._waking = False

    @property
    def link(self) -> "Link":
        return self._link

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._link.loop

    @property
    def scratch(self) -> Scratch:
        return self._link.scratch

    @property
    def paused(self) -> bool:
        """Whether the link takes no more for now."""
        return self._link.paused

    @property
    def ended(self) -> bool:
        """Whether nothing goes here any more."""
        return self._ended or self._link.closed

    @property
    def streams(self) -> int:
        """Streams whose sockets are not finished."""
        return len(self._sockets)

    # --- from the other side

    def dispatch(self, events: list[Event]) -> None:
        """Act on what the session told. The acts may end this channel: the rest is then of no use."""
        if self.alive is not None and self.session.opened_records != self._heard:
            self._heard = self.session.opened_records
            self.alive.heard()
        for event in events:
            if self.ended:
                return
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
                    self._link.owner.stream_opened_by_client(self, event)
                case Forwarded(circuit, records):
                    if handler := self.circuits.get(circuit):
                        handler.forwarded(records)
                case Extend():
                    self._link.owner.circuit_extended_by_client(self, event)
                case Extended(circuit, client_digest, server_digest):
                    if handler := self.circuits.get(circuit):
                        handler.extended(client_digest, server_digest)
                case CircuitClosed(circuit, code):
                    self._end_circuit(circuit, code)
                case CircuitWritable(circuit):
                    if handler := self.circuits.get(circuit):
                        handler.credited()
                    else:
                        self.continue_circuit(circuit)
                case Reserve():
                    self._link.owner.reservation_asked(self, event)
                case Reserved() | Taken() | Ready():
                    self._link.reservation(event)
                case Goodbye():
                    (self.on_goodbye or self._link.goodbye)()
                    return
                case BadRecord(rest):
                    self._link.bad_record(rest)
                    return
                case Broken(reason):
                    if self.on_broken is not None:
                        self.on_broken(reason)
                    else:
                        self._link.close(reason)
                    return
        self.flush()

    def pause(self) -> None:
        """The link is full. Streams learn it when they say something more (``wait``): most of them do not."""
        for handler in self.circuits.values():
            handler.pause()

    def pause_streams(self) -> None:
        """The link is more than full: no stream may say anything."""
        for socket in self._sockets.values():
            self.wait(socket)

    def wait(self, socket: StreamSocket) -> None:
        """The stream has more to say than the link takes: it gets its turn."""
        socket.pause()
        self._waiting[socket] = None

    def resume(self) -> None:
        """The link takes more again."""
        for handler in list(self.circuits.values()):
            handler.resume()
        if not self._waking:
            self._wake()

    def _wake(self) -> None:
        """Let speak who has waited longest, and the next when that has filled its share or nothing.

        One at a time, because whoever is let speak fills the link alone, and to stop many costs more than they say.
        """
        self._waking = False
        while self._waiting and not self.paused:
            socket = next(iter(self._waiting))
            del self._waiting[socket]
            socket.continue_reading()
            if self._waiting:
                # In the loop's next turn its socket is looked at, in the one after that it is the next one's.
                self._waking = True
                self.loop.call_soon(self.loop.call_soon, self._wake)
                return

    def continue_circuit(self, circuit: int) -> None:
        """There may be room on the circuit again: its streams go on, those first that have waited longest."""
        if not self.session.release(circuit):
            return
        for key in [key for key in self._sockets if key[0] == circuit]:
            if socket := self._sockets.get(key):
                socket.continue_reading()

    def check_room(self, circuit: int) -> None:
        """Where the circuit is full, no stream of it may say anything, not even in this turn of the loop."""
        if len(self._sockets) == 1 or not self.session.is_held(circuit):
            return
        for key, socket in self._sockets.items():
            if key[0] == circuit:
                socket.hold()

    # --- towards the other side

    def flush(self) -> None:
        """Send waiting frames."""
        if self.session.waiting and not self.ended:
            self._link.write_control(self.session.flush(self.loop.time()))

    def ping(self) -> None:
        """Have the other end say something."""
        self.session.ping()
        self.flush()

    def send(self, socket: StreamSocket, count: int) -> None:
        """Seal and send ``count`` bytes that lie in the scratch's payload buffer."""
        if self.ended:
            return
        self.flush()
        self.bytes_up += count
        self._link.alive.said()
        if self.alive is not None:
            self.alive.said()
        self._link.write(self.session.seal_data(socket.circuit, socket.stream, count, self.loop.time()))
        if len(self._sockets) > 1:
            key = socket.circuit, socket.stream
            if self._sockets.pop(key, None) is not None:
                self._sockets[key] = socket  # whoever has just spoken is last in turn

    def forward(self, circuit: int, records: memoryview) -> None:
        """Send whole records of the next link to the client; their headers are overwritten. Raises ``FrameError``."""
        if not self.ended:
            self.flush()
            self._link.write(self.session.seal_forward(circuit, records, self.loop.time()))

    def send_message(self, circuit: int, message: bytes) -> None:
        """Send one message of the next layer's handshake."""
        if not self.ended:
            self.flush()
            self._link.write(self.session.seal_message(circuit, message))

    # --- streams

    def open(self, circuit: int, host: str, port: int) -> StreamSocket:
        """Ask the circuit's exit for a destination; the socket's ``opened`` tells how it went."""
        stream = 0 if self.ended else self.session.open(circuit, host, port, self.loop.time())
        socket = self.attach(circuit, stream)
        self.flush()
        return socket

    def attach(self, circuit: int, stream: int) -> StreamSocket:
        """A socket for a stream that the session knows; it is gone already if the link is."""
        socket = StreamSocket(self, circuit, stream)
        if self.ended:
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
        self._waiting.pop(socket, None)
        self.session.gone(socket.circuit, socket.stream)

    def drop(self, socket: StreamSocket, code: Reset) -> None:
        """End a stream from this side."""
        self.forget(socket)
        if not socket.opened.done():
            socket.opened.set_result(code)
        if not self.ended:
            self.session.reset(socket.circuit, socket.stream, code)
            self.flush()

    # --- circuits and the end

    def close_circuit(self, circuit: int, code: Reset) -> None:
        """Give a circuit up from this side, with its streams; its handler knows."""
        self.circuits.pop(circuit, None)
        if not self.ended:
            self._abort_streams(circuit)
            self.session.close_circuit(circuit, code)
            self.flush()

    def _end_circuit(self, circuit: int, code: Reset) -> None:
        """The other side gave a circuit up."""
        self._abort_streams(circuit)
        if handler := self.circuits.pop(circuit, None):
            handler.closed(code)

    def _abort_streams(self, circuit: int) -> None:
        for key in [key for key in self._sockets if key[0] == circuit]:
            self._sockets.pop(key).abort(Reset.LINK_LOST)

    def streams_of(self, circuit: int) -> int:
        """Streams of one circuit whose sockets are not finished."""
        return sum(key[0] == circuit for key in self._sockets)

    def end(self) -> None:
        """The link is gone, or the circuit in which this channel is."""
        if self._ended:
            return
        self._ended = True
        self.session.close()
        sockets, self._sockets = self._sockets, {}
        self._waiting.clear()
        for socket in sockets.values():
            socket.abort(Reset.LINK_LOST)
        circuits, self.circuits = self.circuits, {}
        for handler in circuits.values():
            handler.closed(Reset.LINK_LOST)
