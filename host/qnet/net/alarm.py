"""A timer that is on time: the event loop's own are up to a millisecond late, which shows in gaps."""

import asyncio
from collections.abc import Callable

from qnet.wire.shaping import AT_ONCE

NEAR_SECONDS = 0.0015
"""How near its time no timer is set any more: what is so near is waited for turn by turn. It is soon over."""


class Alarm:
    """Calls ``ring`` once at the time last ``set``, in the event loop's clock; as early as a script's steps may be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._due = 0.0
        self._handle: asyncio.Handle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it is still to ring."""
        return self._handle is not None

    def set(self, due: float) -> None:
        """Ring at ``due`` and no more at what was set before."""
        self.cancel()
        self._due = due
        self._wait()

    def cancel(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wait(self) -> None:
        near = self._due - self._loop.time() <= NEAR_SECONDS
        self._handle = (
            self._loop.call_soon(self._turn) if near else self._loop.call_at(self._due - NEAR_SECONDS, self._turn)
        )

    def _turn(self) -> None:
        self._handle = None
        if self._loop.time() < self._due - AT_ONCE:
            self._wait()
        else:
            self._ring()
