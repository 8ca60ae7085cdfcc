"""The data path of a link: bytes of one TCP connection to the sockets of its streams, and back.

Push-based: the event loop puts what arrived into a shared buffer, the session opens or seals all of it at once, and
one write passes it on. No task switch and no object per record lies on that path (architecture, *The data plane*).

Back pressure: towards a stream's socket only credit stops the sender, so a link is never paused for one slow sink.
Towards the link, its full write buffer pauses the reading of every stream's socket.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from math import inf
from typing import Protocol

from qnet.net import endings
from qnet.net.alarm import Alarm
from qnet.net.alive import NOT_SENT, Alive, keep_unsent, tune
from qnet.net.channel import Channel
from qnet.net.stream import TRANSPORT_KEEPS_VIEWS
from qnet.wire.channel import record
from qnet.wire.events import Extend, Goodbye, Reservation, Reserve, StreamOpen
from qnet.wire.link import LinkSession
from qnet.wire.scratch import BULK, Scratch

LINK_WRITE_HIGH = 512 * 1024
LINK_WRITE_LEAST = 32 * 1024
QUEUE_SECONDS = 0.004
"""Streams' sockets are not read while more waits for the network than leaves in this time, within the two bounds.

Whatever waits here waits in front of everything that comes later: a page's few bytes behind a download's many.
"""

OVERFULL = 256 * 1024
"""Bytes beyond its bound at which a full link has its streams stopped, all at once, instead of when they speak."""

SCRIPT_UNSENT = 1 << 20
"""Bytes that the kernel may keep unsent while a script is played: as with any server's answers it alone decides when
they leave, and they are in order already."""

CONTROL_LIMIT = 4 * 1024 * 1024
"""Bytes waiting beyond which the link is given up: its other side does not read, and only control frames still go."""


class LinkOwner(Protocol):
    """Who a link reports to."""

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """A client wants a stream (exit side)."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """A client wants its circuit to go on (relay side)."""

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        """A hidden relay wants to be reached by this link (public relay's side)."""

    def link_closed(self, link: "Link", reason: str) -> None:
        """The link is gone, with all its streams."""


class Link(asyncio.BufferedProtocol):
    """A link after its handshake: the protocol of its TCP connection. ``channel`` is the outermost."""

    def __init__(self, session: LinkSession, transport: asyncio.Transport, scratch: Scratch, owner: LinkOwner) -> None:
        self.scratch = scratch
        self.loop = asyncio.get_running_loop()
        self.owner = owner
        self.closed = False
        self._full = self._held_back = False
        self._alarm = Alarm(self.loop, self.pump)
        self.released = False
        self.on_bad_record: Callable[[bytes], None] | None = None
        self.on_reservation: Callable[[Reservation], None] | None = None
        self.channel = Channel(self, session)
        self._channels = [self.channel]
        self._past_up = self._past_down = 0
        self._transport = transport
        self._high = LINK_WRITE_HIGH
        self._unsent = NOT_SENT
        """What the kernel may keep unsent, in bytes."""
        self._paused_at, self._paused_with = 0.0, 0
        transport.set_write_buffer_limits(high=LINK_WRITE_HIGH)
        tune(transport)
        self.rested = False
        """Whether it ended in order, because nobody used it."""
        self.parting: Sequence[int] = ()
        """Record bodies, in bytes, with which this side ends a connection that is in order: as its browser does."""
        self.patience = inf
        """Seconds without a word after which this side lets a link go that nobody uses."""
        self.alive = Alive(self.loop, self.channel.ping, lambda: self._lose("no answer"), lambda: self.used)

    @property
    def used(self) -> bool:
        """Whether streams are open, or a circuit may come at any time."""
        return self.streams > 0 or self.on_reservation is not None

    @property
    def paused(self) -> bool:
        """Whether it takes no more for now."""
        return self._full or self._held_back

    @property
    def streams(self) -> int:
        return sum(channel.streams for channel in self._channels)

    @property
    def bytes_up(self) -> int:
        return self._past_up + sum(channel.bytes_up for channel in self._channels)

    @property
    def bytes_down(self) -> int:
        return self._past_down + sum(channel.bytes_down for channel in self._channels)

    def add(self, session: LinkSession) -> Channel:
        """A further channel, whose records travel in another's circuit."""
        channel = Channel(self, session)
        self._channels.append(channel)
        return channel

    def remove(self, channel: Channel) -> None:
        """A further channel's circuit is gone."""
        channel.end()
        if channel in self._channels:
            self._channels.remove(channel)
            self._past_up += channel.bytes_up
            self._past_down += channel.bytes_down

    def tidy(self, now: float) -> None:
        """Let it go if it has been unused for longer than this side bears with."""
        if not self.closed and not self.used and now - self.alive.last >= self.patience:
            self.rest(self.parting)

    # --- from the network

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.channel.session.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        session = self.channel.session
        before = session.opened_records - session.pings
        events = session.received(nbytes, self.loop.time())
        self.alive.heard(matters=session.opened_records - session.pings > before)
        inner = [(channel, channel.session.take_events()) for channel in self._channels[1:]]
        parting = [pair for pair in inner if Goodbye() in pair[1]]  # before the way there is closed beneath them
        for channel, told in (*parting, (self.channel, events), *(pair for pair in inner if pair not in parting)):
            channel.dispatch(told)
        self.pump()

    def receive(self, data: bytes) -> None:
        """Bytes that arrived before this protocol was in place."""
        for start in range(0, len(data), BULK):
            piece = data[start : start + BULK]
            self.get_buffer(-1)[: len(piece)] = piece
            self.buffer_updated(len(piece))

    def receive_payload(self, payload: bytes) -> None:
        """The frames of the handshake's last message."""
        self.channel.dispatch(self.channel.session.receive_payload(payload, self.loop.time()))

    def bad_record(self, rest: bytes) -> None:
        """``rest`` starts with a record that does not open."""
        if self.on_bad_record is None:
            self.close("a record that does not open")
            return
        self._end("a record that does not open")
        self.on_bad_record(rest)

    def reservation(self, event: Reservation) -> None:
        """The link is kept for a circuit, or is wanted now."""
        if self.on_reservation is None:
            self.close("nobody waits for a reservation")
        else:
            self.on_reservation(event)

    def eof_received(self) -> bool:
        self.close("the other side closed the link")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the connection was lost")

    def pause_writing(self) -> None:
        self._full = True
        self._paused_at, self._paused_with = self.loop.time(), self._transport.get_write_buffer_size()
        self._pause()

    def _pause(self) -> None:
        for channel in list(self._channels):
            channel.pause()

    def _pause_streams(self) -> None:
        for channel in list(self._channels):
            channel.pause_streams()

    def resume_writing(self) -> None:
        self._full = False
        self._fit()
        self._resume()

    def _resume(self) -> None:
        if not self.paused:
            for channel in list(self._channels):
                channel.resume()

    def _fit(self) -> None:
        """Let as much wait as leaves in ``QUEUE_SECONDS``, by how quickly it left just now.

        And half as much in the kernel: on a fast way its least would cost a turn of the loop for every 32 KiB.
        """
        left = self._paused_with - self._transport.get_write_buffer_size()
        rate = left / max(self.loop.time() - self._paused_at, 1e-6)
        wanted = min(max(int(rate * QUEUE_SECONDS), LINK_WRITE_LEAST), LINK_WRITE_HIGH)
        if not self._high // 2 < wanted < self._high * 2:
            self._high = wanted
            self._transport.set_write_buffer_limits(high=wanted)
        unsent = max(wanted // 2, NOT_SENT)
        if not self._unsent // 2 < unsent < self._unsent * 2 and not self.channel.session.is_shaped:
            self._keep_unsent(unsent)

    def _keep_unsent(self, count: int) -> None:
        if count != self._unsent:
            self._unsent = count
            keep_unsent(self._transport, count)

    @property
    def room(self) -> int | None:
        """Bytes that may still be read for the network; ``None`` while nothing waits."""
        waiting = self._transport.get_write_buffer_size()
        return self._high - waiting if waiting else None

    # --- towards the network

    def write(self, records: memoryview | bytes) -> None:
        """Send sealed records, which may lie in the scratch's buffer."""
        self.pump()
        self._transport.write(records)
        if TRANSPORT_KEEPS_VIEWS and self._transport.get_write_buffer_size():
            self.scratch.renew_sealed()
        if self._full and self._transport.get_write_buffer_size() > self._high + OVERFULL:
            self._pause_streams()

    def write_control(self, records: bytes) -> None:
        """Send records that no credit bounds; a link whose other side does not read is given up."""
        self.pump()
        self._transport.write(records)
        if self._transport.get_write_buffer_size() > CONTROL_LIMIT:
            self._lose("the other side does not read")

    def pump(self) -> None:
        """Send what the link's script has due, and come back when it has more."""
        session = self.channel.session
        if not session.is_shaped or self.closed:
            return
        self._keep_unsent(SCRIPT_UNSENT)
        for each in session.shaped(self.loop.time()):
            self._transport.write(each)
        due = session.next_timer()
        if due is None:
            self._alarm.cancel()
            self._keep_unsent(NOT_SENT)
        else:
            self._alarm.set(due)
        if session.held_back != self._held_back:
            self._held_back = session.held_back
            if self._held_back:
                self._pause()
                self._pause_streams()
            else:
                self._resume()

    def visit(self, seed: bytes) -> int:
        """Play another script, if the session can; gives what it costs, in bytes of both ways."""
        cost = self.channel.session.visit(seed, self.loop.time())
        self.pump()
        return cost

    def _lose(self, reason: str) -> None:
        """Nobody is there to be told."""
        self._end(reason)
        self._transport.abort()

    def flush(self) -> None:
        """Send every channel's waiting frames, the innermost's first: they become records of the outer ones."""
        for channel in self._channels[::-1]:
            channel.flush()

    def release(self) -> asyncio.Transport:
        """End the link, but not its connection: that belongs to the caller, who gives it another protocol at once."""
        self.released = True
        self._end("the connection serves a circuit")
        return self._transport

    def close(self, reason: str) -> None:
        """End the link and its streams."""
        self._part(self.parting)
        self._end(reason)
        endings.close(self._transport)

    def rest(self, parting: Sequence[int]) -> None:
        """Let a link go that nobody uses, in records of these sizes."""
        self.rested = True
        self._part(parting)
        self._end("nobody uses it")
        endings.close(self._transport)

    def goodbye(self) -> None:
        """The other side lets the link go; this one ends as its browser does then."""
        self.rested = True
        self.close("the other side has no more use for it")

    def _part(self, sizes: Sequence[int]) -> None:
        """The first record says that it is the last; the others only look like an alert of TLS."""
        session = self.channel.session
        if not sizes or self.closed or self._transport.is_closing() or session.is_shaped:
            return  # in the middle of a script there is no room for it
        session.goodbye(sizes[0])
        self.flush()
        for size in sizes[1:]:
            self._transport.write(record(os.urandom(size)))

    def _end(self, reason: str) -> None:
        if self.closed:
            return
        self.closed = True
        self.alive.stop()
        self._alarm.cancel()
        for channel in self._channels[::-1]:
            channel.end()
        self.owner.link_closed(self, reason)
