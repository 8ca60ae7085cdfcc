"""Enumeration buckets: small, stable, different for networks, and everything where there is little."""

import pytest

from qnet.mesh.buckets import SIZES, Buckets, network_of
from qnet.wire.descriptor import Descriptor, verify
from tests.support.directories import NOW, SECRET, Peer

ROLES = {"guard": ("entry", "relay"), "exit": ("entry", "exit"), "inner": ("relay",)}
HERE = "192.0.0.0/16"


def made(count: int, kind: str = "guard", country: str = "US") -> list[Descriptor]:
    return [verify(Peer(roles=ROLES[kind], country=country).descriptor(), NOW) for _ in range(count)]


def filled(peers: list[Descriptor], secret: bytes = SECRET) -> Buckets:
    buckets = Buckets(secret)
    for peer in peers:
        buckets.add(peer)
    return buckets


def shown(buckets: Buckets, network: str = HERE, country: str | None = None) -> set[bytes]:
    return set(buckets.hand_out(network, country, lambda peer: True))


@pytest.mark.parametrize("kind", SIZES)
def test_a_network_is_shown_its_part_and_always_the_same(kind: str) -> None:
    buckets = filled(made(SIZES[kind] + 20, kind))
    assert len(shown(buckets)) == SIZES[kind]
    assert shown(buckets) == shown(buckets)
    elsewhere = [shown(buckets, f"10.{number}.0.0/16") for number in range(9)]
    assert any(part != shown(buckets) for part in elsewhere)


def test_all_are_shown_where_there_are_few() -> None:
    peers = made(3) + made(3, "exit", "NL") + made(3, "inner", "")
    assert shown(filled(peers)) == {peer.peer_id for peer in peers}


def test_exits_are_shown_by_country() -> None:
    here, there = made(20, "exit", "US"), made(20, "exit", "NL")
    buckets = filled(here + there)
    assert len(shown(buckets)) == 2 * SIZES["exit"]
    assert shown(buckets, country="NL") == shown(buckets) & {peer.peer_id for peer in there}


def test_one_peer_more_or_less_changes_one_place_only() -> None:
    peers = made(200)
    buckets = filled(peers)
    for peer in peers[:50]:
        before = shown(buckets)
        buckets.remove(peer)
        after = shown(buckets)
        assert len(before - after) == len(after - before) == (peer.peer_id in before)
        buckets.add(peer)
        assert shown(buckets) == before


def test_the_silent_are_stepped_over() -> None:
    buckets = filled(made(60))
    silent = set(list(shown(buckets))[:5])
    alive = set(buckets.hand_out(HERE, None, lambda peer: peer not in silent))
    assert len(alive) == SIZES["guard"] and not alive & silent


def test_operators_with_one_secret_show_the_same_and_others_do_not() -> None:
    peers = made(200)
    assert shown(filled(peers)) == shown(filled(peers[::-1]))
    assert shown(filled(peers)) != shown(filled(peers, bytes(32)))


def test_asking_from_few_networks_finds_few() -> None:
    buckets = filled(made(1000))
    found = set().union(*(shown(buckets, f"10.{number}.0.0/16") for number in range(5)))
    assert len(found) <= 5 * SIZES["guard"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.77.1", True),
        ("192.0.2.1", "192.1.2.1", False),
        ("2001:db8::1", "2001:db8:ffff::1", True),
        ("2001:db8::1", "2001:db9::1", False),
        ("::ffff:192.0.2.1", "192.0.2.9", True),
        ("", "unix", True),
    ],
)
def test_networks(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same
