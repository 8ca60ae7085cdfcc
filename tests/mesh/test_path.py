"""Path selection against a naive model, for its rules and for bias."""

import os
import random
from collections import Counter
from itertools import permutations

import pytest

from qnet.mesh.path import apart, paths
from qnet.mesh.selection import Failure
from qnet.wire.descriptor import Descriptor

ENTRY, RELAY, EXIT = ("entry", "relay"), ("relay",), ("entry", "relay", "exit")


def peer(address: str, roles: tuple[str, ...] = ENTRY) -> Descriptor:
    return Descriptor(
        identity=os.urandom(32),
        noise=bytes(32),
        cover=bytes(32),
        cover_secret=bytes(32),
        addresses=(f"{address}:443",),
        decoy="decoy.test",
        roles=roles,
        issued=0,
        expires=1 << 39,
    )


def ways(peers: list[Descriptor], hops: int, **given: object) -> list[list[Descriptor]]:
    return list(paths(peers, hops, {}, now=0.0, rng=random.Random(1), **given))  # type: ignore[arg-type]


def naive(peers: list[Descriptor], hops: int) -> set[tuple[bytes, ...]]:
    """Every path that the rules allow."""
    good = set()
    for row in permutations(peers, hops):
        if "exit" not in row[-1].roles or (hops > 1 and "exit" in row[0].roles):
            continue
        if hops > 1 and "entry" not in row[0].roles:
            continue
        if any("relay" not in middle.roles for middle in row[1:-1]):
            continue
        if all(apart(one, other) for one, other in permutations(row, 2)):
            good.add(tuple(each.peer_id for each in row))
    return good


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("seed", range(25))
def test_against_the_naive_model(hops: int, seed: int) -> None:
    rng = random.Random(seed)
    peers = [
        peer(f"{rng.randrange(20, 26)}.{rng.randrange(2)}.0.{n}", rng.choice([ENTRY, RELAY, EXIT])) for n in range(7)
    ]
    allowed = naive(peers, hops)
    found = [tuple(each.peer_id for each in path) for path in paths(peers, hops, {}, now=0.0, rng=rng)]
    assert set(found) <= allowed
    assert bool(found) == bool(allowed)
    assert len(found) == len(set(found)) <= 8


def test_the_first_hop_of_a_longer_path_is_never_an_exit() -> None:
    peers = [peer(f"{n}.0.0.1", EXIT) for n in range(20, 26)]
    assert ways(peers, 3) == []
    assert len(ways([*peers, peer("30.0.0.1", ENTRY)], 3)) > 1


def test_a_guard_is_kept_while_it_can_be() -> None:
    guards = [peer(f"{n}.0.0.1", ENTRY) for n in range(20, 30)]
    peers = [*guards, *(peer(f"{n}.0.0.1", EXIT) for n in range(30, 33))]
    kept = guards[4].peer_id
    assert {path[0].peer_id for path in ways(peers, 3, guard=kept)} == {kept}
    without = [each for each in peers if each.peer_id != kept]
    assert ways(without, 3, guard=kept)


def test_a_guard_that_failed_lately_is_not_insisted_on() -> None:
    guards = [peer(f"{n}.0.0.1", ENTRY) for n in range(20, 23)]
    peers = [*guards, peer("30.0.0.1", EXIT)]
    dead = guards[0].peer_id
    found = paths(peers, 2, {dead: Failure(0.0, 1)}, now=1.0, rng=random.Random(1), guard=dead)
    assert next(found)[0].peer_id != dead


def test_what_failed_lately_comes_last() -> None:
    exits = [peer(f"{n}.0.0.1", EXIT) for n in range(20, 25)]
    failures = {each.peer_id: Failure(100.0, 1) for each in exits[1:]}
    for seed in range(20):
        first = next(paths(exits, 1, failures, now=110.0, rng=random.Random(seed)))
        assert first == [exits[0]]
    rested = {next(paths(exits, 1, failures, now=200.0, rng=random.Random(seed)))[0].peer_id for seed in range(60)}
    assert len(rested) == 5


def test_no_peer_is_favoured() -> None:
    """20,000 draws: each of ten exits, five guards is taken as often as any other, within four standard deviations."""
    peers = [peer(f"{n}.0.0.1", EXIT) for n in range(20, 30)] + [peer(f"{n}.0.0.1", ENTRY) for n in range(30, 35)]
    rng = random.Random(3)
    draws = 20_000
    exits: Counter[bytes] = Counter()
    guards: Counter[bytes] = Counter()
    for _ in range(draws):
        path = next(paths(peers, 3, {}, now=0.0, rng=rng))
        guards[path[0].peer_id] += 1
        exits[path[-1].peer_id] += 1
    for counts, many in ((exits, 10), (guards, 5)):
        assert len(counts) == many
        share = draws / many
        spread = (draws * (1 / many) * (1 - 1 / many)) ** 0.5
        assert all(abs(count - share) < 4 * spread for count in counts.values())


@pytest.mark.parametrize(
    ("one", "other", "far"),
    [
        ("20.1.2.3", "20.1.9.9", False),
        ("20.1.2.3", "20.2.2.3", True),
        ("[2a00:1:2::3]", "[2a00:1:9::9]", False),
        ("[2a00:1:2::3]", "[2a00:2:2::3]", True),
        ("relay.example", "RELAY.example", False),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_apart(one: str, other: str, far: bool) -> None:
    assert apart(peer(one), peer(other)) is far


def test_the_same_peer_is_not_apart_from_itself() -> None:
    one = peer("127.0.0.1")
    assert not apart(one, one)


def test_thousands_of_peers_in_one_network_are_given_up_quickly() -> None:
    peers = [peer(f"20.0.{n // 250}.{n % 250}", EXIT if n % 2 else ENTRY) for n in range(5000)]
    assert ways(peers, 3) == []
