"""Token buckets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh import rate
from qnet.mesh.rate import Pace, RateLimit


def test_a_burst_then_a_steady_rate() -> None:
    limit = RateLimit(rate=0.5, burst=3)
    assert [limit.admit("a", 100) for _ in range(3)] == [0, 0, 0]
    assert limit.admit("a", 100) == 2
    assert limit.admit("b", 100) == 0
    assert limit.admit("a", 101) == 1
    assert limit.admit("a", 102) == 0
    assert limit.admit("a", 102) > 0


def test_memory_is_bounded() -> None:
    limit = RateLimit(rate=1, burst=1)
    for number in range(rate.MAX_SOURCES + 100):
        limit.admit(str(number), 0)
    assert len(limit._left) == rate.MAX_SOURCES


def test_who_comes_too_early_waits_his_turn() -> None:
    pace = Pace(rate=2, burst=3)
    assert [pace.reserve(50, patience=1) for _ in range(6)] == [0, 0, 0, 0.5, 1.0, None]
    assert pace.reserve(50.5, patience=1) == 1.0
    assert [pace.reserve(90, patience=0) for _ in range(4)] == [0, 0, 0, None]


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.floats(0, 5), max_size=80), st.floats(0, 10))
def test_never_more_than_the_burst_and_the_rate(rate: int, burst: int, gaps: list[float], patience: float) -> None:
    """Naive model: in any stretch of time no more turns than the burst and what the rate adds."""
    pace, now, turns = Pace(rate, burst), 1000.0, []
    for gap in gaps:
        now += gap
        wait = pace.reserve(now, patience)
        if wait is not None:
            assert 0 <= wait <= patience
            turns.append(now + wait)
    assert turns == sorted(turns)
    for first in range(len(turns)):
        for last in range(first, len(turns)):
            assert last - first + 1 <= burst + (turns[last] - turns[first]) * rate + 1e-6


def test_a_quiet_minute_gives_the_burst_back_and_no_more() -> None:
    pace = Pace(rate=100 / 60, burst=100)
    for now in (0.0, 10_000.0):
        assert [pace.reserve(now, 10) for _ in range(100)] == pytest.approx([0.0] * 100, abs=1e-6)
        later = [pace.reserve(now, 10) for _ in range(20)]
        assert later[0] == pytest.approx(0.6) and later.count(None) == 4
