"""Shaping: a link begins as a browser's visit to a web site does, record by record.

Whoever tunnels TLS in TLS shows the inner handshake by the sizes and directions of the first records (Xue et al.,
USENIX Security 2024). So these are not the data's: both ends derive one *script* from the hello's credential, made of
recorded page loads, and each side's first records have the script's sizes, in its order, with its pauses. What there
is to say fills them, padding the rest; what does not fit waits for the next. When the script ends, the link is a page
that has loaded, and records are as large as what they carry.

Conversation, after the cover's opening (client on the left); ``→ n`` is a record of the script's n-th size up:

1. → 0: N1, the page's request
2. ← 0 … d: N2 and padding, the page: what the site sends before it is asked for more
3. → 1: N3, after the script's pause; from here on records belong to the secure channel
4. → 2 …, ← d+1 …: each as soon as the other side's records have come that came before it in the recording

A shaped record's plaintext is one PIECE frame, then zeros. The fragments of all PIECE frames of one direction are a
row of ``length(2) ‖ plaintext``, each plaintext being one that would otherwise have been a record's.

Where scripts come from: see ``script``.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from qnet.wire.channel import MAX_PLAINTEXT, TAG
from qnet.wire.frames import HEADER, Frame, FrameError

AT_ONCE = 0.00002
"""Seconds by which a step may be early: less than an event loop needs for a turn."""

LATE = 0.05
"""Seconds by which steps catch up."""

PATIENCE = 3.0
"""Seconds for which a step waits for the other side; then the script is over: nobody plays the other part."""

BACKLOG = 64 * 1024
"""Bytes that may wait for their records; whoever has more to say is held back."""

_LENGTH = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One record: its body's bytes, and what it waits for: ``after`` records of the other side, then ``pause`` seconds.

    The pause counts from the last of those records or from the step before, whichever is later.
    """

    size: int
    after: int = 0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Sealed:
    """A record that is not to be sealed any more."""

    record: bytes


class Shaper:
    """One direction at one end. ``heard``: records of the other side that came before this began. Times in seconds.

    It is over when its own steps are said and the other side's are heard, ``until`` records in all: till then
    everything that is seen of the link is the script's. ``opening``: the first step's record, if there is one already.
    """

    def __init__(self, steps: Sequence[Step], heard: int, until: int, now: float, opening: bytes = b"") -> None:
        self._steps = deque(steps)
        self._heard = heard
        self._until = until
        self._since = now
        self._opening = opening
        self._queue = bytearray()

    @property
    def waiting(self) -> int:
        """Bytes that wait for their records."""
        return len(self._queue)

    @property
    def finished(self) -> bool:
        """Whether the script is over and nothing waits."""
        return not (self._steps or self._queue or self._opening) and self._heard >= self._until

    def put(self, plaintext: memoryview) -> None:
        """What would have been a record."""
        self._queue += len(plaintext).to_bytes(_LENGTH, "big") + plaintext

    def heard(self, count: int, now: float) -> None:
        """``count`` more records of the other side have come."""
        if self._heard < self._needed <= self._heard + count:
            self._since = now
        self._heard += count

    @property
    def _needed(self) -> int:
        return self._steps[0].after if self._steps else self._until

    def next_timer(self) -> float | None:
        """When ``take`` may give something that it does not give now."""
        if self._heard < self._needed:
            return self._since + PATIENCE
        return self._since + self._steps[0].pause if self._steps else None

    def take(self, now: float) -> bytes | Sealed | None:
        """The next record or its plaintext, if one is due; each is to be written by itself."""
        due = self.next_timer()
        if due is not None and now < due - AT_ONCE:
            return None
        if self._heard < self._needed:  # nobody plays the other part
            self._steps.clear()
            self._until = 0
        step = self._steps.popleft() if self._steps else None
        self._since = now if due is None or now - due > LATE else due  # else every late timer would delay all the rest
        if self._opening:
            sealed, self._opening = Sealed(self._opening), b""
            return sealed
        if step is not None:
            return self._fill(step.size - TAG)
        return self._fill(MAX_PLAINTEXT) if self._queue else None

    def _fill(self, size: int) -> bytes:
        piece = bytes(self._queue[: size - HEADER.size])
        if not piece:
            return bytes(size)
        del self._queue[: len(piece)]
        return (HEADER.pack(Frame.PIECE, 0, len(piece)) + piece).ljust(size, b"\0")


class Joiner:
    """Puts together what the other side's ``Shaper`` has cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, fragment: memoryview) -> list[bytes]:
        """The plaintexts that are complete now; raises ``FrameError``."""
        self._buffer += fragment
        whole = []
        while len(self._buffer) >= _LENGTH:
            length = int.from_bytes(self._buffer[:_LENGTH], "big")
            if not HEADER.size <= length <= MAX_PLAINTEXT:
                raise FrameError("PIECE length")
            if len(self._buffer) < _LENGTH + length:
                break
            whole.append(bytes(self._buffer[_LENGTH : _LENGTH + length]))
            del self._buffer[: _LENGTH + length]
        return whole
