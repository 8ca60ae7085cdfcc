"""Cover traffic: links on which nothing happens go to another page now and then, as far as the budget reaches.

The pauses are exponential, as of visits that know nothing of each other; their mean is what the last one cost by what
the budget allows, so that in the long run the budget is what is spent.
"""

import os
import random
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from qnet.net.link import Link
from qnet.wire.script import SEED

TYPICAL = 400_000
"""Bytes of a visit, before there has been one."""


class Visits:
    """``rate``: bytes a second for each link, both ways; 0 for none. Times in seconds of any steady clock."""

    def __init__(self, rate: float, rng: random.Random) -> None:
        self._rate = rate
        self._rng = rng
        self._due: WeakKeyDictionary[Link, float] = WeakKeyDictionary()

    def look(self, links: Iterable[Link], now: float) -> None:
        """Begin on each of ``links`` what is due there."""
        if not self._rate:
            return
        for link in links:
            if link not in self._due:
                self._due[link] = now + self._pause(TYPICAL)
            elif now >= self._due[link] and not link.streams and link.channel.session.can_visit:
                self._due[link] = now + self._pause(link.visit(os.urandom(SEED)))

    def _pause(self, cost: int) -> float:
        return self._rng.expovariate(self._rate / cost)
