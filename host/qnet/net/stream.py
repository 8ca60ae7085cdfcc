"""One stream's end at a TCP socket: an application's at the client, the destination's at the exit."""

import asyncio
import sys
from typing import TYPE_CHECKING, cast

from qnet.net import endings
from qnet.wire.frames import MAX_DATA, Reset
from qnet.wire.scratch import BULK, HEADROOM

if TYPE_CHECKING:
    from qnet.net.channel import Channel

TRANSPORT_KEEPS_VIEWS = sys.version_info >= (3, 12)
"""From 3.12 on a transport keeps views of what it could not send at once instead of copying it."""

LATE = 2048
"""Bytes that a stream may still say when the link has just become full, and it did not know: a page's request."""


class StreamSocket(asyncio.BufferedProtocol):
    """The protocol of the socket.

    It may exist before its socket: what the other side sends meanwhile waits here, bounded by the first window.
    ``opened`` resolves when the exit has reached the destination, or to the reason why it has not.
    """

    def __init__(self, channel: "Channel", circuit: int, stream: int) -> None:
        self._channel = channel
        self.circuit = circuit
        self.stream = stream
        self._transport: asyncio.Transport | None = None
        self._early = bytearray()
        self._unsent = b""
        self._limit: int | None = None
        self._undrained = 0
        self._ended = False
        self._gone = False
        self.moved = 0
        """Bytes taken from and given to the socket: whether anything happens on this stream."""
        self.opened: asyncio.Future[Reset | None] = channel.loop.create_future()

    @property
    def ended(self) -> bool:
        """Whether the stream is over; its last bytes may still be leaving."""
        return self._gone

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
        # What waited may have used up the window: nothing more would come to send the new credit along with.
        self._channel.flush()

    def limit_input(self, count: int) -> None:
        """Take only ``count`` more bytes from the socket: what follows is not for this destination."""
        self._limit = count

    def send_first(self, data: bytes) -> None:
        """Bytes that came before this object: they go out ahead of what the socket says."""
        self._unsent += data
        self.continue_reading()

    def get_buffer(self, sizehint: int) -> memoryview:
        room = BULK if self._limit == 0 else min(max(self._sendable(), 1), self._channel.session.bulk)
        if self._channel.paused:
            room = min(room, LATE)
        elif (left := self._channel.link.room) is not None:
            room = min(room, max(MAX_DATA, left))
        return self._channel.scratch.payload[HEADROOM : HEADROOM + room]

    def buffer_updated(self, nbytes: int) -> None:
        self.moved += nbytes
        if self._limit == 0:
            return  # not for this destination; it is read only to see the end
        if self._limit is not None:
            self._limit -= nbytes
        self._channel.send(self, nbytes)
        if self._channel.paused:
            self._channel.wait(self)
        if not self._may_read():
            self.pause()
            self._channel.check_room(self.circuit)

    def _may_read(self) -> bool:
        return self._limit == 0 or self._sendable() > 0

    def _sendable(self) -> int:
        credit = self._channel.session.credit(self.circuit, self.stream)
        return credit if self._limit is None else min(credit, self._limit)

    def eof_received(self) -> bool:
        self._channel.fin(self)
        self._close_if_finished()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._channel.forget(self)
        if not self._gone:
            self._gone = True
            self._channel.drop(self, Reset.CLOSED)

    def pause_writing(self) -> None:
        """The socket is slow: the bytes wait in the transport, and are granted again as they leave."""

    def resume_writing(self) -> None:
        self._account()
        self._channel.flush()

    # --- from the link

    def deliver(self, data: memoryview) -> None:
        """Payload for the socket; ``data`` is not kept."""
        self.moved += len(data)
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
        if waiting and TRANSPORT_KEEPS_VIEWS:
            self._channel.scratch.renew_plain(self._channel.session.depth)
        drained, self._undrained = self._undrained - waiting, waiting
        if drained:
            self._channel.session.consumed(self.circuit, self.stream, drained, self._channel.loop.time())

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
        if self._transport is not None and self._channel.session.is_finished(self.circuit, self.stream):
            # Until the socket has taken the last bytes it counts as one of the link's.
            self._gone = True
            endings.close(self._transport)

    def give_up(self, code: Reset) -> None:
        """End the stream from this side, before or after it has its socket."""
        self._gone = True
        self._channel.drop(self, code)

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

    def hold(self) -> None:
        """There is no room on the circuit."""
        if self._limit != 0:
            self.pause()

    def continue_reading(self) -> None:
        """Send what waits, and read on if there is credit and the link takes more."""
        channel = self._channel
        while self._unsent and not channel.paused and (credit := channel.session.credit(self.circuit, self.stream)):
            most = min(credit, channel.session.bulk)
            piece, self._unsent = self._unsent[:most], self._unsent[most:]
            channel.scratch.payload[HEADROOM : HEADROOM + len(piece)] = piece
            channel.send(self, len(piece))
        if self._transport is None or self._transport.is_closing():
            return
        if channel.paused:
            channel.wait(self)
        elif self._unsent or not self._may_read():
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
