"""Keeping connections alive, and finding out that one is dead.

Nothing may have been heard for a while because nothing was said, or because the way is gone. Whoever waits for
something asks after four seconds; who only holds something open asks every half minute or so, at random within it and
well inside the time after which a web server gives an idle connection up. What is not answered within eight seconds is
dead: in use it is found out within fifteen. A way that nobody uses is left alone: a browser says nothing there either.
"""

import asyncio
import random
import socket
from collections.abc import Callable
from math import inf

IDLE_SECONDS = 30.0
WAITING_SECONDS = 4.0
ANSWER_SECONDS = 8.0
_LOOK_SECONDS = 1.5

NOT_SENT = 32 * 1024
"""Bytes that the kernel keeps unsent on one connection: what waits behind them can still be put in order."""
_USER_TIMEOUT_MS = 15_000


def tune(transport: asyncio.Transport) -> None:
    """Short queues on a connection that carries records, and an early end if its other side is gone."""
    keep_unsent(transport, NOT_SENT)
    _set(transport, "TCP_USER_TIMEOUT", _USER_TIMEOUT_MS)


def keep_unsent(transport: asyncio.Transport, count: int) -> None:
    """Let the kernel take data until ``count`` bytes are unsent. It takes no more at once, however fast they leave."""
    _set(transport, "TCP_NOTSENT_LOWAT", count)


def _set(transport: asyncio.Transport, option: str, value: int) -> None:
    raw, number = transport.get_extra_info("socket"), getattr(socket, option, None)
    if number is not None and raw is not None and raw.family != getattr(socket, "AF_UNIX", None):
        raw.setsockopt(socket.IPPROTO_TCP, number, value)


class Alive:
    """Watches one way. ``ask`` sends something that is answered; ``dead`` is called once, when it was not.

    ``used``: whether something is open on it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        ask: Callable[[], None],
        dead: Callable[[], None],
        used: Callable[[], bool] = lambda: True,
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._dead = dead
        self._used = used
        self.nudge = inf
        """Seconds of silence after which an unused way is asked all the same: Firefox does, and no server minds."""
        self.last = loop.time()
        """When something came or went, apart from asking and answering."""
        self._heard_at = self._said_at = loop.time()
        self._asked_at: float | None = None
        self._pause = IDLE_SECONDS
        self._rest()
        self._timer = loop.call_later(_LOOK_SECONDS, self._look)

    def heard(self, *, matters: bool = True) -> None:
        """Something came; does it matter, or was it only asked or answered?"""
        self._heard_at = self._loop.time()
        self._asked_at = None
        if matters:
            self.last = self._heard_at

    def said(self) -> None:
        """Something went that may be answered."""
        self._said_at = self.last = self._loop.time()

    def stop(self) -> None:
        """It is over."""
        self._timer.cancel()

    def _rest(self) -> None:
        self._pause = IDLE_SECONDS * random.uniform(0.6, 1.0)  # noqa: S311 - only so that it has no fixed period

    def _look(self) -> None:
        now = self._loop.time()
        silence = now - self._heard_at
        if self._asked_at is not None:
            if now - self._asked_at >= ANSWER_SECONDS:
                self._dead()
                return
        elif silence >= (self._pause if self._used() else self.nudge) or (
            silence >= WAITING_SECONDS and self._said_at > self._heard_at
        ):
            self._asked_at = now
            self._rest()
            self._ask()
        self._timer = self._loop.call_later(_LOOK_SECONDS, self._look)
