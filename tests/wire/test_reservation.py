"""Reservations: statements that hold and do not, the handshake without a cover, records in pieces."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.channel import MIN_BODY, BadRecordError, record
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.errors import RemoteError
from qnet.wire.hop import HopClient
from qnet.wire.noise import NoiseError, TransportKeys, public_key
from qnet.wire.reservation import LIMIT, NO_COVER, HiddenHop, Passage, ReservationError, sign, verify
from qnet.wire.signed import Reason

NOW = 1_800_000_000.0
KEY = Ed25519PrivateKey.generate()
LINK = os.urandom(32)
ID, PRIVATE, SECRET, VIA = (os.urandom(32) for _ in range(4))


def test_a_statement_tells_who_signed_it() -> None:
    data = sign(KEY, LINK, NOW)
    assert len(data) <= LIMIT
    assert verify(data, LINK, NOW) == KEY.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("link", "later", "reason"),
    [
        (os.urandom(32), 0, Reason.SIGNATURE),
        (LINK, 121, Reason.EXPIRED),
        (LINK, -121, Reason.FUTURE),
    ],
    ids=["of another link", "old", "from the future"],
)
def test_a_statement_holds_for_one_link_and_two_minutes(link: bytes, later: int, reason: Reason) -> None:
    with pytest.raises(ReservationError) as caught:
        verify(sign(KEY, LINK, NOW), link, NOW + later)
    assert caught.value.reason is reason


@given(st.binary(max_size=300), st.integers(0, 200), st.integers(1, 255))
def test_anything_else_is_refused(noise: bytes, place: int, change: int) -> None:
    good = bytearray(sign(KEY, LINK, NOW))
    good[place % len(good)] ^= change
    for data in (noise, bytes(good)):
        with pytest.raises(RemoteError):
            verify(data, LINK, NOW)


def handshake(link: bytes = LINK, **known: bytes) -> tuple[TransportKeys, TransportKeys, bytes]:
    """Keys of both ends and what came with message 3; ``known``: where the client's descriptor differs."""
    facts = {"peer_id": ID, "noise": public_key(PRIVATE), "cover_secret": SECRET, "via": VIA} | known
    client = HopClient(PeerKeys(**facts, cover=bytes(32), server_name=""), link, NO_COVER, os.urandom)  # type: ignore[arg-type]
    peer = HiddenHop(ID, PRIVATE, public_key(PRIVATE), SECRET, VIA, LINK, os.urandom)
    third, ours = client.second(peer.first(client.first()), b"hello")
    payload, theirs = peer.third(third)
    return ours, theirs, payload


def test_both_ends_have_the_same_keys() -> None:
    ours, theirs, payload = handshake()
    assert (ours.send, ours.receive, payload) == (theirs.receive, theirs.send, b"hello")


@pytest.mark.parametrize("wrong", ["link", "peer_id", "cover_secret", "via", "noise"])
def test_who_means_another_peer_or_another_way_gets_no_answer(wrong: str) -> None:
    with pytest.raises(NoiseError):
        handshake(**{wrong: public_key(os.urandom(32))})


def test_a_client_that_takes_it_for_a_peer_with_a_cover_gets_no_answer() -> None:
    with pytest.raises(NoiseError):
        handshake(via=b"")


@given(st.binary(min_size=MIN_BODY, max_size=200), st.binary(max_size=50), st.integers(1, 20))
def test_a_record_comes_in_any_pieces(message: bytes, rest: bytes, size: int) -> None:
    passage, data = Passage(), record(message) + rest
    for start in range(0, len(data), size):
        found = passage.receive(data[start : start + size])
        if found is not None:
            assert found == message and start + size >= len(record(message))
            assert passage.trailing == data[len(record(message)) : start + size]
            return
    raise AssertionError("no record")


def test_what_is_no_record_is_refused_at_its_header() -> None:
    for data in (b"GET / HTTP/1.1\r\n", b"\x17\x03\x03\xff\xff"):
        with pytest.raises(BadRecordError):
            Passage().receive(data)
