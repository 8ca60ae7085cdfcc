"""A client's circuit, hop by hop: ask the last hop to go on, and make a secure channel with the next through it.

Several circuits share a link: each has a number there, the same at every hop, and ends without the others noticing.
"""

import asyncio
import os
from collections.abc import Callable

from qnet.net.alive import Alive
from qnet.net.channel import Channel
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.errors import RemoteError
from qnet.wire.frames import Reset
from qnet.wire.hop import HopClient
from qnet.wire.layers import inner_limit, split_records
from qnet.wire.link import LinkSession, settings_frame

EXTEND_SECONDS = 15.0


class ExtendError(RemoteError):
    """The circuit could not be made longer; ``reset`` says why in the relay's words."""

    def __init__(self, reset: Reset) -> None:
        super().__init__(f"the circuit ended: {reset.name}")
        self.reset = reset


class Circuit:
    """A circuit on ``link``, which has room for it. ``on_end`` is called when it ends, but not by ``close``."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.number = link.channel.session.new_circuit()
        self.closed = False
        self.rested = False
        """Whether a hop let it go in order, because nobody used it."""
        self.broke_at = 0
        """The hop, from 0, that told of the end: it or what is behind it failed."""
        self._channels = [link.channel]
        self._alive: Alive | None = None
        self.on_end: Callable[[], None] | None = None

    @property
    def channel(self) -> Channel:
        """The channel with the last hop so far."""
        return self._channels[-1]

    @property
    def streams(self) -> int:
        """Streams whose sockets are not finished."""
        return self.channel.streams_of(self.number)

    @property
    def carried(self) -> int:
        """Bytes of content so far, both ways."""
        return self.channel.session.carried(self.number)

    def has_room(self) -> bool:
        """Whether one more stream may be opened."""
        return not self.closed and self.channel.session.has_room(self.number)

    def open(self, host: str, port: int) -> StreamSocket:
        """Ask the exit for a destination; the socket's ``opened`` tells how it went."""
        return self.channel.open(self.number, host, port)

    def finish(self) -> None:
        """Let the circuit end at its last hop: streams may be opened."""
        channel = self.channel
        channel.circuits[self.number] = _Hop(self, len(self._channels) - 1)
        channel.session.open_circuit(self.number)
        if len(self._channels) > 1:
            # The link has its own; here the hops behind the first are asked, all at once.
            self._alive = channel.alive = Alive(
                channel.loop, channel.ping, lambda: self.end(0), lambda: self.streams > 0
            )

    async def extend(self, descriptor: bytes, peer: PeerKeys) -> None:
        """Let the circuit go on from its last hop to ``peer``.

        Raises ``RemoteError`` of some kind within 15 s; the circuit is then of no use any more.
        """
        channel = self.channel
        hop = channel.circuits[self.number] = _Hop(self, len(self._channels) - 1)
        channel.session.extend(self.number, descriptor)
        channel.flush()
        try:
            async with asyncio.timeout(EXTEND_SECONDS):
                core = HopClient(peer, *(await hop.digests), os.urandom)
                channel.send_message(self.number, core.first())
                second = await hop.second
        except TimeoutError:
            raise ExtendError(Reset.TIMEOUT) from None
        limit = inner_limit(channel.session.max_plaintext)
        third, keys = core.second(second, settings_frame(limit))
        channel.send_message(self.number, third)
        session = LinkSession(
            keys,
            initiator=True,
            scratch=channel.scratch,
            now=channel.loop.time(),
            outer=channel.session,
            circuit=self.number,
        )
        channel.session.attach(self.number, session)
        inner = self.link.add(session)
        depth = len(self._channels)
        inner.on_broken = lambda reason: self.end(depth)
        inner.on_goodbye = lambda: self._rest(depth)
        self._channels.append(inner)

    def close(self) -> None:
        """Give it up; the link and its other circuits stay."""
        self.on_end = None
        self.end(0)

    def _rest(self, hop: int) -> None:
        self.rested = True
        self.end(hop)

    def end(self, hop: int) -> None:
        """It is gone, says ``hop``: its streams end, and so does the way there."""
        if self.closed:
            return
        self.closed, self.broke_at = True, hop
        if self._alive is not None:
            self._alive.stop()
        for channel in reversed(self._channels[1:]):
            self.link.remove(channel)
        self.link.channel.close_circuit(self.number, Reset.CLOSED)
        if self.on_end is not None:
            self.on_end()


class _Hop:
    """The ``CircuitHandler`` of a client's circuit at one hop: what ``extend`` waits for, then the end."""

    def __init__(self, circuit: Circuit, depth: int) -> None:
        self._circuit = circuit
        self._depth = depth
        loop = asyncio.get_running_loop()
        self.digests: asyncio.Future[tuple[bytes, bytes]] = loop.create_future()
        self.second: asyncio.Future[bytes] = loop.create_future()

    def extended(self, client_digest: bytes, server_digest: bytes) -> None:
        if not self.digests.done():
            self.digests.set_result((client_digest, server_digest))

    def forwarded(self, records: memoryview) -> None:
        if self.second.done():
            return
        try:
            self.second.set_result(bytes(split_records(records)[0]))
        except RemoteError as error:
            self.second.set_exception(error)

    def closed(self, code: Reset) -> None:
        if not self.digests.done():
            self.digests.set_exception(ExtendError(code))
            self.digests.exception()  # nobody may be waiting any more
            self.second.cancel()
        elif not self.second.done():
            self.second.set_exception(ExtendError(code))
            self.second.exception()
        self._circuit.end(self._depth)

    def credited(self) -> None:
        self._circuit.channel.continue_circuit(self._circuit.number)

    def pause(self) -> None:
        """Nothing is read for it."""

    def resume(self) -> None:
        """Nothing is read for it."""
