"""Token buckets."""

from qnet.mesh import rate
from qnet.mesh.rate import RateLimit


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
