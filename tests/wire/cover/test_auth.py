"""Cover authentication by its parts: what changes the keys, what the associated data covers, the wrap."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnet.wire.cover.auth import CoverKeys, Credential, NotAuthenticError, Wrap
from qnet.wire.errors import RemoteError
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.tickets import Offer
from tests.support.cover_pair import template

CREDENTIAL = Credential(1, 0, 1_800_000_000, b"0123456789")


def hello() -> bytes:
    draft = template("chromium").build("decoy.test", os.urandom)
    draft.hello.session_id = bytes(32)
    return draft.hello.message()


def with_session_id(message: bytes, session_id: bytes) -> bytes:
    return message[:39] + session_id + message[71:]


def test_round_trip() -> None:
    message = hello()
    keys = CoverKeys(b"s" * 32, b"c" * 32, message[6:38])
    sealed = with_session_id(message, keys.seal_session_id(message, CREDENTIAL))
    assert keys.open_session_id(sealed) == CREDENTIAL


@pytest.mark.parametrize("position", [0, 6, 40, 71, 80, 200, 700, -1])
def test_every_part_of_the_hello_is_covered(position: int) -> None:
    message = hello()
    keys = CoverKeys(b"s" * 32, b"c" * 32, message[6:38])
    sealed = bytearray(with_session_id(message, keys.seal_session_id(message, CREDENTIAL)))
    sealed[position] ^= 1
    with pytest.raises(RemoteError):
        keys.open_session_id(bytes(sealed))


def test_a_resumed_hello_is_sealed_before_its_binder_is_made() -> None:
    offer = Offer(SessionTicket(300, 0, bytes(208), bytes(48), 0x1302), 0)
    draft = template("firefox").build("decoy.test", os.urandom, offer)
    keys = CoverKeys(b"s" * 32, b"c" * 32, draft.hello.random)
    draft.hello.session_id = keys.seal_session_id(draft.hello.message(), CREDENTIAL)
    message = bytearray(offer.bind(draft.hello).message())
    assert keys.open_session_id(bytes(message)) == CREDENTIAL
    message[-60] ^= 1  # the ticket, which the binder lies behind
    with pytest.raises(NotAuthenticError):
        keys.open_session_id(bytes(message))


@pytest.mark.parametrize("which", ["shared", "secret", "random"])
def test_every_secret_changes_every_key(which: str) -> None:
    base = {"shared": b"s" * 32, "secret": b"c" * 32, "random": b"r" * 32}
    one = CoverKeys(base["shared"], base["secret"], base["random"])
    changed = base | {which: b"x" * 32}
    two = CoverKeys(changed["shared"], changed["secret"], changed["random"])
    assert one.wrap_client != two.wrap_client
    assert one.wrap_server != two.wrap_server
    assert one.mark(b"hellos") != two.mark(b"hellos")


def test_the_mark_depends_on_the_hellos() -> None:
    keys = CoverKeys(b"s" * 32, b"c" * 32, b"r" * 32)
    assert keys.mark(b"one") != keys.mark(b"two")
    assert len(keys.mark(b"")) == 16


@given(st.binary(max_size=500), st.integers(0, 600))
def test_wrap_carries_and_pads(message: bytes, size: int) -> None:
    sealed = Wrap(b"k" * 32).seal(message, size)
    assert len(sealed) == max(size, len(message) + 18)
    assert Wrap(b"k" * 32).open(sealed) == (message, False)


def test_wrap_says_when_more_follows() -> None:
    one, other = Wrap(b"k" * 32), Wrap(b"k" * 32)
    assert other.open(one.seal(b"part", 100, more=True)) == (b"part", True)
    assert other.open(one.seal(b"rest", 100)) == (b"rest", False)


def test_wrap_counts_only_what_opens() -> None:
    one, other = Wrap(b"k" * 32), Wrap(b"k" * 32)
    first, second = one.seal(b"first"), one.seal(b"second")
    for junk in (b"", b"x" * 16, second, os.urandom(60)):
        with pytest.raises(NotAuthenticError):
            other.open(junk)
    assert other.open(first) == (b"first", False)
    with pytest.raises(NotAuthenticError):
        other.open(first)
    assert other.open(second) == (b"second", False)
