"""Scripts: what both ends of a shaped link say, made of recorded visits by a seed (see ``shaping`` for who plays them).

A profile is CBOR: {0: version, 1: [group, …]}, a group being [heads, bodies] of visits that show the same kind of
visitor in both (a cookie makes each request longer), every number ≥ 0, pauses in tenths of a millisecond:

- head: [size of the request, [sizes of the page's records down], how many of them → 1 waits for, pause before → 1,
  pause of the SETTINGS ACK, pause between Finished and preface, pause between preface and request, pause between the
  server's SETTINGS and the page, 1 if its SETTINGS ACK came in a record of its own or 0 if along with the page]; the
  last three pauses in hundredths of a millisecond, none of them to be varied
- body: [rows up, rows down], what comes behind the head, each a byte string of big-endian u16
- row up: size, named, within, beyond, pause: it waits for ``within`` more of the page's records than → 1 does, or,
  where ``beyond`` is not 0, for the whole page and so many records more
- row down: size, after, pause: it waits for ``after`` records up behind the request, one at least

A script's rows are spliced from several bodies that are alike (``Bodies``).

The site's name is in the request, and ``named`` times in each row (as referrer or origin). The profile's sizes are
without it; a script's have that of the link's decoy, which everybody sees in the hello.

Both ends must read the same profile: the hello's credential names its version, and who has another does not shape.
"""

import hashlib
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from qnet.wire.cbor import CborError, decode
from qnet.wire.channel import MAX_BODY, MIN_BODY
from qnet.wire.errors import LocalError
from qnet.wire.shaping import Shaper, Step
from qnet.wire.steps import Entropy

PROFILE_LIMIT = 1 << 20
SEED = 10
"""Bytes from which both ends make a script."""

LEAST = 52
"""Records of a script, both ways."""
USUAL = range(50, 58)
"""Bodies of requests all of whose headers have been sent before."""
TURN = 2
"""One record up in so many may be followed by another visit's."""
REACH = 4
"""Records up by which such visits may differ."""
MOST = 4096
"""Records that a row may wait for."""

LEAD = 5000
"""Hundredths of a millisecond for which a page may keep a client waiting beyond the way to it."""

MAX_NAME = 255
"""Bytes that a decoy's name can take in a request."""
COOKIE = 8
"""Bytes by which any cookie makes a request larger, at least."""

_MIX, _PRIME = 0x9E3779B97F4A7C15, (1 << 61) - 1
"""A state is a polynomial in 2⁶⁴ over the golden ratio, modulo a Mersenne prime."""
_UP, _DOWN = 5, 3
"""Numbers in a body's rows."""
_FREE = 600
"""Record bodies of at least this many bytes are a file's or a page's: their sizes vary, smaller ones are protocol."""


class ProfileError(LocalError):
    """The profile's file is damaged or of another format."""

    code = "shaping-profile"
    exit_code = 78


@dataclass(frozen=True, slots=True)
class Script:
    """One visit. ``page`` is how many records down the request alone brings.

    ``profile`` and ``name``: what it is made of (see ``Profile.script``).

    ``settle``: after so many seconds the client acknowledges SETTINGS. ``opening``: seconds between Finished and
    preface, and between that and the request. ``lead``: between the decoy's SETTINGS and the page.
    ``acknowledges``: whether the decoy's own SETTINGS ACK is to be seen.
    """

    profile: "Profile" = field(repr=False, compare=False)
    name: int
    up: Sequence[Step]
    down: Sequence[Step]
    page: int
    settle: float
    opening: tuple[float, float]
    lead: float
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


_Head = tuple[int, Sequence[int], int, int, int, int, int, int, int]
_Body = tuple["array[int]", "array[int]"]
_Up = tuple[int, int, int, int, int]
_Down = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Profile:
    """Recorded visits, cut in two: how the page came, and all that followed, whose rows stand one behind the other.

    ``groups``: heads and bodies that go together; ``least``: bytes of a request without a cookie.
    """

    version: int
    groups: Sequence[tuple[Sequence[_Head], "Bodies"]]
    least: int

    @classmethod
    def parse(cls, data: bytes) -> "Profile":
        """Read a profile; raises ``ProfileError``."""
        try:
            content = decode(data, limit=PROFILE_LIMIT)
            version, groups = int(content[0]), []
            for heads, bodies in content[1]:
                for head in heads:
                    _check_head(*head)
                groups.append((heads, Bodies([(_rows(up, _UP), _rows(down, _DOWN)) for up, down in bodies])))
        except (CborError, KeyError, IndexError, TypeError, ValueError) as error:
            raise ProfileError(f"the shaping profile cannot be read: {error}", "Install QNet anew") from None
        if not 0 < version < 256 or not groups or not all(heads and len(bodies) for heads, bodies in groups):
            raise ProfileError("the shaping profile is empty", "Install QNet anew")
        return cls(version, groups, min(head[0] for heads, _ in groups for head in heads))

    def script(self, seed: bytes, name: int) -> Script:
        """The visit of one link: the same for the same ``seed``. ``name``: bytes the decoy's takes in a request.

        A head and a body of a group, the body from several recordings: nobody who has the profile, or has seen many
        links, can tell one by looking for a recording in it.
        """
        entropy = _stream(seed)
        every = [(head, bodies) for heads, bodies in self.groups for head in heads]
        head, bodies = every[_below(len(every), entropy)]
        request, page, after, pause, settle, before, between, lead, acknowledges = head
        up = [Step(_vary_request(request, self.least, entropy) + name)]
        down = [Step(_vary(size, entropy), 1) for size in page]
        while len(up) < 2 or len(up) + len(down) < LEAST:
            heard, said = len(down), len(up)  # a page with little on it leads to another at once
            rows_up, rows_down = bodies.spliced(entropy)
            for size, named, within, beyond, wait in rows_up:
                needs = heard + beyond if beyond else min(after + within, heard)
                body = min(_vary(size, entropy) + named * name, MAX_BODY)
                up.append(Step(body, needs, _jitter(wait, entropy)))
            for size, asked, wait in rows_down:
                down.append(Step(_vary(size, entropy), said + asked, _jitter(wait, entropy)))
            if said == 1:
                up[1] = Step(up[1].size, after, _jitter(pause, entropy))
            after = len(down)
        opening = before / 1e5, between / 1e5
        return Script(self, name, up, down, len(page), settle / 1e4, opening, lead / 1e5, bool(acknowledges))


