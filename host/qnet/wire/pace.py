"""How much of a circuit is on its way at once: enough to fill the path, not enough to make a queue in it.

Conversation, the sender on the left:

1. → DATA …, PING(number) behind them; ← PONG(number): all that was sent before it has arrived
2. the time between the two is a round trip, queues included

The window follows FAST TCP (Wei et al., 2006): what was ahead of a PING, divided by its round trip, is the rate; the
rate in the time of an empty path and of the target is the window, once a round trip, so that the queue on the whole way
comes to rest at the target. It doubles until the queue shows (slow start), grows only while the sender uses it, and
every ten seconds is let down for two round trips, so that the base is that of an empty path.
"""

import math
from collections import deque
from dataclasses import dataclass, field

START = 128 * 1024
SMALLEST = 32 * 1024
LARGEST = 1 << 26
MARK = 16 * 1024
"""Bytes between two PINGs, at least."""

TARGET = 0.03
"""Seconds of queue that are aimed at."""

PROBE_SECONDS = 10.0


@dataclass(slots=True)
class _Mark:
    """``sent``: all bytes before it. ``ahead``: those of them that had not arrived when it left."""

    number: int
    sent: int
    ahead: int
    at: float


@dataclass(slots=True)
class Pace:
    """The sender's account of one circuit; sizes in bytes of payload, times in seconds of any steady clock."""

    window: float = START
    round_trip: float = 0.0
    """The last one measured; 0 before there is any."""
    _base: float = math.inf
    _sent: int = 0
    _arrived: int = 0
    _marked: int = 0
    _marks: deque[_Mark] = field(default_factory=deque)
    _starting: bool = True
    _was_used: bool = False
    _round_end: int = 0
    _best: _Mark | None = None
    _shortest: float = math.inf
    """The quickest of this round, and its round trip."""
    _probe_at: float = 0.0
    _probing: int = 0
    """Rounds until the base is measured anew, and the window to return to then."""
    _resume: float = 0.0

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return int(self.window) - self._sent + self._arrived

    def sent(self, count: int) -> bool:
        """``count`` bytes leave; gives whether a PING should follow them."""
        self._sent += count
        if self._sent - self._arrived >= 0.75 * self.window:
            self._was_used = True
        if self.room <= 0 and not self._marks:
            return True
        return self._sent - self._marked >= max(MARK, self.window / 16)

    def mark(self, number: int, now: float) -> None:
        """PING ``number``, higher than all before, leaves behind what was sent."""
        self._marked = self._sent
        self._marks.append(_Mark(number, self._sent, self._sent - self._arrived, now))

    def answered(self, number: int, now: float) -> bool:
        """PONG ``number`` came; gives whether another PING should leave, for what went without one."""
        marks = self._marks
        while marks and marks[0].number < number:
            marks.popleft()
        if not marks or marks[0].number != number:
            return False
        mark = marks.popleft()
        arrived, self._arrived = mark.sent - self._arrived, mark.sent
        round_trip = self.round_trip = max(now - mark.at, 1e-6)
        if round_trip < self._shortest:
            self._best, self._shortest = mark, round_trip
        if not self._probing:
            self._base = min(self._base, round_trip)
        if self._starting:
            if round_trip > self._base + TARGET / 2:
                self._starting = False
                self._aim(mark.ahead, round_trip)
                self._begin_round()
                self._probe_at = now + PROBE_SECONDS
            elif self._was_used:
                self.window += arrived
        elif self._arrived >= self._round_end:
            self._end_round(now)
        self.window = min(max(self.window, SMALLEST), LARGEST)
        # Otherwise a window that shrinks below what left behind the last PING would stay full for ever.
        return not marks and self._sent > self._arrived

    def _begin_round(self) -> None:
        """It ends when everything is in that was sent until now."""
        self._round_end, self._was_used = self._sent, False
        self._best, self._shortest = None, math.inf

    def _aim(self, ahead: int, round_trip: float) -> None:
        """``ahead`` bytes took ``round_trip``: so many in the base and the target's time are the window."""
        self.window = ahead / round_trip * (self._base + TARGET)

    def _end_round(self, now: float) -> None:
        best, shortest, used = self._best, self._shortest, self._was_used
        self._begin_round()
        if best is None:
            return
        if self._probing:
            self._probing -= 1
            if not self._probing:  # what was sent before the window was let down is in since a round
                self.window, self._base = self._resume, shortest
                self._probe_at = now + PROBE_SECONDS
            return
        before = self.window
        self._aim(best.ahead, shortest)
        if not used:
            self.window = before if shortest <= self._base + TARGET else min(before, self.window)
        elif shortest <= self._base + TARGET / 4:
            self.window = max(before, self.window) + MARK
        if used and now >= self._probe_at:
            self._probing, self._resume = 2, self.window
            self.window *= 0.75 * self._base / (self._base + TARGET)
