"""Which peers may be in automatic paths: never because they are many or fast."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.mesh.directory import RefusedError
from qnet.mesh.eligibility import Listed, eligible
from qnet.wire import descriptor, endorsement
from qnet.wire.network_file import NetworkFile, Operator
from tests.support.directories import DAY, NOW, Peer, closed_directory, public


def network(operators: list[Peer], *, open_to_all: bool = False) -> NetworkFile:
    key = Ed25519PrivateKey.generate()
    return NetworkFile(public(key), "n", NOW, tuple(Operator(each.descriptor()) for each in operators), open_to_all)


def listed(peer: Peer, operators: list[Peer], by: list[Peer], **word: object) -> Listed:
    words = tuple(endorsement.verify(peer.endorsed(each.key, **word), NOW) for each in by)
    found = descriptor.verify(peer.descriptor(), NOW)
    return Listed(found, words, frozenset(public(each.key) for each in operators))


def test_ten_thousand_unendorsed_exits_enter_neither_the_list_nor_a_path() -> None:
    operator, friend, stranger = Peer(), Peer(roles=("entry", "exit")), Ed25519PrivateKey.generate()
    directory = closed_directory(operator.key)
    directory.register(friend.descriptor(), [friend.endorsed(operator.key)], friend.heartbeat(), NOW)
    claims = []
    for number in range(10_000):
        sybil = Peer(stranger, roles=("entry", "relay", "exit"), address=f"198.51.{number >> 8}.{number & 255}:443")
        if number % 1000 == 0:  # some have keys of their own, and endorse themselves
            sybil = Peer(roles=sybil.roles, address=sybil.address)
            with pytest.raises(RefusedError, match="no operator of this network endorses"):
                directory.register(sybil.descriptor(), [sybil.endorsed(sybil.key)], sybil.heartbeat(), NOW)
        # A lying directory lists it all the same.
        claims.append(listed(sybil, [operator], []) if number % 1000 else listed(sybil, [operator], [sybil]))
    assert len(directory.entries) == 1
    claims.append(listed(friend, [operator], [operator]))
    assert [each.descriptor.peer_id for each in eligible(claims, network([operator]), NOW)] == [friend.id]


def test_an_open_network_takes_all() -> None:
    operator, peer = Peer(), Peer()
    found = eligible([listed(peer, [operator], [])], network([operator], open_to_all=True), NOW)
    assert [(each.descriptor.peer_id, each.endorsers, each.weight) for each in found] == [(peer.id, frozenset(), None)]


def test_an_operator_vouches_for_itself() -> None:
    operator = Peer()
    found = eligible([listed(operator, [operator], [])], network([operator]), NOW)
    assert [each.endorsers for each in found] == [frozenset({public(operator.key)})]


def test_endorsements_that_do_not_count() -> None:
    operator, stranger = Peer(), Peer()
    moved = listed(Peer(address="192.0.2.9:1"), [operator], [operator], addresses=("192.0.2.8:1",))
    strange = listed(Peer(), [operator], [stranger])
    ends = listed(Peer(), [operator], [operator], expires=NOW + 10)
    assert eligible([moved, strange], network([operator]), NOW) == []
    assert eligible([ends], network([operator]), NOW) and not eligible([ends], network([operator]), NOW + 10)


def test_an_expired_descriptor_does_not_count() -> None:
    operator = Peer()
    claim = listed(Peer(), [operator], [operator])
    assert eligible([claim], network([operator]), NOW + DAY - 1) and not eligible(
        [claim], network([operator]), NOW + DAY
    )


def test_with_three_operators_two_must_list_a_peer() -> None:
    operators, stranger = [Peer(), Peer(), Peer()], Peer()
    once = listed(Peer(), operators[:1], operators[:1])
    once_and_a_stranger = listed(Peer(), [operators[0], stranger], operators[:1])
    twice = listed(Peer(), operators[:2], operators[:1])
    found = eligible([once, once_and_a_stranger, twice], network(operators), NOW)
    assert [each.descriptor for each in found] == [twice.descriptor]


def test_what_endorsements_say_is_passed_on() -> None:
    operators = [Peer(), Peer()]
    claim = listed(Peer(), operators, operators, weight=7, family="meadow")
    (found,) = eligible([claim], network(operators), NOW)
    assert found.weight == 7 and found.families == {"meadow"}
    assert found.endorsers == {public(each.key) for each in operators}
