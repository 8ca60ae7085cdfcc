"""How often a source may ask: a token bucket for each within bounded memory, and one with a queue."""

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf

MAX_SOURCES = 1 << 14


@dataclass(slots=True)
class RateLimit:
    """``burst`` at once, ``rate`` a second in the long run. The sources asked least lately are forgotten first."""

    rate: float
    burst: float
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def admit(self, source: str, now: float) -> float:
        """0 if ``source`` may go on now, else the seconds after which it may. ``now``: any steady clock."""
        tokens, at = self._left.pop(source, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        self._left[source] = (tokens - 1 if tokens >= 1 else tokens, now)
        if len(self._left) > MAX_SOURCES:
            self._left.popitem(last=False)
        return 0.0 if tokens >= 1 else (1 - tokens) / self.rate


@dataclass(slots=True)
class Pace:
    """``burst`` at once, ``rate`` a second in the long run; who comes too early is told how long to wait.

    The virtual scheduling form of a leaky bucket (ITU-T I.371, GCRA): each ``reserve`` moves the next turn on.
    """

    rate: float
    burst: float
    _next: float = -inf

    def reserve(self, now: float, patience: float) -> float | None:
        """Seconds until the caller's turn; ``None``, and no turn taken, if that is more than ``patience``."""
        turn = max(self._next, now - (self.burst - 1) / self.rate)
        wait = max(0.0, turn - now)
        if wait > patience:
            return None
        self._next = turn + 1 / self.rate
        return wait
