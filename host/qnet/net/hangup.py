"""Notices the reset of a connection that nobody reads any more.

After FIN asyncio stops watching a socket, so a RST that follows would show at the next write but one. A relay must
pass it on at once: a prober counts how much it can send to a closed server before that resets.

epoll reports errors of every socket in its set, whatever else is asked for, and can itself be watched for reading.
Where there is no epoll (only Linux has it) nothing is noticed early.
"""

import asyncio
import select
import sys
from collections.abc import Callable


class HangupWatch:
    """Calls ``lost`` once when ``transport``'s socket has an error. ``close`` it before the socket."""

    def __init__(self, transport: asyncio.Transport, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        if sys.platform == "linux":
            self._epoll = select.epoll()
            # Edges only: what both sides have closed in order is "hung up" for ever.
            self._epoll.register(transport.get_extra_info("socket").fileno(), select.EPOLLET)
            self._loop.add_reader(self._epoll.fileno(), self._ready)

    def _ready(self) -> None:
        if any(event & select.EPOLLERR for _, event in self._epoll.poll(0)):
            self.close()
            self._lost()

    def close(self) -> None:
        """Watch no more."""
        if sys.platform == "linux" and not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