class Bodies:
    """The bodies of a group, and where one may go on as another: see ``spliced``."""

    def __init__(self, bodies: Sequence[_Body]) -> None:
        self._bodies = bodies
        # One number each: as pairs they would take three times the memory for a moment, and a helper keeps its peak.
        found = sorted(state << 32 | number for number, body in enumerate(bodies) for state in _states(body))
        self._states = array("Q", (both >> 32 for both in found))
        self._where = array("I", (both & 0xFFFFFFFF for both in found))

    def __len__(self) -> int:
        return len(self._bodies)

    def spliced(self, entropy: Entropy) -> tuple[list[_Up], list[_Down]]:
        """The rows of one visit, which now and then goes on as another that has come as far.

        That is: about as many records up, the last three of the same sizes, and of the same sizes all that are unusual
        (a header's first time is longer than what HPACK repeats); as much heard, and as much more to come.
        """
        rows_up, rows_down = self._bodies[_below(len(self._bodies), entropy)]
        up: list[_Up] = []
        down: list[_Down] = []
        row = begun = unusual = 0
        while row * _UP < len(rows_up):
            if up and not _below(TURN, entropy):
                down += _answers(rows_down, begun, row, len(up) - row)
                alike = self._alike(unusual, up, len(down))
                number, row = alike[_below(len(alike), entropy)]
                rows_up, rows_down = self._bodies[number]
                begun = row
            size, named, within, beyond, wait = rows_up[row * _UP : (row + 1) * _UP]
            up.append((size, named, within, beyond, wait))
            unusual += _unusual(len(up), size)
            row += 1
        return up, down + _answers(rows_down, begun, MOST, len(up) - row)

    def _alike(self, unusual: int, up: Sequence[_Up], answers: int) -> list[tuple[int, int]]:
        """The bodies that may go on after ``up`` and so many ``answers``, and their rows."""
        found = []
        last, (_, _, within, beyond, _) = tuple(size for size, *_ in up[-3:]), up[-1]
        for row in range(max(len(up) - REACH, 1), len(up) + REACH + 1):
            state = _state(row, unusual, last, within, beyond, answers)
            alike = self._where[bisect_left(self._states, state) : bisect_right(self._states, state)]
            found += [(number, row) for number in alike]
        return found


def _states(body: _Body) -> Iterator[int]:
    """The states before each row up but the first."""
    up, down = body
    answers, answered, unusual = sorted(down[1::_DOWN]), 0, 0
    last: tuple[int, ...] = ()
    for row, (size, _, within, beyond, _) in enumerate(zip(*[iter(up[:-_UP])] * _UP, strict=True), 1):
        unusual += _unusual(row, size)
        last = (*last[-2:], size)
        while answered < len(answers) and answers[answered] <= row:
            answered += 1
        yield _state(row, unusual, last, within, beyond, answered)


def _state(row: int, unusual: int, last: tuple[int, ...], within: int, beyond: int, answers: int) -> int:
    """A number that stands for what has been said before ``row`` (see ``Bodies.spliced``).

    Not Python's ``hash``: two ends of other versions or word lengths would not see the same ones collide.
    """
    state = unusual
    for number in (row, *last, within, beyond, answers):
        state = (state * _MIX + number) % _PRIME
    return state


def _unusual(number: int, size: int) -> int:
    """What the ``number``-th size adds to a sum that is the same for the same unusual ones; all begin with one."""
    return 0 if number == 1 or size in USUAL else size**5


def _answers(rows_down: "array[int]", first: int, end: int, shift: int) -> list[_Down]:
    """The rows that wait for more than ``first`` records up and for ``end`` at most, which become ``shift`` more."""
    rows = zip(*[iter(rows_down)] * _DOWN, strict=True)
    return [(size, asked + shift, wait) for size, asked, wait in rows if first < asked <= end]


def _check_head(request: int, page: Sequence[int], waits: int, *others: int) -> None:
    sizes = [request + MAX_NAME, *page]
    if not page or min(request, *page) < MIN_BODY or max(sizes) > MAX_BODY or not 0 <= waits <= MOST:
        raise ValueError("a page's records")
    if len(others) != 6 or not 0 <= min(others) <= max(others) < 100_000:
        raise ValueError("a page's pauses")
    if others[4] > LEAD:
        raise ValueError("a pause before the page")


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
    if columns == _DOWN and min(rows[1::columns]) < 1:
        raise ValueError("a record that nobody asks for")
    return rows


def _vary(size: int, entropy: Entropy) -> int:
    """A size near ``size``; protocol's own small ones and full records stay what they are."""
    if not _FREE <= size < MAX_BODY:
        return size
    span = size // 4
    return min(max(size - span // 2 + _below(span, entropy), _FREE), MAX_BODY - 1)


def _vary_request(size: int, least: int, entropy: Entropy) -> int:
    """A size near a request's: what is beyond the least is mostly cookies, which have any."""
    span = (size - least - COOKIE) // 2
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
