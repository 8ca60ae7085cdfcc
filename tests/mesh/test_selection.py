"""Which peer comes first: against what a person would say."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.selection import REST_SECONDS, Failure, backoff, order_peers, usable
from qnet.wire.descriptor import Descriptor

NOW = 1_800_000_000.0


def peer(
    number: int, *, roles: tuple[str, ...] = ("entry", "exit"), issued: float = NOW, expires: float = NOW + 99
) -> Descriptor:
    key = bytes([number]) * 32
    return Descriptor(key, key, key, key, ("192.0.2.1:443",), "decoy.test", roles, int(issued), int(expires))


def order(peers: list[Descriptor], failures: dict[bytes, Failure] | None = None, seed: int = 0) -> list[Descriptor]:
    return order_peers(usable(peers, 1, NOW), failures or {}, now=1000.0, rng=random.Random(seed))


def test_only_exits_that_are_valid_now() -> None:
    good = peer(1)
    bad = [peer(2, roles=("entry",)), peer(3, expires=NOW), peer(4, issued=NOW + 121), peer(5, roles=())]
    soon = peer(6, issued=NOW + 119)
    assert order([*bad, good, soon], seed=1) in ([good, soon], [soon, good])
    assert order(bad) == [] == order([])


def test_who_failed_lately_comes_last_and_the_worse_the_later() -> None:
    peers = [peer(number) for number in range(4)]
    failures = {
        peers[0].peer_id: Failure(999.0, 3),
        peers[1].peer_id: Failure(999.0, 1),
        peers[2].peer_id: Failure(1000.0 - REST_SECONDS - 1, 9),
    }
    for seed in range(20):
        found = order(peers, failures, seed)
        assert found[2:] == [peers[1], peers[0]]
        assert set(map(id, found[:2])) == {id(peers[2]), id(peers[3])}


def test_no_peer_is_favoured() -> None:
    peers = [peer(number) for number in range(4)]
    first = Counter(order(peers, seed=seed)[0].identity for seed in range(2000))
    assert all(400 < first[each.identity] < 600 for each in peers)


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.sampled_from([0, 10, 40]), st.integers(0, 5))),
    st.integers(),
)
def test_against_a_naive_model(rows: list[tuple[int, bool, int, int]], seed: int) -> None:
    peers = [peer(number, roles=("exit",) if exits else ("entry",)) for number, exits, _, _ in rows]
    failures = {each.peer_id: Failure(1000.0 - ago, count) for each, (_, _, ago, count) in zip(peers, rows, strict=True)
                if count}  # fmt: skip
    found = order(peers, failures, seed)
    assert Counter(map(id, found)) == Counter(id(each) for each in peers if "exit" in each.roles)
    worst = 0
    for each in found:
        failure = failures.get(each.peer_id)
        badness = failure.count if failure and 1000.0 - failure.at <= REST_SECONDS else 0
        assert badness >= worst
        worst = badness


@given(st.integers(1, 10**9), st.integers())
def test_the_back_off_is_bounded_and_never_nothing(attempt: int, seed: int) -> None:
    assert 0.25 <= backoff(attempt, random.Random(seed)) <= 30.0


def test_the_back_off_grows() -> None:
    means = [sum(backoff(attempt, random.Random(seed)) for seed in range(50)) / 50 for attempt in range(1, 8)]
    assert means == sorted(means) and means[0] < 0.5
