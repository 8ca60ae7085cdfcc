"""Path selection against a naive model, for its rules and for bias."""

import os
import random
from collections import Counter
from dataclasses import replace
from itertools import permutations
from statistics import median

import pytest

from qnet.mesh.eligibility import Eligible, Listed, eligible
from qnet.mesh.path import networks, paths
from qnet.mesh.selection import Failure
from qnet.wire.descriptor import Descriptor
from tests.mesh.test_eligibility import listed, network
from tests.support.directories import DAY, NOW, Peer

ENTRY, RELAY, EXIT = ("entry", "relay"), ("relay",), ("entry", "relay", "exit")


def peer(
    address: str,
    roles: tuple[str, ...] = ENTRY,
    *,
    country: str = "",
    by: str = "",
    family: str = "",
    weight: int | None = None,
    via: bytes = b"",
) -> Eligible:
    """``by``: a letter for each operator who vouches for it. ``address``: of no use with ``via``."""
    descriptor = Descriptor(
        identity=os.urandom(32),
        noise=bytes(32),
        cover=bytes(32),
        cover_secret=bytes(32),
        addresses=() if via else (f"{address}:443",),
        decoy="" if via else "decoy.test",
        via=via,
        roles=roles,
        issued=0,
        expires=1 << 39,
        country=country,
    )
    return Eligible(
        descriptor, frozenset(letter.encode() for letter in by), frozenset({family} if family else ()), weight
    )


def key(each: Eligible) -> bytes:
    return each.descriptor.peer_id


def ways(peers: list[Eligible], hops: int, **given: object) -> list[list[Descriptor]]:
    return list(paths(peers, hops, {}, now=0.0, rng=random.Random(1), **given))  # type: ignore[arg-type]


def apart(one: Eligible, other: Eligible, *, operators: bool = True) -> bool:
    return (
        key(one) != key(other)
        and not networks(one.descriptor) & networks(other.descriptor)
        and not one.families & other.families
        and not (operators and one.endorsers & other.endorsers)
    )


def naive(peers: list[Eligible], hops: int, country: str = "") -> set[tuple[bytes, ...]]:
    """Every path that the rules allow."""
    good = set()
    enough = len({letter for each in peers for letter in each.endorsers}) >= hops
    for row in permutations(peers, hops):
        roles = [each.descriptor.roles for each in row]
        if "exit" not in roles[-1] or (country and row[-1].descriptor.country != country):
            continue
        if hops > 1 and ("exit" in roles[0] or "entry" not in roles[0]):
            continue
        if any("relay" not in middle for middle in roles[1:-1]):
            continue
        if all(apart(one, other, operators=enough) for one, other in permutations(row, 2)):
            good.add(tuple(map(key, row)))
    return good


@pytest.mark.parametrize("hops", [1, 2, 3])
@pytest.mark.parametrize("seed", range(40))
def test_against_the_naive_model(hops: int, seed: int) -> None:
    rng = random.Random(seed)
    peers = [
        peer(
            f"{rng.randrange(20, 26)}.{rng.randrange(2)}.0.{n}",
            rng.choice([ENTRY, RELAY, EXIT]),
            country=rng.choice(["NL", "DE"]),
            by=rng.choice(["", "", "a", "b", "c", "ab", "d"]),
            family=rng.choice(["", "", "", "x"]),
        )
        for n in range(8)
    ]
    country = rng.choice(["", "", "NL", "SE"])
    allowed = naive(peers, hops, country)
    chosen = paths(peers, hops, {}, now=0.0, rng=rng, country=country)
    found = [tuple(each.peer_id for each in path) for path in chosen]
    assert set(found) <= allowed
    assert bool(found) == bool(allowed)
    assert len(found) == len(set(found)) <= 8


def test_the_first_hop_of_a_longer_path_is_never_an_exit() -> None:
    peers = [peer(f"{n}.0.0.1", EXIT) for n in range(20, 26)]
    assert ways(peers, 3) == []
    assert len(ways([*peers, peer("30.0.0.1", ENTRY)], 3)) > 1


