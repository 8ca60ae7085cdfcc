"""The replay cache: refusal, forgetting, quotas, overflow, and the rule after a start."""

import os

import pytest

from qnet.wire.cover.auth import SKEW, NotAuthenticError
from qnet.wire.cover.replay import ReplayCache

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
