"""Streams of one circuit with credit-based flow control: what each side may send, and what it has granted.

Conversation about one stream, client on the left:

1. → OPEN(host, port); both sides now hold ``INITIAL_WINDOW`` of credit, so DATA may follow at once
2. ← OPENED, or RESET(code)
3. ↔ DATA within the credit; each side answers consumed bytes with WINDOW(credit)
4. ↔ FIN each way once; after both the stream is gone. RESET(code) ends it at once.

And about a circuit that goes on (client – relay):

1. → EXTEND; ← EXTENDED: the client now holds ``HOP_WINDOW`` of credit for records to be forwarded
2. → FORWARD, counted as the record that the relay sends on; ← CREDIT(credit) as the next hop's connection takes them.
   Control frames are not kept back for want of it: the account may be overdrawn by ``HOP_SLACK``, no more.

Only credit stops a sender. The receiver grants what its sink has taken, and widens the window while the sender uses
half of it within two round trips, as far as the circuit's and the process's budgets allow; a window that is used up
slowly gives back half. Σ windows ≤ circuit's budget, Σ over all circuits ≤ process's budget, floor = initial window.
"""

import math
from dataclasses import dataclass, field

from qnet.wire.frames import MAX_WINDOW, FrameError

INITIAL_WINDOW = 64 * 1024
CIRCUIT_BUDGET = 16 * 1024 * 1024
MAX_STREAMS = CIRCUIT_BUDGET // INITIAL_WINDOW
"""With every stream at the floor the budget is spent: more streams on one circuit are refused."""

MIN_ROUND_TRIP = 0.05
PROBE_SECONDS = 1.0
"""Seconds: a window used up faster than this is widened even where the path is shorter."""


SLOW_SECONDS = 1.0
"""A window of which half lasts longer than this is wider than it needs to be."""

HOP_WINDOW = 256 * 1024
HOP_SLACK = 128 * 1024


@dataclass(slots=True)
class Budget:
    """What all windows of a process may promise together, in bytes."""

    total: int = 256 * 1024 * 1024
    used: int = 0

    @property
    def left(self) -> int:
        return self.total - self.used


