"""A peer's connection: the driver of ``wire.cover.peer``. To whoever has no key it is a byte-exact relay to the decoy.

What a relay must copy besides bytes: half-closes, resets, their order, and that a full pipe stops the sender.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import cast

from qnet.net import endings
from qnet.net.alarm import Alarm
from qnet.net.channel import Channel
from qnet.net.decoy import Parting
from qnet.net.decoy_writes import DecoyWrites
from qnet.net.hangup import HangupWatch
from qnet.net.link import Link, LinkOwner
from qnet.wire.cover.peer import CoverPeer, Established, Event, PeerConfig, ToClient, ToDecoy
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.events import Extend, Reserve, StreamOpen
from qnet.wire.link import LinkSession
from qnet.wire.scratch import Scratch

RELAY_WRITE_HIGH = 256 * 1024
DIAL_SECONDS = 10.0


class PeerConnection:
    """One client's connection and the decoy's connection behind it."""

    def __init__(
        self,
        config: PeerConfig,
        decoy: tuple[str, int],
        replay: ReplayCache,
        scratch: Scratch,
        owner: LinkOwner,
        parting: Parting | None = None,
    ) -> None:
        """``parting``: how the decoy ends a connection that nobody uses, and so does this; None: not at all."""
        self._config = config
        self._parting = parting
        self._resting: asyncio.TimerHandle | None = None
        self._decoy_address = decoy
        self._replay = replay
        self._scratch = scratch
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._spliced = False
        self._decoy_left = False
        self._alarm = Alarm(self._loop, self._on_alarm)
        self.client = _Side(self, self._from_client)
        self.decoy = _Side(self, self._from_decoy)
        self.client.other, self.decoy.other = self.decoy, self.client
        self.core: CoverPeer | None = None
        self._writes = DecoyWrites()

    @property
    def source(self) -> str:
        """The client's address, "" if there is none any more."""
        address = self.client.transport.get_extra_info("peername") if self.client.transport is not None else None
        return str(address[0]) if address else ""

    def accepted(self) -> None:
        """The client is connected: dial the decoy before reading anything."""
        self.client.pause()
        assert self.client.transport is not None  # noqa: S101
        address = self.client.transport.get_extra_info("peername")
        self.core = CoverPeer(self._config, self._replay, _prefix(address), os.urandom)
        self._dialling = self._loop.create_task(self._dial())

    async def _dial(self) -> None:
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                await self._loop.create_connection(lambda: self.decoy, *self._decoy_address)
        except (OSError, TimeoutError):
            self.client.reset()
            return
        self.client.resume()

    # --- bytes

    def _from_client(self, data: bytes) -> None:
        assert self.core is not None  # noqa: S101
        self._act(self.core.from_client(data, time.time()))

    def _from_decoy(self, data: bytes) -> None:
        assert self.core is not None  # noqa: S101
        self._act(self.core.from_decoy(data, time.time()))

    def _act(self, events: Iterator[Event]) -> None:
        for event in events:
            match event:
                case ToDecoy(data):
                    self._to_decoy(data)
                case ToClient(data):
                    for piece in self._writes.pieces(data):
                        self.client.write(piece)
                case Established():
                    self._establish(event)
        self._set_alarm()

    def _to_decoy(self, data: bytes) -> None:
        if self._decoy_left:
            # The decoy left during the tunnel; it would have answered a bad record with an alert and closed.
            self.client.write(endings.alert_record())
            self.client.close_when_sent()
            self.decoy.close_when_sent()
        else:
            self.decoy.write(data)

    def _set_alarm(self) -> None:
        assert self.core is not None  # noqa: S101
        due = self.core.next_timer()
        if due is None:
            self._alarm.cancel()
        else:
            self._alarm.set(self._loop.time() + due - time.time())

    def _on_alarm(self) -> None:
        assert self.core is not None  # noqa: S101
        self._act(self.core.timer(time.time()))

    # --- the tunnel

    def _establish(self, event: Established) -> None:
        assert self.client.transport is not None  # noqa: S101
        session = LinkSession(event.keys, initiator=False, scratch=self._scratch, now=self._loop.time())
        if event.script is not None:
            session.shape(event.script.rest_down(self._loop.time()), event.script)
        session.settings()
        link = self._link = Link(session, self.client.transport, self._scratch, self)
        link.on_bad_record = self._back_to_decoy
        self.client.transport.set_protocol(link)
        self.decoy.resume()
        self._watch_idle()
        link.receive_payload(event.payload)
        if event.trailing and not link.closed:
            link.receive(event.trailing)
        link.flush()
        link.pump()

    def _watch_idle(self) -> None:
        """Let the link go as soon as nothing has been said on it for as long as the decoy bears with that."""
        link, parting = self._link, self._parting
        if link is None or link.closed or parting is None:
            return
        due = link.alive.last + parting.seconds
        if due > self._loop.time() or link.streams or link.channel.session.is_reserved:
            self._resting = self._loop.call_at(max(due, self._loop.time() + 1.0), self._watch_idle)
        else:
            link.rest(parting.sizes)

    def _back_to_decoy(self, rest: bytes) -> None:
        """The tunnel is over; the decoy answers what it could not read."""
        assert self.core is not None and self.client.transport is not None  # noqa: S101
        self._spliced = True
        self.client.transport.set_protocol(self.client)
        self._act(self.core.splice(rest))

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        self._owner.stream_opened_by_client(channel, event)

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        self._owner.circuit_extended_by_client(channel, event)

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        self._owner.reservation_asked(channel, event)

    def link_closed(self, link: Link, reason: str) -> None:
        if link.released:
            self.client.transport = None  # somebody else's now
        if self._resting is not None:
            self._resting.cancel()
        self._owner.link_closed(link, reason)
        self._loop.call_soon(self._leave_decoy)

    def _leave_decoy(self) -> None:
        """The tunnel is over: its decoy connection too, unless the decoy has taken the client back."""
        if not self._spliced:
            self.decoy.close_when_sent()

    # --- endings

    def eof(self, side: "_Side") -> None:
        """``side`` sends no more."""
        assert self.core is not None  # noqa: S101
        tunnelling = self._link is not None and not self._link.closed
        if side is self.client:
            self._act(self.core.client_eof())
        elif tunnelling:
            self._decoy_left = True
            return
        else:
            self._act(self.core.decoy_eof())
        side.other.write_eof()

    def lost(self, side: "_Side", error: Exception | None) -> None:
        """``side``'s connection is gone."""
        if self._link is not None and not self._link.closed and side is self.decoy:
            self._decoy_left = True
            return
        if isinstance(error, ConnectionError):
            side.take_rest(error)
            side.other.reset()
        else:
            side.other.close_when_sent()
        self._alarm.cancel()


