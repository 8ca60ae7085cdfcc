"""Rates from sums."""

from hypothesis import given
from hypothesis import strategies as st

from qnet.roles.rates import RateMeter
from qnet.wire.messages import Rates, Traffic


def test_a_steady_flow_and_its_end() -> None:
    meter = RateMeter()
    for second in range(100):
        rates = meter.update(second, Traffic(up=100 * second, down=7000 * second))
    assert rates == Rates(up=100, down=7000, up_60=100, down_60=7000)
    for second in range(100, 131):
        rates = meter.update(second, Traffic(up=9900, down=693_000))
    assert rates == Rates(up=0, down=0, up_60=48, down_60=3383)
    for second in range(131, 162):
        rates = meter.update(second, Traffic(up=9900, down=693_000))
    assert rates == Rates()


def test_the_first_second_does_not_exaggerate() -> None:
    meter = RateMeter()
    meter.update(10.0, Traffic())
    assert meter.update(10.01, Traffic(down=5000)) == Rates(down=5000, down_60=5000)


def test_asking_often_changes_nothing_and_needs_no_memory() -> None:
    often, seldom = RateMeter(), RateMeter()
    for step in range(100_000):
        now = step / 1000
        sums = Traffic(down=3 * step)
        seen = often.update(now, sums)
        if step % 1000 == 0:
            assert abs(seldom.update(now, sums).down_60 - seen.down_60) <= 60
    assert len(often._seen) <= 125 and 2900 <= seen.down <= 3100


@given(st.lists(st.tuples(st.floats(0.01, 200), st.integers(0, 10**6)), max_size=60))
def test_never_more_than_what_passed(steps: list[tuple[float, int]]) -> None:
    meter, now, down = RateMeter(), 0.0, 0
    for gap, count in steps:
        now, down = now + gap, down + count
        rates = meter.update(now, Traffic(down=down))
        assert 0 <= rates.down_60 <= down + 1 and 0 <= rates.down <= down + 1
