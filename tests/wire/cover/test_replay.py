"""The replay cache: refusal, forgetting, quotas, overflow, and the rule after a start."""

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qnet.wire.cover.auth import SKEW, NotAuthenticError
from qnet.wire.cover.replay import KEEP_SECONDS, ReplayCache

START = 1_800_000_000.5


def test_once_only() -> None:
    cache = ReplayCache(START)
    cache.admit(b"r" * 32, int(START) + 1, "a", START + 1)
    with pytest.raises(NotAuthenticError):
        cache.admit(b"r" * 32, int(START) + 1, "b", START + 2)


def test_an_entry_outlives_its_credential_and_no_longer() -> None:
    cache = ReplayCache(START)
    cache.admit(b"r" * 32, int(START) + SKEW, "a", START)
    cache.skew(START + 2 * SKEW)
    assert len(cache) == 1
    cache.skew(START + 2 * SKEW + 1)
    assert len(cache) == 0


def test_what_an_earlier_life_may_have_seen_is_refused() -> None:
    cache = ReplayCache(START)
    cache.admit(os.urandom(32), int(START) + 1, "a", START)
    with pytest.raises(NotAuthenticError):
        cache.admit(os.urandom(32), int(START), "a", START)


def test_what_an_earlier_life_has_seen_is_refused() -> None:
    cache = ReplayCache(0)
    cache.restore(b"r" * 32, START - 100)
    cache.restore(b"r" * 32, START - 90)
    assert list(cache.entries()) == [(b"r" * 32, START - 100)]
    with pytest.raises(NotAuthenticError):
        cache.admit(b"r" * 32, int(START), "a", START)
    cache.skew(START + 2 * SKEW)
    assert len(cache) == 0


def test_a_hello_is_written_down_before_it_is_accepted() -> None:
    def fail(random: bytes, now: float) -> None:
        raise NotAuthenticError("the node ends")

    cache = ReplayCache(0, fail)
    with pytest.raises(NotAuthenticError):
        cache.admit(b"r" * 32, int(START), "a", START)
    assert len(cache) == 0


def test_one_source_cannot_fill_it() -> None:
    cache = ReplayCache(0, capacity=100, quota=10)
    for _ in range(10):
        cache.admit(os.urandom(32), int(START), "a", START)
    with pytest.raises(NotAuthenticError):
        cache.admit(os.urandom(32), int(START), "a", START)
    cache.admit(os.urandom(32), int(START), "b", START)


def test_a_full_cache_narrows_the_skew_and_forgets_nothing() -> None:
    cache = ReplayCache(0, capacity=100, quota=1000)
    skews = []
    for _ in range(100):
        skews.append(cache.skew(START))
        cache.admit(os.urandom(32), int(START), "a", START)
    assert skews[0] == SKEW
    assert 0 < skews[-1] < SKEW / 10
    assert sorted(skews, reverse=True) == skews
    with pytest.raises(NotAuthenticError):
        cache.admit(os.urandom(32), int(START), "b", START)
    assert len(cache) == 100


class Cache(RuleBasedStateMachine):
    """Against the plainest model: every hello that was ever accepted, and when. ``recall``: what is on disk."""

    CAPACITY, QUOTA = 24, 8

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.accepted: dict[bytes, int] = {}
        self.recall: list[tuple[bytes, float]] = []
        self.whole_from = 0.0
        self.cache = self.life(0)

    def life(self, since: float) -> ReplayCache:
        made = ReplayCache(
            since, lambda random, now: self.recall.append((random, now)), capacity=self.CAPACITY, quota=self.QUOTA
        )
        for random, seen in list(self.recall):
            made.restore(random, seen)
        return made

    def try_to_enter(self, random: bytes, dated: int, source: str) -> bool:
        """As a peer does it: the credential's time first."""
        if abs(self.now - dated) > self.cache.skew(self.now):
            return False
        try:
            self.cache.admit(random, dated, source, self.now)
        except NotAuthenticError:
            return False
        assert random not in self.accepted, "a hello was accepted twice"
        self.accepted[random] = dated
        return True

    @rule(ahead=st.integers(-SKEW - 5, SKEW + 5), source=st.sampled_from("abcd"))
    def a_new_hello(self, ahead: int, source: str) -> None:
        self.try_to_enter(os.urandom(32), int(self.now) + ahead, source)

    @rule(source=st.sampled_from("abcd"), at=st.integers(0, 1000))
    def a_replay(self, source: str, at: int) -> None:
        if self.accepted:
            random, dated = list(self.accepted.items())[at % len(self.accepted)]
            accepted = self.accepted.pop(random)
            assert not self.try_to_enter(random, dated, source), "a recorded hello was accepted again"
            self.accepted[random] = accepted

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 60.0, SKEW, 2 * SKEW, 2 * SKEW + 1, 1000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_crash_with_a_whole_record(self) -> None:
        """As the journal does it: a record is whole once nothing that is missing in it could be replayed."""
        self.cache = self.life(0 if self.now > self.whole_from else self.now + SKEW)

    @rule()
    def a_crash_with_a_record_that_may_be_incomplete(self) -> None:
        self.recall.clear()
        self.whole_from = self.now + KEEP_SECONDS
        self.cache = self.life(self.now + SKEW)

    @invariant()
    def it_is_bounded(self) -> None:
        assert len(self.cache) <= max(self.CAPACITY, len(self.recall))
        assert 0 <= self.cache.skew(self.now) <= SKEW
        assert len(self.cache) == sum(1 for _ in self.cache.entries())


Cache.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCache = Cache.TestCase
