"""A link to one operator, for the requests to its directory: ``directory.qnet`` inside its tunnel.

Made when somebody asks, kept while requests follow one another, let go when none has come for a minute. On the wire
it is a link like any other; requests are streams of it.
"""

import asyncio
from collections.abc import Callable

from qnet.net.channel import Channel
from qnet.net.circuit import Circuit
from qnet.net.client_link import Disguise, connect, peer_keys, places
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.wire.descriptor import Descriptor
from qnet.wire.events import Extend, Reserve, StreamOpen
from qnet.wire.scratch import Scratch

DIRECTORY = ("directory.qnet", 80)
IDLE_SECONDS = 60.0
SILENT_SECONDS = 3.0
"""A link on which a stream was not answered for so long is given up when the next request comes."""


class OperatorLink:
    """``peer`` gives the operator's newest descriptor, asked for each new link."""

    def __init__(self, peer: Callable[[], Descriptor], disguise: Disguise, scratch: Scratch) -> None:
        self._peer = peer
        self._disguise = disguise
        self._scratch = scratch
        self._circuit: Circuit | None = None
        self._last: StreamSocket | None = None
        self._asked = 0.0
        self._making = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None

    async def open(self) -> StreamSocket:
        """A stream to the operator's directory, not opened yet; raises ``RemoteError``."""
        async with self._making:
            circuit = self._circuit
            if circuit is None or self._is_silent() or not circuit.has_room():
                self.close()
                circuit = self._circuit = await self._connect()
        loop = asyncio.get_running_loop()
        self._last, self._asked = circuit.open(*DIRECTORY), loop.time()
        if self._timer is None:
            self._timer = loop.call_later(IDLE_SECONDS, self._check)
        return self._last

    def close(self) -> None:
        """Let the link go."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._circuit is not None and not self._circuit.link.closed:
            self._circuit.link.close("the operator's directory is not asked any more")
        self._circuit = self._last = None

    async def _connect(self) -> Circuit:
        peer = self._peer()
        circuit = Circuit(await connect(places(peer), peer_keys(peer), self._disguise, self._scratch, self))
        circuit.finish()
        return circuit

    def _is_silent(self) -> bool:
        unanswered = self._last is not None and not self._last.opened.done()
        return unanswered and asyncio.get_running_loop().time() - self._asked > SILENT_SECONDS

    def _check(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if self._circuit is None or self._circuit.closed:
            return
        if loop.time() - self._asked >= IDLE_SECONDS - 1 and not self._circuit.streams:
            self.close()
        else:
            self._timer = loop.call_later(IDLE_SECONDS, self._check)

    # --- LinkOwner

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """A peer cannot open streams at a client; the session refuses before this."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """Nor can it extend a circuit."""

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        """The session refuses before this."""

    def link_closed(self, link: Link, reason: str) -> None:
        """The next request makes another."""
