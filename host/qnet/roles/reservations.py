"""What a public relay keeps for hidden ones: links that wait for a circuit, few for each and few in all.

The conversation is in ``wire.reservation``. A hidden relay is known by the identity that signed for the link; it gets
no more than to wait: it can neither make this node dial nor open anything by a link that waits.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

from qnet.net.channel import Channel
from qnet.net.dial import DialError
from qnet.net.link import Link
from qnet.wire.errors import RemoteError
from qnet.wire.events import Ready, Reservation, Reserve
from qnet.wire.frames import Frame, Reset
from qnet.wire.reservation import verify

MAX_WAITING = 4
"""Links that one hidden relay may have waiting; a further one takes the place of the oldest."""
RESERVED_SECONDS = 3600
"""How long one waits at most; the hidden relay makes another in its place."""
READY_SECONDS = 4.0
"""How long a hidden relay has to answer that it takes a circuit; the next of its links is tried then."""


class Reservations:
    """``limit``: hidden relays that may wait here at once; 0 for none."""

    def __init__(self, limit: int, clock: Callable[[], float] = time.time) -> None:
        self._limit = limit
        self._clock = clock
        self._waiting: dict[bytes, dict[Link, asyncio.TimerHandle]] = {}
        self._taking: dict[Link, asyncio.Future[bool]] = {}
        self._wanted: dict[asyncio.Future[None], bytes] = {}

    @property
    def count(self) -> int:
        """Hidden relays that wait here."""
        return len(self._waiting)

    def has(self, identity: bytes) -> bool:
        """Whether the relay of ``identity`` waits here: it has signed for a link within the hour."""
        return identity in self._waiting

    def ask(self, channel: Channel, event: Reserve) -> None:
        """Keep the link, or refuse. A statement that is not about this very link, and now, gets no answer."""
        link, session = channel.link, channel.session
        try:
            identity = verify(event.statement, session.handshake_hash, self._clock())
        except RemoteError:
            link.close("a reservation that is not signed for this link")
            return
        if identity not in self._waiting and len(self._waiting) >= self._limit:
            session.reserved(Reset.LIMIT if self._limit else Reset.POLICY, 0)
            return
        waiting = self._waiting.setdefault(identity, {})
        if len(waiting) >= MAX_WAITING:
            next(iter(waiting)).close("a newer one waits in its place")
        waiting[link] = link.loop.call_later(RESERVED_SECONDS, link.close, "it has waited long enough")
        session.reserved(Reset.CLOSED, RESERVED_SECONDS)
        for wanting, whom in self._wanted.items():
            if whom == identity and not wanting.done():
                wanting.set_result(None)

    def dropped(self, link: Link) -> None:
        """The link is gone, or taken."""
        if (ready := self._taking.get(link)) is not None and not ready.done():
            ready.set_result(False)
        for identity, waiting in list(self._waiting.items()):
            timer = waiting.pop(link, None)
            if timer is not None:
                timer.cancel()
            if not waiting:
                del self._waiting[identity]

    async def take(self, identity: bytes) -> Link:
        """A link on which the relay of ``identity`` is ready for a circuit; raises ``DialError``.

        When none waits, a few seconds are given for one to come: the relay replaces those that were taken.
        """
        while True:
            link = await self._next(identity)
            ready = self._taking[link] = link.loop.create_future()
            link.on_reservation = partial(_tell, ready)
            link.channel.session.last_word(Frame.TAKEN)
            link.channel.flush()
            try:
                async with asyncio.timeout(READY_SECONDS):
                    if await ready and not link.closed:
                        return link
            except TimeoutError:
                pass
            finally:
                link.on_reservation = None
                del self._taking[link]
                if ready.cancelled() and not link.closed:
                    link.close("it did not take the circuit")

    async def _next(self, identity: bytes) -> Link:
        try:
            async with asyncio.timeout(READY_SECONDS):
                while identity not in self._waiting:
                    come = asyncio.get_running_loop().create_future()
                    self._wanted[come] = identity
                    try:
                        await come
                    finally:
                        del self._wanted[come]
        except TimeoutError:
            raise DialError(Reset.UNREACHABLE) from None
        link = next(reversed(self._waiting[identity]))
        self.dropped(link)
        return link


def _tell(ready: "asyncio.Future[bool]", event: Reservation) -> None:
    if isinstance(event, Ready) and not ready.done():
        ready.set_result(True)
