"""Which peers can be used, and how long to wait."""

import random

from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.eligibility import joined
from qnet.mesh.selection import backoff, usable
from qnet.wire.descriptor import Descriptor

NOW = 1_800_000_000.0


def peer(
    number: int, *, roles: tuple[str, ...] = ("entry", "exit"), issued: float = NOW, expires: float = NOW + 99
) -> Descriptor:
    key = bytes([number]) * 32
    return Descriptor(key, key, key, key, ("192.0.2.1:443",), "decoy.test", roles, int(issued), int(expires))


def test_only_exits_that_are_valid_now() -> None:
    good = peer(1)
    bad = [peer(2, roles=("entry",)), peer(3, expires=NOW), peer(4, issued=NOW + 121), peer(5, roles=())]
    soon = peer(6, issued=NOW + 119)
    assert usable([joined(each) for each in (*bad, good, soon)], 1, NOW) == [joined(good), joined(soon)]
    assert usable(map(joined, bad), 1, NOW) == [] == usable([], 1, NOW)


def test_longer_routes_use_others_too() -> None:
    both = [joined(peer(1, roles=("entry",))), joined(peer(2))]
    assert usable(both, 2, NOW) == both


@given(st.integers(1, 10**9), st.integers())
def test_the_back_off_is_bounded_and_never_nothing(attempt: int, seed: int) -> None:
    assert 0.25 <= backoff(attempt, random.Random(seed)) <= 30.0


def test_the_back_off_grows() -> None:
    means = [sum(backoff(attempt, random.Random(seed)) for seed in range(50)) / 50 for attempt in range(1, 8)]
    assert means == sorted(means) and means[0] < 0.5