class _Side(asyncio.Protocol):
    """One of the two TCP connections while bytes are relayed."""

    other: "_Side"

    def __init__(self, connection: PeerConnection, receive: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._receive = receive
        self.transport: asyncio.Transport | None = None
        self.ended = False
        self._said_all = False
        self._watch: HangupWatch | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=RELAY_WRITE_HIGH)
        if self is self._connection.client:
            self._connection.accepted()

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.transport is not None and self._watch is None:
            self._watch = HangupWatch(self.transport, self._hung_up)
        self._connection.eof(self)
        return True

    def _hung_up(self) -> None:
        """It is reset although it had said all."""
        self._connection.lost(self, ConnectionResetError())
        self.reset()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if self._watch is not None:
            self._watch.close()
        self._connection.lost(self, exc)

    def take_rest(self, error: ConnectionError) -> None:
        """What came before a reset that showed in writing first: whoever asks the decoy itself reads it, too."""
        if self.transport is not None and (rest := endings.unread(self.transport)):
            self._receive(rest)
        if isinstance(error, BrokenPipeError):  # what the system says when FIN came before the reset
            self.other.write_eof()

    def pause_writing(self) -> None:
        self.other.pause()

    def resume_writing(self) -> None:
        self.other.resume()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing() and not self._said_all:
            self.transport.write(data)

    def write_eof(self) -> None:
        if self.transport is None or self.transport.is_closing() or self._said_all:
            return
        self._said_all = True
        if not self.ended:
            with suppress(OSError):  # it is reset, and what it said before that is still to be read
                self.transport.write_eof()
        elif endings.was_reset(self.transport):
            self._hung_up()
        else:
            self.close_when_sent()  # both directions are done
            self.other.close_when_sent()

    def close_when_sent(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            endings.close(self.transport)

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def reset(self) -> None:
        """End with RST, as the other side ended."""
        if self.transport is not None:
            endings.reset(self.transport)


def _prefix(address: object) -> str:
    """The part of a source address that one household or host shares: /24 or /48."""
    host = str(address[0]) if isinstance(address, tuple) else ""
    return ":".join(host.split(":")[:3]) if ":" in host else ".".join(host.split(".")[:3])
