"""A peer's connection: the driver of ``wire.cover.peer``. To whoever has no key it is a byte-exact relay to the decoy.

What a relay must copy besides bytes: half-closes, resets, their order, and that a full pipe stops the sender.
"""

import asyncio
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import cast

from qnet.net.link import Link, LinkOwner
from qnet.wire.channel import record
from qnet.wire.cover.peer import CoverPeer, Established, Event, PeerConfig, ToClient, ToDecoy
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.link import LinkSession, Scratch, StreamOpen

RELAY_WRITE_HIGH = 256 * 1024
DIAL_SECONDS = 10.0
_LINGER_RESET = struct.pack("ii", 1, 0)
_CLOSE_ALERT_BODY = 19
"""Bytes in the body of the record with which a decoy answers a bad record (nginx and OpenSSL: an alert)."""


class PeerConnection:
    """One client's connection and the decoy's connection behind it."""

    def __init__(
        self, config: PeerConfig, decoy: tuple[str, int], replay: ReplayCache, scratch: Scratch, owner: LinkOwner
    ) -> None:
        self._config = config
        self._decoy_address = decoy
        self._replay = replay
        self._scratch = scratch
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._link: Link | None = None
        self._spliced = False
        self._timer: asyncio.TimerHandle | None = None
        self.client = _Side(self, self._from_client)
        self.decoy = _Side(self, self._from_decoy)
        self.client.other, self.decoy.other = self.decoy, self.client
        self.core: CoverPeer | None = None

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
        self._act(self.core.from_decoy(data))

    def _act(self, events: Iterator[Event]) -> None:
        for event in events:
            match event:
                case ToDecoy(data):
                    self._to_decoy(data)
                case ToClient(data):
                    self.client.write(data)
                case Established():
                    self._establish(event)
        self._set_timer()

    def _to_decoy(self, data: bytes) -> None:
        if self.decoy.ended and self._link is not None:
            # The decoy left during the tunnel; it would have answered a bad record with an alert and a FIN.
            self.client.write(record(os.urandom(_CLOSE_ALERT_BODY)))
            self.client.write_eof()
        else:
            self.decoy.write(data)

    def _set_timer(self) -> None:
        assert self.core is not None  # noqa: S101
        due = self.core.next_timer()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = self._loop.call_later(max(0.0, due - time.time()), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        assert self.core is not None  # noqa: S101
        self._act(self.core.timer(time.time()))

    # --- the tunnel

    def _establish(self, event: Established) -> None:
        assert self.client.transport is not None  # noqa: S101
        session = LinkSession(event.keys, initiator=False, scratch=self._scratch, now=self._loop.time())
        session.settings()
        link = self._link = Link(session, self.client.transport, self._scratch, self)
        link.on_bad_record = self._back_to_decoy
        self.client.transport.set_protocol(link)
        self.decoy.resume()
        link.receive_payload(event.payload)
        if event.trailing and not link.closed:
            link.receive(event.trailing)
        link.flush()

    def _back_to_decoy(self, rest: bytes) -> None:
        """The tunnel is over; the decoy answers what it could not read."""
        assert self.core is not None and self.client.transport is not None  # noqa: S101
        self._spliced = True
        self.client.transport.set_protocol(self.client)
        self._act(self.core.splice(rest))

    def stream_opened_by_client(self, link: Link, event: StreamOpen) -> None:
        self._owner.stream_opened_by_client(link, event)

    def link_closed(self, link: Link, reason: str) -> None:
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
            return
        else:
            self._act(self.core.decoy_eof())
        side.other.write_eof()

    def lost(self, side: "_Side", error: Exception | None) -> None:
        """``side``'s connection is gone."""
        if self._link is not None and not self._link.closed and side is self.decoy:
            side.ended = True
            return
        if isinstance(error, ConnectionResetError):
            side.other.reset()
        elif side.other.transport is not None:
            side.other.transport.close()
        if self._timer is not None:
            self._timer.cancel()


class _Side(asyncio.Protocol):
    """One of the two TCP connections while bytes are relayed."""

    other: "_Side"

    def __init__(self, connection: PeerConnection, receive: Callable[[bytes], None]) -> None:
        self._connection = connection
        self._receive = receive
        self.transport: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=RELAY_WRITE_HIGH)
        if self is self._connection.client:
            self._connection.accepted()

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def eof_received(self) -> bool:
        self.ended = True
        self._connection.eof(self)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._connection.lost(self, exc)

    def pause_writing(self) -> None:
        self.other.pause()

    def resume_writing(self) -> None:
        self.other.resume()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def write_eof(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self.ended:
            self.transport.close()  # both directions are done
            self.other.close_when_sent()
        else:
            self.transport.write_eof()

    def close_when_sent(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def reset(self) -> None:
        """End with RST, as the other side ended."""
        if self.transport is None or self.transport.is_closing():
            return
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        self.transport.abort()


def _prefix(address: object) -> str:
    """The part of a source address that one household or host shares: /24 or /48."""
    host = str(address[0]) if isinstance(address, tuple) else ""
    return ":".join(host.split(":")[:3]) if ":" in host else ".".join(host.split(".")[:3])