def test_only_the_guards_allowed_begin_a_path() -> None:
    guards = [peer(f"{n}.0.0.1", ENTRY) for n in range(20, 30)]
    peers = [*guards, *(peer(f"{n}.0.0.1", EXIT) for n in range(30, 33))]
    kept = key(guards[4])
    assert {path[0].peer_id for path in ways(peers, 3, guards=[kept])} == {kept}
    assert ways([each for each in peers if key(each) != kept], 3, guards=[kept]) == []


def test_two_hops_have_no_operator_in_common_where_there_are_enough_operators() -> None:
    peers = [peer("20.0.0.1", ENTRY, by="a"), peer("21.0.0.1", EXIT, by="a"), peer("22.0.0.1", EXIT, by="ab")]
    assert ways(peers, 2) == []
    other = peer("23.0.0.1", EXIT, by="b")
    assert ways([*peers, other], 2) == [[peers[0].descriptor, other.descriptor]]


def test_a_network_with_too_few_operators_still_has_paths() -> None:
    peers = [peer(f"{n}.0.0.1", roles, by="a") for n, roles in ((20, ENTRY), (21, RELAY), (22, EXIT))]
    assert len(ways(peers, 3)) == 1


def test_one_family_is_never_on_a_path_twice() -> None:
    assert ways([peer("20.0.0.1", ENTRY, family="x"), peer("21.0.0.1", EXIT, family="x")], 2) == []


def test_what_failed_lately_comes_last_and_the_worse_the_later() -> None:
    exits = [peer(f"{n}.0.0.1", EXIT) for n in range(20, 25)]
    failures = {key(each): Failure(100.0, count) for count, each in enumerate(exits) if count}
    for seed in range(20):
        found = [path[0] for path in paths(exits, 1, failures, now=110.0, rng=random.Random(seed))]
        assert found[0] == exits[0].descriptor
    rested = {next(paths(exits, 1, failures, now=200.0, rng=random.Random(seed)))[0].peer_id for seed in range(60)}
    assert len(rested) == 5


def shares(peers: list[Eligible], values: dict[bytes, float]) -> dict[tuple[bytes, ...], float]:
    """The exact distribution: exit, guard, middle in turn, each by weight among those that a path goes on from."""
    allowed = naive(peers, 3)
    expected: dict[tuple[bytes, ...], float] = {}

    def descend(chosen: tuple[bytes, ...], share: float) -> None:
        at = len(chosen)
        rows = [(row[2], row[0], row[1]) for row in allowed if (row[2], row[0], row[1])[:at] == chosen]
        if at == 3:
            expected[chosen[1], chosen[2], chosen[0]] = share
            return
        here = {row[at] for row in rows}
        total = sum(values[each] for each in here)
        for each in here:
            descend((*chosen, each), share * values[each] / total)

    descend((), 1.0)
    return expected


def test_a_hundred_thousand_draws_follow_the_weights_and_nothing_else() -> None:
    """χ² against the exact distribution of the paths, with bounds on the weights and forbidden pairs."""
    rng = random.Random(3)
    peers = [
        peer("20.0.0.1", EXIT), peer("21.0.0.1", EXIT, weight=50), peer("22.0.0.1", EXIT),
        peer("30.0.0.1", ENTRY), peer("21.0.0.2", ENTRY), peer("32.0.0.1", RELAY, family="x"),
        peer("33.0.0.1", RELAY), peer("34.0.0.1", ENTRY, family="x"),
    ]  # fmt: skip
    measured = [100.0, 900.0, 10_000.0, 150.0, 60.0, 200.0, 120.0, 100.0]
    quality = {key(each): value for each, value in zip(peers, measured, strict=True)}
    bounded = {key(each): min(quality[key(each)], each.weight or 1e9) for each in peers}
    most = 4 * median(bounded.values())
    assert most == 440.0
    expected = shares(peers, {each: min(value, most) for each, value in bounded.items()})
    draws = 100_000
    seen: Counter[tuple[bytes, ...]] = Counter()
    for _ in range(draws):
        path = next(paths(peers, 3, {}, now=0.0, rng=rng, quality=quality))
        seen[tuple(each.peer_id for each in path)] += 1
    assert set(seen) == set(expected) and len(expected) > 20
    chi = sum((seen[path] - draws * share) ** 2 / (draws * share) for path, share in expected.items())
    free = len(expected) - 1
    assert chi < free + 4 * (2 * free) ** 0.5, (chi, free)


