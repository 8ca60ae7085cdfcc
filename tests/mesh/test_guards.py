"""Guards: kept for weeks, given up rarely, and never because of a moment's silence."""

from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.guards import (
    BIAS_FROM,
    CHANGES_SECONDS,
    LIFE_SECONDS,
    MAX_CHANGES,
    MAX_GUARDS,
    MAX_REST_SECONDS,
    REST_SECONDS,
    Guards,
)

ONE, TWO, THREE = b"1", b"2", b"3"
ALL = {ONE, TWO, THREE}


def test_the_first_that_was_reached_is_kept_for_weeks() -> None:
    guards = Guards()
    assert guards.allowed(ALL, 0.0) is None
    assert guards.reached(TWO, 0.0) and not guards.reached(TWO, 9.0)
    assert guards.allowed(ALL, LIFE_SECONDS - 1) == [TWO]
    assert guards.allowed(ALL, LIFE_SECONDS) is None


def test_an_unreachable_one_is_replaced_until_it_is_back() -> None:
    guards = Guards()
    guards.reached(ONE, 0.0)
    assert not guards.failed(ONE, 10.0, unreachable=True)
    assert guards.allowed(ALL, 11.0) is None
    guards.reached(TWO, 12.0)
    assert guards.allowed(ALL, 13.0) == [TWO]
    assert guards.allowed(ALL, 10.0 + REST_SECONDS) == [ONE], "the older one is tried first again"
    for _ in range(20):
        guards.failed(ONE, 100.0, unreachable=True)
    assert guards.allowed(ALL, 100.0 + MAX_REST_SECONDS - 1) == [TWO]
    assert guards.allowed(ALL, 100.0 + MAX_REST_SECONDS) == [ONE]
    assert guards.changes == []


def test_one_that_answers_but_fails_is_given_up_twice_in_thirty_days() -> None:
    guards = Guards()
    for number in range(MAX_CHANGES):
        guards.reached(bytes([number]), 0.0)
        assert guards.failed(bytes([number]), float(number), unreachable=False)
    guards.reached(THREE, 5.0)
    assert not guards.failed(THREE, 6.0, unreachable=False)
    assert guards.allowed(ALL, 7.0) == [THREE]
    assert guards.failed(THREE, CHANGES_SECONDS, unreachable=False)


def test_a_guard_that_is_not_known_any_more_is_passed_over_and_not_forgotten() -> None:
    guards = Guards()
    guards.reached(ONE, 0.0)
    assert guards.allowed({TWO}, 1.0) is None
    guards.reached(TWO, 1.0)
    assert guards.allowed(ALL, 2.0) == [ONE]


def test_a_guard_through_which_few_circuits_live_is_noticed() -> None:
    guards = Guards()
    guards.reached(ONE, 0.0)
    for number in range(BIAS_FROM - 1):
        guards.circuit(ONE, made=number % 3 == 0)
    assert not guards.biased
    guards.circuit(ONE, made=False)
    assert guards.biased
    for _ in range(BIAS_FROM):
        guards.circuit(ONE, made=True)
    assert not guards.biased


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.booleans(), st.integers(0, 1000)), max_size=60))
def test_whatever_happens_guards_stay_few_and_changes_rare(steps: list[tuple[int, bool, bool, int]]) -> None:
    guards, now = Guards(), 0.0
    known = {bytes([number]) for number in range(21)}
    for number, answers, unreachable, pause in steps:
        now += pause
        allowed = guards.allowed(known, now)
        peer = bytes([number]) if allowed is None else allowed[number % len(allowed)]
        if answers:
            guards.reached(peer, now)
        else:
            guards.failed(peer, now, unreachable=unreachable)
        assert len(guards.listed) <= MAX_GUARDS
        assert len(guards.changes) <= MAX_CHANGES, "all this happens within a day"
