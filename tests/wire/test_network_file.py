"""Network files and links: round trip, every way to be refused, and bytes that are none."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.errors import RemoteError
from qnet.wire.network_file import NetworkFile, NetworkFileError, Operator, fingerprint, parse_link, sign, verify
from qnet.wire.signed import Reason
from tests.support.directories import DAY, NOW, Peer, public

KEY = Ed25519PrivateKey.generate()
OPERATORS = [Peer(), Peer()]
INVITED = Peer()
DRAFT = NetworkFile(
    public(KEY),
    "meadow",
    NOW,
    (Operator(OPERATORS[0].descriptor()), Operator(OPERATORS[1].descriptor(), "http://127.0.0.1:9")),
    peers=(INVITED.descriptor(invite_only=True),),
)


def test_round_trip_through_a_link() -> None:
    network = verify(sign(DRAFT, KEY), NOW)
    assert network == DRAFT
    again = verify(parse_link(network.link), NOW)
    assert again.signed == network.signed
    assert again.operator_keys == {public(each.key) for each in OPERATORS}
    assert [operator.url for operator in again.operators] == ["http://directory.qnet", "http://127.0.0.1:9"]


def test_a_link_may_be_wrapped_by_a_mail_program() -> None:
    link = verify(sign(DRAFT, KEY), NOW).link
    wrapped = "  " + "\r\n".join(link[at : at + 70] for at in range(0, len(link), 70)) + "\n"
    assert parse_link(wrapped) == parse_link(link)


def test_peers_whose_descriptors_expired_are_left_out() -> None:
    network = verify(sign(DRAFT, KEY), NOW)
    assert {peer.peer_id for peer in network.known_peers(NOW)} == {*(each.id for each in OPERATORS), INVITED.id}
    assert network.known_peers(NOW + DAY) == []


def test_the_fingerprint_is_the_founders() -> None:
    assert fingerprint(public(KEY)) == fingerprint(public(KEY)) != fingerprint(public(OPERATORS[0].key))
    assert len(fingerprint(public(KEY)).split()) == 10


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"operators": ()},
        {"operators": DRAFT.operators * 17},
        {"operators": (Operator(b"no descriptor"),)},
        {"operators": (Operator(OPERATORS[0].descriptor(), "file:///etc/passwd"),)},
        {"operators": (Operator(OPERATORS[0].descriptor(), "http://a/path"),)},
        {"peers": (b"x",)},
    ],
    ids=["no name", "no operator", "too many", "no descriptor", "no web address", "path", "bad peer"],
)
def test_unacceptable_fields(change: dict) -> None:
    with pytest.raises(NetworkFileError):
        sign(replace(DRAFT, **change), KEY)


def test_forged() -> None:
    with pytest.raises(NetworkFileError) as caught:
        verify(sign(DRAFT, Ed25519PrivateKey.generate()), NOW)
    assert caught.value.reason is Reason.SIGNATURE


def test_from_the_future() -> None:
    with pytest.raises(NetworkFileError) as caught:
        verify(sign(DRAFT, KEY), NOW - 121)
    assert caught.value.reason is Reason.FUTURE


@pytest.mark.parametrize("link", ["", "http:abc", "qnet:*", "qnet:" + "A" * 100_000, "qnet:é"])
def test_no_link(link: str) -> None:
    with pytest.raises(NetworkFileError):
        parse_link(link)


@given(st.text())
def test_any_link(text: str) -> None:
    with pytest.raises(RemoteError):
        verify(parse_link("qnet:" + text), NOW)


@given(st.binary(max_size=200))
def test_junk(data: bytes) -> None:
    with pytest.raises(NetworkFileError):
        verify(data, NOW)
