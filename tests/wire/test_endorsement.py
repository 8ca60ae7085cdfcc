"""Endorsements: round trip, what they cover, every way to be refused."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire import descriptor
from qnet.wire.endorsement import LIMIT, Endorsement, EndorsementError, sign, verify
from qnet.wire.signed import Reason
from tests.support.directories import NOW, Peer, public

OPERATOR = Ed25519PrivateKey.generate()
PEER = Peer()
GOOD = verify(PEER.endorsed(OPERATOR, family="meadow"), NOW)


def test_round_trip() -> None:
    expected = Endorsement(
        public(OPERATOR), PEER.id, (PEER.address,), 100, NOW, NOW + 30 * 86400, family="meadow", country="US"
    )
    assert expected == GOOD
    assert verify(sign(GOOD, OPERATOR), NOW).signed == GOOD.signed


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expires": NOW}, Reason.EXPIRED),
        ({"issued": NOW + 121}, Reason.FUTURE),
        ({"endorser": public(PEER.key)}, Reason.SIGNATURE),
    ],
    ids=["expired", "future", "forged"],
)
def test_refused(change: dict, reason: Reason) -> None:
    with pytest.raises(EndorsementError) as caught:
        verify(sign(replace(GOOD, **change), OPERATOR), NOW)
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    "change", [{"weight": 0}, {"peer_id": b""}, {"addresses": ("x",)}, {"country": "nl"}, {"family": "a\n"}], ids=str
)
def test_unacceptable_fields(change: dict) -> None:
    with pytest.raises(EndorsementError):
        sign(replace(GOOD, **change), OPERATOR)


@pytest.mark.parametrize(
    ("peer", "covered"),
    [
        (PEER, True),
        (Peer(), False),
        (Peer(PEER.key, country="NL"), False),
        (Peer(PEER.key, address="198.51.100.1:443"), False),
    ],
    ids=["same", "another peer", "another country", "another address"],
)
def test_covers_what_was_checked_only(peer: Peer, covered: bool) -> None:
    assert GOOD.covers(descriptor.verify(peer.descriptor(), NOW)) is covered


def test_a_descriptor_is_no_endorsement() -> None:
    with pytest.raises(EndorsementError):
        verify(PEER.descriptor(), NOW)


def test_every_changed_byte_is_noticed() -> None:
    for position in range(len(GOOD.signed)):
        changed = bytearray(GOOD.signed)
        changed[position] ^= 1
        with pytest.raises(EndorsementError):
            verify(bytes(changed), NOW)


@given(st.binary(max_size=LIMIT + 1))
def test_junk(data: bytes) -> None:
    with pytest.raises(EndorsementError):
        verify(data, NOW)


def test_a_peer_without_addresses_is_vouched_for_as_such() -> None:
    via = {"addresses": (), "decoy": ""}
    hidden = descriptor.verify(PEER.descriptor(**via, via=bytes(32)), NOW)
    moved = descriptor.verify(PEER.descriptor(**via, via=bytes(range(32))), NOW)
    word = verify(sign(replace(GOOD, addresses=()), OPERATOR), NOW)
    assert word.covers(hidden) and word.covers(moved) and not GOOD.covers(hidden)
    assert not word.covers(descriptor.verify(PEER.descriptor(), NOW))
