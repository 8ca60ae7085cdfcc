"""Signed descriptors: round trip, every way to be refused, and bytes that are no descriptor."""

import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.cbor import decode, encode
from qnet.wire.descriptor import Descriptor, DescriptorError, DescriptorExpiredError, sign, verify
from qnet.wire.errors import RemoteError

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.generate()
GOOD = Descriptor(
    identity=KEY.public_key().public_bytes_raw(),
    noise=os.urandom(32),
    cover=os.urandom(32),
    cover_secret=os.urandom(32),
    addresses=("192.0.2.1:443", "[2001:db8::1]:443"),
    decoy="decoy.test",
    roles=("entry", "exit"),
    issued=NOW - 10,
    expires=NOW + 86400,
    nickname="lily",
    country="NL",
)


def test_round_trip() -> None:
    data = sign(GOOD, KEY)
    descriptor = verify(data, NOW)
    assert descriptor == GOOD
    assert descriptor.signed == data
    assert len(descriptor.peer_id) == 32


def test_optional_fields_may_be_absent() -> None:
    plain = replace(GOOD, nickname="", country="")
    assert verify(sign(plain, KEY), NOW) == plain
    hidden = replace(GOOD, invite_only=True)
    assert verify(sign(hidden, KEY), NOW) == hidden


def test_cover_keys_that_follow() -> None:
    keys = tuple((NOW + week * 604800, os.urandom(32)) for week in range(3))
    assert verify(sign(replace(GOOD, later=keys), KEY), NOW).later == keys


@pytest.mark.parametrize(
    "later",
    [
        ((NOW, os.urandom(31)),),
        ((NOW, os.urandom(32)), (NOW, os.urandom(32))),
        ((NOW + 1, os.urandom(32)), (NOW, os.urandom(32))),
        tuple((NOW + number, os.urandom(32)) for number in range(9)),
        ((NOW,),),
        (NOW,),
        ((-1, os.urandom(32)),),
    ],
)
def test_cover_keys_that_are_none(later: tuple) -> None:
    with pytest.raises(DescriptorError, match="later"):
        sign(replace(GOOD, later=later), KEY)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expires": NOW}, "expired"),
        ({"issued": NOW + 121}, "future"),
        ({"identity": Ed25519PrivateKey.generate().public_key().public_bytes_raw()}, "signature"),
    ],
    ids=["expired", "future", "forged"],
)
def test_refused(change: dict, reason: str) -> None:
    with pytest.raises(DescriptorError) as caught:
        verify(sign(replace(GOOD, **change), KEY), NOW)
    assert caught.value.reason == reason
    assert isinstance(caught.value, DescriptorExpiredError) is (reason == "expired")


@pytest.mark.parametrize(
    "change",
    [
        {"noise": b"short"},
        {"addresses": ()},
        {"addresses": ("nowhere",)},
        {"addresses": ("a:0",)},
        {"addresses": ("a:1",) * 9},
        {"decoy": ""},
        {"decoy": "x" * 256},
        {"country": "NLD"},
        {"country": "nl"},
        {"invite_only": 1},
        {"nickname": "new\nline"},
    ],
    ids=str,
)
def test_unacceptable_fields_cannot_be_signed(change: dict) -> None:
    with pytest.raises(DescriptorError):
        sign(replace(GOOD, **change), KEY)


def test_unknown_keys_survive() -> None:
    body, _ = decode(sign(GOOD, KEY), 4096)
    body = encode(decode(body, 4096) | {99: "of a later version"})
    data = encode([body, KEY.sign(b"qnet-descriptor-1" + body)])
    assert verify(data, NOW).signed == data


def test_every_changed_byte_is_noticed() -> None:
    data = sign(GOOD, KEY)
    for position in range(len(data)):
        with pytest.raises(RemoteError):
            verify(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :], NOW)


@given(st.binary(max_size=300))
def test_junk(data: bytes) -> None:
    with pytest.raises(RemoteError):
        verify(data, NOW)


def test_oversized() -> None:
    with pytest.raises(DescriptorError) as caught:
        verify(bytes(4097), NOW)
    assert caught.value.reason == "oversized"
    with pytest.raises(DescriptorError):
        sign(replace(GOOD, addresses=("a" * 250 + ":443",) * 8, roles=("r" * 255,) * 8), KEY)


@pytest.mark.parametrize(
    "data",
    ["1801", "bf0001ff", "a201000002", "a2020001000000", "f97e00", "c11a514b67b0", "9fff", "a1f500"],
)
def test_other_than_deterministic_plain_data_is_refused(data: str) -> None:
    with pytest.raises(RemoteError):
        decode(bytes.fromhex(data), 100)


@pytest.mark.parametrize(
    "change",
    [{"addresses": ()}, {"decoy": ""}, {"via": bytes(32)}, {"via": bytes(32), "addresses": ()}, {"via": b"short"}],
    ids=str,
)
def test_a_peer_is_dialled_or_reached_through_another(change: dict) -> None:
    hidden = replace(GOOD, via=os.urandom(32), addresses=(), decoy="")
    assert verify(sign(hidden, KEY), NOW) == hidden
    with pytest.raises(DescriptorError):
        sign(replace(GOOD, **change), KEY)
