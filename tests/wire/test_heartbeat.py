"""Heartbeats: round trip, every way to be refused."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.heartbeat import LIMIT, Heartbeat, HeartbeatError, sign, verify
from qnet.wire.signed import Reason
from tests.support.directories import NOW, Peer, public

PEER = Peer()
GOOD = PEER.heartbeat(seq=7, load=250)


def identity_of(peer: bytes) -> bytes:
    assert peer == PEER.id
    return public(PEER.key)


def test_round_trip() -> None:
    assert verify(GOOD, identity_of, NOW) == Heartbeat(PEER.id, 7, NOW, 250)


@pytest.mark.parametrize(
    ("now", "reason"), [(NOW + 121, Reason.EXPIRED), (NOW - 121, Reason.FUTURE)], ids=["stale", "future"]
)
def test_clocks_differ_by_two_minutes_at_most(now: float, reason: Reason) -> None:
    assert verify(GOOD, identity_of, NOW + 120) and verify(GOOD, identity_of, NOW - 120)
    with pytest.raises(HeartbeatError) as caught:
        verify(GOOD, identity_of, now)
    assert caught.value.reason is reason


def test_forged() -> None:
    forged = sign(Heartbeat(PEER.id, 8, NOW, 0), Ed25519PrivateKey.generate())
    with pytest.raises(HeartbeatError) as caught:
        verify(forged, identity_of, NOW)
    assert caught.value.reason is Reason.SIGNATURE


def test_whose_peer_is_unknown_is_for_the_caller() -> None:
    def unknown(peer: bytes) -> bytes:
        raise LookupError

    with pytest.raises(LookupError):
        verify(GOOD, unknown, NOW)


@pytest.mark.parametrize("change", [{"seq": -1}, {"seq": 1 << 53}, {"load": 1001}, {"load": True}], ids=str)
def test_unacceptable_fields(change: dict) -> None:
    with pytest.raises(HeartbeatError):
        PEER.heartbeat(**change)


@given(st.binary(max_size=LIMIT + 1))
def test_junk(data: bytes) -> None:
    with pytest.raises(HeartbeatError):
        verify(data, identity_of, NOW)