@pytest.mark.parametrize("is_open", [False, True])
def test_ten_thousand_unendorsed_exits_enter_a_path_only_where_the_network_is_open(is_open: bool) -> None:
    operators = [Peer(), Peer()]
    friends = [
        Peer(roles=roles, address=f"{net}.0.0.1:443") for net, roles in ((20, ("entry",)), (21, ("relay", "exit")))
    ]
    claims = [listed(friend, operators, [one]) for friend, one in zip(friends, operators, strict=True)]
    sybils = [peer(f"{n % 90 + 30}.{n % 250}.{n // 250}.1", EXIT).descriptor for n in range(10_000)]
    times = {"issued": int(NOW), "expires": int(NOW) + DAY}
    claims += [Listed(replace(each, **times), (), claims[0].directories) for each in sybils]
    found = ways(eligible(claims, network(operators, open_to_all=is_open), NOW), 2)
    honest = [[each.peer_id for each in path] for path in found] == [[each.id for each in friends]]
    assert honest is not is_open


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
def test_peers_of_one_network_are_not_on_one_path(one: str, other: str, far: bool) -> None:
    assert bool(ways([peer(one, ENTRY), peer(other, EXIT)], 2)) is far


def test_thousands_of_peers_in_one_network_are_given_up_quickly() -> None:
    peers = [peer(f"20.0.{n // 250}.{n % 250}", EXIT if n % 2 else ENTRY) for n in range(5000)]
    assert ways(peers, 3) == []


def test_a_hidden_peer_stands_right_behind_the_one_that_it_is_reached_through() -> None:
    guards = [peer(f"{n}.0.0.1", ENTRY) for n in (20, 21, 22)]
    middle = peer("", RELAY, via=key(guards[1]))
    last = peer("30.0.0.1", EXIT)
    found = ways([*guards, middle, last], 3)
    through = [[each.peer_id for each in path] for path in found if middle.descriptor in path]
    assert through == [[key(guards[1]), key(middle), key(last)]] and len(found) > 1


def test_a_hidden_exit_serves_only_where_distinct_operators_vouch_for_all() -> None:
    for vouched in (True, False):
        a, b, c = "abc" if vouched else ("", "", "")
        guard, middle, other = peer("20.0.0.1", by=a), peer("21.0.0.1", RELAY, by=b), peer("22.0.0.1", RELAY, by=b)
        last = peer("", EXIT, by=c, via=key(middle))
        found = [[each.peer_id for each in path] for path in ways([guard, middle, other, last], 3)]
        assert found == ([[key(guard), key(middle), key(last)]] if vouched else [])


@pytest.mark.parametrize("hops", [1, 2])
def test_a_hidden_peer_is_in_no_shorter_route(hops: int) -> None:
    guard = peer("20.0.0.1", by="a")
    assert ways([guard, peer("", EXIT, by="b", via=key(guard))], hops) == []


def test_a_hidden_exits_relay_is_found_among_thousands() -> None:
    others = [peer(f"{n % 90 + 30}.{n % 250}.0.1", RELAY, by="b") for n in range(3000)]
    last = peer("", EXIT, by="c", via=key(others[1234]))
    (path,) = ways([peer("20.0.0.1", by="a"), *others, last], 3)
    assert path[1] is others[1234].descriptor
