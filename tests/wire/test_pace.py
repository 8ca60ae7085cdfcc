"""The circuit's window against a path in memory: a bottleneck with a queue, and a sender who always has more."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.pace import LARGEST, SMALLEST, START, TARGET, Pace

RECORD = 16_000


@dataclass
class PathOf:
    """``rate`` in bytes per second, ``delay`` there and back in seconds; the queue takes everything."""

    rate: float
    delay: float
    jitter: float = 0.0
    pace: Pace = field(default_factory=Pace)
    now: float = 0.0
    delivered: int = 0
    queues: list[float] = field(default_factory=list)
    _free_at: float = 0.0
    _number: int = 0
    _answers: deque[tuple[float, int, int]] = field(default_factory=deque)
    _rng: random.Random = field(default_factory=lambda: random.Random(1))

    def run(self, seconds: float, other: float = 0.0) -> float:
        """Send for a while beside ``other`` bytes per second of other people's; gives bytes per second."""
        end, before, began = self.now + seconds, self.delivered, self.now
        while self.now < end:
            while self.pace.room > 0:
                marking = self.pace.sent(RECORD)
                self._free_at = max(self._free_at, self.now) + RECORD / (self.rate - other)
                if marking:
                    self._ping(RECORD)
            if not self._answers:
                raise AssertionError("nothing is on its way, and nothing may be sent")
            at, number, count = self._answers.popleft()
            self.now = max(self.now, at)
            self.queues.append(max(0.0, self._free_at - self.now))
            self.delivered += count
            if self.pace.answered(number, self.now):
                self._ping(0)
        return (self.delivered - before) / (self.now - began)

    def _ping(self, _: int) -> None:
        self._number += 1
        self.pace.mark(self._number, self.now)
        at = max(self._free_at, self.now) + self.delay + self._rng.random() * self.jitter
        sent = self.pace._sent
        self._answers.append((at, self._number, sent - getattr(self, "_counted", 0)))
        self._counted = sent


@pytest.mark.parametrize(
    ("rate", "delay"), [(25e6, 0.1), (6.25e6, 0.12), (6.25e6, 0.02), (1.25e6, 0.3), (125e6, 0.01), (1e9, 0.0005)]
)
def test_the_path_is_full_and_the_queue_short(rate: float, delay: float) -> None:
    path = PathOf(rate, delay)
    path.run(2 + 20 * delay)
    path.queues.clear()
    reached = path.run(25)
    assert reached > 0.95 * rate
    assert sorted(path.queues)[len(path.queues) * 95 // 100] < 0.05


def test_the_start_is_as_quick_as_doubling() -> None:
    path = PathOf(25e6, 0.1)
    path.run(1.0)
    assert path.run(1.0) > 0.9 * 25e6


def test_jitter_does_not_close_the_window() -> None:
    path = PathOf(25e6, 0.05, jitter=0.02)
    path.run(3)
    assert path.run(15) > 0.9 * 25e6


def test_a_path_that_changes_is_learnt_anew() -> None:
    path = PathOf(25e6, 0.02)
    path.run(5)
    path.delay = 0.12
    path.run(25)
    assert path.run(10) > 0.85 * 25e6
    path.delay = 0.02
    path.run(5)
    path.queues.clear()
    path.run(10)
    assert sorted(path.queues)[len(path.queues) * 9 // 10] < 0.06


def test_a_slower_bottleneck_drains_within_seconds() -> None:
    path = PathOf(25e6, 0.05)
    path.run(5)
    path.rate = 2.5e6
    path.run(4)
    path.queues.clear()
    assert path.run(8) > 0.9 * 2.5e6
    assert max(path.queues) < 0.1


def test_nothing_grows_that_is_not_used() -> None:
    pace, now = Pace(), 0.0
    for number in range(1, 200):
        pace.sent(1000)
        pace.mark(number, now)
        now += 0.05
        pace.answered(number, now)
    assert pace.window == START


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 300_000), st.floats(0, 2)), max_size=200))
def test_it_is_never_stuck(steps: list[tuple[int, int, float]]) -> None:
    """Whatever was sent, once every PING is answered there is room again, and the window stays within its bounds."""
    pace, now, number = Pace(), 0.0, 0
    waiting: deque[int] = deque()

    def ping() -> None:
        nonlocal number
        number += 1
        pace.mark(number, now)
        waiting.append(number)

    for kind, count, pause in steps:
        now += pause
        if kind and pace.room > 0:
            if pace.sent(min(count, pace.room + RECORD)):
                ping()
        elif waiting and pace.answered(waiting.popleft(), now):
            ping()
        assert SMALLEST <= pace.window <= LARGEST
    while waiting:
        now += 0.1
        if pace.answered(waiting.popleft(), now):
            ping()
    assert pace.room > 0


def test_answers_that_nobody_asked_for_change_nothing() -> None:
    pace = Pace()
    pace.sent(5000)
    pace.mark(7, 0.0)
    for number in (0, 6, 1 << 63):
        assert not pace.answered(number, 0.1)
    assert pace.window == START and pace.room < START
    assert TARGET < 0.05
