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

A profile is CBOR: {0: version, 1: [group, …]}, a group being [heads, bodies] of visits that show the same kind of
visitor in both (a cookie makes each request longer), every number ≥ 0, pauses in tenths of a millisecond:

- head: [size of the request, [sizes of the page's records down], how many of them → 1 waits for, pause before → 1,
  pause of the SETTINGS ACK, pause between Finished and preface, pause between preface and request, 1 if the server's
  SETTINGS ACK came in a record of its own or 0 if along with the page]; the two pauses in hundredths of a millisecond
- body: [rows up, rows down], what comes behind the head, each a byte string of big-endian u16
- row up: size, named, within, beyond, pause: it waits for ``within`` more of the page's records than → 1 does, or,
  where ``beyond`` is not 0, for the whole page and so many records more
- row down: size, after, pause: it waits for ``after`` records up behind the request

The site's name is in the request, and in those rows where ``named`` is 1 (as referrer or origin). The profile's sizes
are without it; a script's have that of the link's decoy, which everybody sees in the hello.

Both ends must read the same profile: the hello's credential names its version, and who has another does not shape.
"""

import hashlib
import sys
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from qnet.wire.cbor import CborError, decode
from qnet.wire.channel import MAX_BODY, MAX_PLAINTEXT, MIN_BODY, TAG
from qnet.wire.errors import LocalError
from qnet.wire.frames import HEADER, Frame, FrameError
from qnet.wire.steps import Entropy

PROFILE_LIMIT = 1 << 20
SEED = 10
"""Bytes from which both ends make a script."""

AT_ONCE = 0.00002
"""Seconds by which a step may be early: less than an event loop needs for a turn."""

LATE = 0.05
"""Seconds by which steps catch up."""

PATIENCE = 3.0
"""Seconds for which a step waits for the other side; then the script is over: nobody plays the other part."""

LEAST = 52
"""Records of a script, both ways."""
MOST = 4096
"""Records that a row may wait for."""

MAX_NAME = 255
"""Bytes that a decoy's name can take in a request."""

BACKLOG = 64 * 1024
"""Bytes that may wait for their records; whoever has more to say is held back."""

_LENGTH = 2
_REQUEST = 460
"""Record body of a request that no cookie goes along with, in bytes, without the site's name."""
_UP, _DOWN = 5, 3
"""Numbers in a body's rows."""
_FREE = 600
"""Record bodies of at least this many bytes are a file's or a page's: their sizes vary, smaller ones are protocol."""


class ProfileError(LocalError):
    """The profile's file is damaged or of another format."""

    code = "shaping-profile"
    exit_code = 78


@dataclass(frozen=True, slots=True)
class Step:
    """One record: its body's bytes, and what it waits for: ``after`` records of the other side, then ``pause`` seconds.

    The pause counts from the last of those records or from the step before, whichever is later.
    """

    size: int
    after: int = 0
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Script:
    """One visit. ``page`` is how many records down the request alone brings.

    ``profile`` and ``name``: what it is made of (see ``Profile.script``).

    ``settle``: after so many seconds the client acknowledges SETTINGS. ``opening``: seconds between Finished and
    preface, and between that and the request. ``acknowledges``: whether the decoy's own SETTINGS ACK is to be seen.
    """

    profile: "Profile" = field(repr=False, compare=False)
    name: int
    up: Sequence[Step]
    down: Sequence[Step]
    page: int
    settle: float
    opening: tuple[float, float]
    acknowledges: bool

    def rest_up(self, heard: int, third: bytes, now: float) -> "Shaper":
        """What the client says from N3 on, whose record is ``third``; ``heard``: of the page's records, so far."""
        return Shaper(self.up[1:], heard, len(self.down), now, third)

    def rest_down(self, now: float) -> "Shaper":
        """What the peer says after it has heard N1 and N3."""
        return Shaper(self.down[self.page :], 2, len(self.up), now)

    def another(self, seed: bytes) -> "Script":
        """A further visit to the same site."""
        return self.profile.script(seed, self.name)

    def both(self, now: float) -> tuple["Shaper", "Shaper"]:
        """The client's and the peer's part of a further visit, before anything of it is heard."""
        return Shaper(self.up, 0, len(self.down), now), Shaper(self.down, 0, len(self.up), now)


_Head = tuple[int, Sequence[int], int, int, int, int, int, int]
_Body = tuple["array[int]", "array[int]"]


@dataclass(frozen=True, slots=True)
class Profile:
    """Recorded visits, cut in two: how the page came, and all that followed, whose rows stand one behind the other.

    ``groups``: heads and bodies that go together.
    """

    version: int
    groups: Sequence[tuple[Sequence[_Head], Sequence[_Body]]]

    @classmethod
    def parse(cls, data: bytes) -> "Profile":
        """Read a profile; raises ``ProfileError``."""
        try:
            content = decode(data, limit=PROFILE_LIMIT)
            version, groups = int(content[0]), []
            for heads, bodies in content[1]:
                for head in heads:
                    _check_head(*head)
                groups.append((heads, [(_rows(up, _UP), _rows(down, _DOWN)) for up, down in bodies]))
        except (CborError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ProfileError(f"the shaping profile cannot be read: {error}", "Install QNet anew") from None
        if not 0 < version < 256 or not groups or not all(heads and bodies for heads, bodies in groups):
            raise ProfileError("the shaping profile is empty", "Install QNet anew")
        return cls(version, groups)

    def script(self, seed: bytes, name: int) -> Script:
        """The visit of one link: the same for the same ``seed``. A head and a body of any two recordings of a group.

        So nobody who has the profile can tell a link by looking for a recording in it. ``name``: bytes that the
        decoy's name takes in a request.
        """
        entropy = _stream(seed)
        every = [(head, bodies) for heads, bodies in self.groups for head in heads]
        head, bodies = every[_below(len(every), entropy)]
        request, page, after, pause, settle, before, between, acknowledges = head
        up, down = [Step(_vary_request(request, entropy) + name)], [Step(_vary(size, entropy), 1) for size in page]
        while len(up) < 2 or len(up) + len(down) < LEAST:
            heard, said = len(down), len(up)  # a page with little on it leads to another at once
            rows_up, rows_down = bodies[_below(len(bodies), entropy)]
            for size, named, within, beyond, wait in zip(*[iter(rows_up)] * _UP, strict=True):
                needs = heard + beyond if beyond else min(after + within, heard)
                body = min(_vary(size, entropy) + (name if named else 0), MAX_BODY)
                up.append(Step(body, needs, _jitter(wait, entropy)))
            for size, asked, wait in zip(*[iter(rows_down)] * _DOWN, strict=True):
                down.append(Step(_vary(size, entropy), said + asked, _jitter(wait, entropy)))
            if said == 1:
                up[1] = Step(up[1].size, after, _jitter(pause, entropy))
            after = len(down)
        opening = _jitter(before, entropy) / 10, _jitter(between, entropy) / 10
        return Script(self, name, up, down, len(page), settle / 1e4, opening, bool(acknowledges))


def _check_head(request: int, page: Sequence[int], waits: int, *others: int) -> None:
    sizes = [request + MAX_NAME, *page]
    if not page or min(request, *page) < MIN_BODY or max(sizes) > MAX_BODY or not 0 <= waits <= MOST:
        raise ValueError("a page's records")
    if len(others) != 5 or not 0 <= min(others) <= max(others) < 100_000:
        raise ValueError("a page's pauses")


def _rows(data: bytes, columns: int) -> "array[int]":
    """A body's rows: all are kept for as long as a helper runs, and 25,000 took 10 MB as lists."""
    rows = array("H")
    rows.frombytes(data)
    if sys.byteorder == "little":
        rows.byteswap()
    if not rows or len(rows) % columns:
        raise ValueError("a visit without records")
    if min(rows[::columns]) < MIN_BODY or max(rows[::columns]) > MAX_BODY:
        raise ValueError("a record's size")
    if any(max(rows[column::columns]) > MOST for column in range(1, columns - 1)):
        raise ValueError("a record's place")
    return rows


def _vary(size: int, entropy: Entropy) -> int:
    """A size near ``size``; protocol's own small ones and full records stay what they are."""
    if not _FREE <= size < MAX_BODY:
        return size
    span = size // 4
    return min(max(size - span // 2 + _below(span, entropy), _FREE), MAX_BODY - 1)


def _vary_request(size: int, entropy: Entropy) -> int:
    """A size near a request's: what is beyond the least is mostly cookies, which have any."""
    span = (size - _REQUEST) // 2
    return size if span < 2 else size - span // 2 + _below(span, entropy)


def _jitter(tenths: int, entropy: Entropy) -> float:
    """A pause in seconds, up to a quarter shorter or longer than ``tenths`` of a millisecond."""
    return tenths * (768 + _below(513, entropy)) / 1024 / 1e4


def _below(count: int, entropy: Entropy) -> int:
    """An integer below ``count``, as good as uniform."""
    return int.from_bytes(entropy(8), "big") % count


def _stream(seed: bytes) -> Entropy:
    """Bytes from ``seed``, as many as are asked for."""
    state = hashlib.shake_256(b"qnet script" + seed).digest(8192)
    position = 0

    def entropy(count: int) -> bytes:
        nonlocal position, state
        if position + count > len(state):
            state, position = hashlib.shake_256(state).digest(8192), 0
        position += count
        return state[position - count : position]

    return entropy


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
