"""Streams of one circuit with credit-based flow control: what each side may send, and what it has granted.

Conversation about one stream, client on the left:

1. → OPEN(host, port); both sides now hold ``INITIAL_WINDOW`` of credit, so DATA may follow at once
2. ← OPENED, or RESET(code)
3. ↔ DATA within the credit; each side answers consumed bytes with WINDOW(credit)
4. ↔ FIN each way once; after both the stream is gone. RESET(code) ends it at once.

Only credit stops a sender. The receiver grants what its sink has taken, and widens the window while the sender uses
half of it within two round trips, as far as the circuit's budget allows: Σ windows ≤ budget, floor = initial window.
"""

from dataclasses import dataclass, field

from qnet.wire.frames import MAX_WINDOW, FrameError

INITIAL_WINDOW = 64 * 1024
CIRCUIT_BUDGET = 16 * 1024 * 1024
MAX_STREAMS = CIRCUIT_BUDGET // INITIAL_WINDOW
"""With every stream at the floor the budget is spent: more streams on one circuit are refused."""

MIN_ROUND_TRIP = 0.05
"""Seconds: a window used up faster than this is widened even where the path is shorter."""


@dataclass(slots=True)
class Stream:
    """One stream's account at one end; sizes in bytes."""

    id: int
    send_credit: int = INITIAL_WINDOW
    window: int = INITIAL_WINDOW
    receivable: int = INITIAL_WINDOW
    unacknowledged: int = 0
    granted_at: float = 0.0
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
    round_trip: float = MIN_ROUND_TRIP
    carried: int = 0
    """Bytes of payload so far, both ways."""
    _streams: dict[int, Stream] = field(default_factory=dict)
    _next: int = 1
    _windows: int = 0

    def __len__(self) -> int:
        return len(self._streams)

    def get(self, stream: int) -> Stream | None:
        return self._streams.get(stream)

    def has_room(self) -> bool:
        return len(self._streams) < MAX_STREAMS

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
        stream = self._streams.pop(identifier, None)
        if stream is not None:
            self._windows -= stream.window

    def received(self, stream: Stream, count: int) -> None:
        """Account for ``count`` bytes of DATA; raises ``FrameError`` beyond the granted credit or after FIN."""
        if count > stream.receivable or stream.received_fin:
            raise FrameError("more data than granted")
        stream.receivable -= count
        self.carried += count

    def consumed(self, stream: Stream, count: int, now: float) -> int:
        """The sink took ``count`` bytes; gives the credit to grant now, 0 for later."""
        stream.unacknowledged += count
        if stream.unacknowledged * 2 < stream.window or stream.received_fin:
            return 0
        grant = stream.unacknowledged
        quick = now - stream.granted_at < 2 * self.round_trip
        room = self.budget - self._windows
        if quick and stream.window <= room and stream.window * 2 <= MAX_WINDOW:
            grant += stream.window
            self._windows += stream.window
            stream.window *= 2
        stream.receivable += grant
        stream.unacknowledged = 0
        stream.granted_at = now
        return grant

    def granted(self, stream: Stream, credit: int) -> None:
        """The other end grants ``credit``; raises ``FrameError`` when it would exceed the largest window."""
        stream.send_credit += credit
        if not 0 < credit <= MAX_WINDOW or stream.send_credit > MAX_WINDOW:
            raise FrameError("window")

    def _add(self, identifier: int, now: float) -> Stream:
        stream = Stream(identifier, granted_at=now)
        self._streams[identifier] = stream
        self._windows += stream.window
        return stream