@dataclass(slots=True)
class Window:
    """What one receiver has promised to take; sizes in bytes."""

    window: int = INITIAL_WINDOW
    receivable: int = INITIAL_WINDOW
    unacknowledged: int = 0
    granted_at: float = 0.0

    def consumed(self, count: int, now: float, round_trip: float, room: int) -> tuple[int, int]:
        """``count`` bytes are out of the way; gives the credit to grant now (0: later) and by how much it is wider.

        ``room``: by how much it may become wider.
        """
        self.unacknowledged += count
        if self.unacknowledged * 2 < self.window:
            return 0, 0
        lasted, wider = now - self.granted_at, 0
        if lasted < 2 * round_trip and self.window <= room and self.window * 2 <= MAX_WINDOW:
            wider = self.window
        elif lasted > SLOW_SECONDS and self.window >= 2 * INITIAL_WINDOW:
            wider = -min(self.window // 2, self.unacknowledged)
        grant = self.unacknowledged + wider
        self.window += wider
        self.receivable += grant
        self.unacknowledged = 0
        self.granted_at = now
        return grant, wider


@dataclass(slots=True)
class Stream(Window):
    """One stream's account at one end; sizes in bytes."""

    id: int = 0
    send_credit: int = INITIAL_WINDOW
    sent_fin: bool = False
    received_fin: bool = False

    @property
    def finished(self) -> bool:
        return self.sent_fin and self.received_fin


@dataclass(slots=True)
class Streams:
    """The streams of one circuit at one end. ``initiator``: this end opens them."""

    initiator: bool
    budget: int = CIRCUIT_BUDGET
    process: Budget = field(default_factory=Budget)
    carried: int = 0
    """Bytes of payload so far, both ways."""
    round_trip: float = 0.0
    """The last one measured, in seconds; 0 before there is any."""
    probed: tuple[int, float] = (0, -math.inf)
    """The number of the last PING that only measures the round trip, and when it left."""
    held: bool = False
    """Whether somebody was refused for want of room on the circuit."""
    _streams: dict[int, Stream] = field(default_factory=dict)
    _leaving: dict[int, int] = field(default_factory=dict)
    _next: int = 1
    _windows: int = 0

    def __len__(self) -> int:
        return len(self._streams)

    def get(self, stream: int) -> Stream | None:
        return self._streams.get(stream)

    def has_room(self) -> bool:
        return len(self._streams) < MAX_STREAMS and self.process.left >= INITIAL_WINDOW

    def close(self) -> None:
        """The circuit is gone: give back what was promised."""
        for identifier in list(self._streams):
            self.remove(identifier)
        for identifier in list(self._leaving):
            self.gone(identifier)

    def open(self, now: float) -> Stream:
        """A new stream of this end, numbered upwards."""
        stream = self._add(self._next, now)
        self._next += 1
        return stream

    def accept(self, identifier: int, now: float) -> Stream:
        """A stream that the other end opened; raises ``FrameError`` when its number was used before."""
        if self.initiator or identifier < self._next:
            raise FrameError("stream number")
        self._next = identifier + 1
        return self._add(identifier, now)

    def was_opened(self, identifier: int) -> bool:
        """Whether frames for an unknown ``identifier`` are merely late."""
        return identifier < self._next

    def remove(self, identifier: int) -> None:
        """The stream is cut off; what its sink has not taken is dropped."""
        stream = self._streams.pop(identifier, None)
        if stream is not None:
            self._promise(-stream.window)

    def finish(self, stream: Stream) -> None:
        """Nothing more goes either way; what its sink has not taken yet counts until it has, or is ``gone``."""
        left = stream.window - stream.receivable - stream.unacknowledged
        self.remove(stream.id)
        if left > 0:
            self._leaving[stream.id] = left
            self._promise(left)

    def left(self, identifier: int, count: int) -> None:
        """The sink of a finished stream took ``count`` bytes."""
        if identifier in self._leaving:
            count = min(count, self._leaving[identifier])
            self._leaving[identifier] -= count
            self._promise(-count)

    def gone(self, identifier: int) -> None:
        """The sink of a finished stream is no more."""
        self._promise(-self._leaving.pop(identifier, 0))

    def received(self, stream: Stream, count: int) -> None:
        """Account for ``count`` bytes of DATA; raises ``FrameError`` beyond the granted credit or after FIN."""
        if count > stream.receivable or stream.received_fin:
            raise FrameError("more data than granted")
        stream.receivable -= count
        self.carried += count

    def consumed(self, stream: Stream, count: int, now: float) -> int:
        """The sink took ``count`` bytes; gives the credit to grant now, 0 for later."""
        if stream.received_fin:
            stream.unacknowledged += count
            return 0
        room = min(self.budget - self._windows, self.process.left)
        grant, wider = stream.consumed(count, now, max(self.round_trip, MIN_ROUND_TRIP), room)
        self._promise(wider)
        return grant

    def probes(self, now: float) -> bool:
        """Whether it is time to measure the round trip: who only receives learns it from nothing else."""
        return now - self.probed[1] >= PROBE_SECONDS

    def answered(self, number: int, now: float) -> None:
        """A PONG came."""
        if number == self.probed[0]:
            self.round_trip = now - self.probed[1]

    def _promise(self, count: int) -> None:
        self._windows += count
        self.process.used += count

    def granted(self, stream: Stream, credit: int) -> None:
        """The other end grants ``credit``; raises ``FrameError`` when it would exceed the largest window."""
        stream.send_credit += credit
        if not 0 < credit <= MAX_WINDOW or stream.send_credit > MAX_WINDOW:
            raise FrameError("window")

    def _add(self, identifier: int, now: float) -> Stream:
        stream = Stream(id=identifier, granted_at=now)
        self._streams[identifier] = stream
        self._promise(stream.window)
        return stream
