"""One client's turns at an exit: so many connections made at once, so many new streams a minute.

A client is the link it came by; whoever is behind it is not known. What exceeds waits its turn, and is refused when
that would be long.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qnet.mesh.rate import Pace
from qnet.net.dial import DialError
from qnet.wire.frames import Reset

PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """``connects``: being made at once; ``streams_per_minute``: as many may also come at once after a quiet minute."""

    connects: int = 20
    streams_per_minute: int = 100


class Turns:
    """One client's."""

    def __init__(self, limits: ClientLimits) -> None:
        self._pace = Pace(limits.streams_per_minute / 60, limits.streams_per_minute)
        self._slots = asyncio.Semaphore(limits.connects)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Make a connection within the block; raises ``DialError`` when its turn is not within 10 s."""
        wait = self._pace.reserve(asyncio.get_running_loop().time(), PATIENCE_SECONDS)
        if wait is None:
            raise DialError(Reset.LIMIT)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if wait:
                    await asyncio.sleep(wait)
                await self._slots.acquire()
        except TimeoutError:
            raise DialError(Reset.LIMIT) from None
        try:
            yield
        finally:
            self._slots.release()
