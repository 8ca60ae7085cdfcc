"""Directories in memory that gossip: register with one, appear in all, and disappear from all."""

import math
import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from qnet.mesh.directory import Directory, Policy
from qnet.mesh.gossip import INTERVAL, MAX_RECORDS, Gossip, GossipError, Step
from qnet.wire.errors import RemoteError
from tests.support.directories import NOW, SECRET, Peer, public


class Operator:
    """A directory and its side of the gossip."""

    def __init__(self, key: Ed25519PrivateKey, keys: list[Ed25519PrivateKey], **policy: object) -> None:
        self.id = public(key)
        operators = frozenset(map(public, keys))
        self.directory = Directory(Policy(operators, open=True, **policy), SECRET)  # type: ignore[arg-type]
        self.gossip = Gossip(self.directory, key)

    def listed(self, now: float) -> set[bytes]:
        return {key for key, entry in self.directory.entries.items() if entry.listed and entry.is_live(now)}

    def converse(self, other: "Operator", now: float) -> int:
        """One conversation; gives the bytes both sent."""
        size, message = 0, self.gossip.begin(other.id, now)
        for _ in range(500):
            answer = other.gossip.answer(message, now)
            size += len(message) + len(answer)
            following = self.gossip.proceed(message, answer, now)
            if following is None:
                return size
            message = following
        raise AssertionError("no end")


def operators(count: int, **policy: object) -> list[Operator]:
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    return [Operator(key, keys, **policy) for key in keys]


def register(operator: Operator, peer: Peer, now: float = NOW, **changes: object) -> None:
    operator.directory.register(peer.descriptor(now, **changes), [], peer.heartbeat(now), now)


def test_two_directories_become_equal() -> None:
    here, there = operators(2)
    peers = [Peer() for _ in range(8)]
    for number, peer in enumerate(peers):
        register((here, there)[number % 2], peer)
    here.converse(there, NOW)
    here.converse(there, NOW + 1)
    assert here.listed(NOW + 1) == there.listed(NOW + 1) == {peer.id for peer in peers}


def test_a_newer_descriptor_replaces_an_older_and_never_the_other_way() -> None:
    here, there = operators(2)
    peer = Peer()
    register(here, peer)
    here.converse(there, NOW)
    register(there, peer, NOW + 5, nickname="new")
    here.converse(there, NOW + 6)
    there.converse(here, NOW + 7)
    assert [each.directory.entries[peer.id].descriptor.nickname for each in (here, there)] == ["new", "new"]


def test_more_than_fits_in_a_message() -> None:
    here, there = operators(2)
    for _ in range(2 * MAX_RECORDS + 50):
        register(here, Peer())
    here.converse(there, NOW)
    assert len(there.directory.entries) == 2 * MAX_RECORDS + 50
    there.converse(here, NOW + 1)
    assert there.listed(NOW + 1) == here.listed(NOW + 1)


def test_an_invite_only_peer_stays_where_it_registered() -> None:
    here, there = operators(2)
    register(here, Peer(), invite_only=True)
    here.converse(there, NOW)
    there.converse(here, NOW + 1)
    assert there.directory.entries == {}


def test_not_even_who_asks_for_it_is_told_of_an_invite_only_peer_nor_may_tell() -> None:
    here, there = operators(2)
    hidden, told = Peer(), Peer()
    register(there, hidden, invite_only=True)
    record = [told.descriptor(invite_only=True), []]
    request = here.gossip._message(there.id, NOW * 1000, Step.EXCHANGE, [[record], [hidden.id]])
    answer = there.gossip.answer(request, NOW)
    assert there.directory.entries[hidden.id].descriptor.signed not in answer
    here.gossip.proceed(request, answer, NOW)
    assert set(there.directory.entries) == {hidden.id} and here.directory.entries == {}


@pytest.mark.parametrize("count", [4, 16, 32])
def test_everyone_knows_after_logarithmically_many_rounds(count: int) -> None:
    everyone, rng, peer = operators(count), random.Random(count), Peer()
    register(everyone[0], peer)
    rounds = 0
    while not all(peer.id in each.listed(NOW + rounds) for each in everyone):
        rounds += 1
        for each in everyone:
            each.converse(rng.choice([other for other in everyone if other is not each]), NOW + rounds)
        assert rounds <= 2 * math.log2(count) + 2


def test_a_peer_that_dies_is_gone_everywhere_within_its_time_to_live() -> None:
    """No directory keeps it alive because another said so that had it from the first."""
    everyone, rng, peer = operators(4), random.Random(1), Peer()
    register(everyone[0], peer)
    now, last = float(NOW), NOW + 90
    while now < NOW + 400:
        now += INTERVAL
        if now % 30 == 0 and now <= last:
            everyone[0].directory.register(None, [], peer.heartbeat(now), now)
        for each in everyone:
            each.converse(rng.choice([other for other in everyone if other is not each]), now)
        alive = [peer.id in each.listed(now) for each in everyone]
        if NOW + 60 <= now <= last + 60:
            assert all(alive), now - NOW
        if now >= last + 120:
            assert not any(alive), now - NOW


def test_endorser_quotas_hold_for_gossip() -> None:
    here, there = operators(2)
    key = Ed25519PrivateKey.generate()
    there.directory.policy = Policy(frozenset({here.id, there.id, public(key)}), endorser_quota=3)
    here.directory.policy = Policy(there.directory.policy.operators)
    for _ in range(6):
        peer = Peer()
        here.directory.register(peer.descriptor(), [peer.endorsed(key)], peer.heartbeat(), NOW)
    here.converse(there, NOW)
    assert len(there.directory.entries) == 3


def test_unendorsed_peers_do_not_come_in_by_gossip() -> None:
    here, there = operators(2)
    there.directory.policy = Policy(frozenset({here.id, there.id}))
    register(here, Peer())
    here.converse(there, NOW)
    assert there.directory.entries == {}


def test_a_round_without_news_is_small() -> None:
    here, there = operators(2)
    for _ in range(300):
        register(here, Peer())
    here.converse(there, NOW)
    here.converse(there, NOW + 1)
    assert here.converse(there, NOW + 2) < 16 * 1024


def test_strangers_replays_and_messages_for_others_are_refused() -> None:
    here, there, third = operators(3)
    stranger = Operator(Ed25519PrivateKey.generate(), [])
    with pytest.raises(GossipError, match="not an operator"):
        there.gossip.answer(stranger.gossip.begin(there.id, NOW), NOW)
    message = here.gossip.begin(there.id, NOW)
    with pytest.raises(GossipError, match="another directory"):
        third.gossip.answer(message, NOW)
    there.gossip.answer(message, NOW)
    with pytest.raises(GossipError, match="old message"):
        there.gossip.answer(message, NOW)
    with pytest.raises(GossipError, match="old message"):
        there.gossip.answer(here.gossip.begin(there.id, NOW + 1), NOW + 600)


def test_an_answer_must_be_to_the_question() -> None:
    here, there, third = operators(3)
    first = here.gossip.begin(there.id, NOW)
    answer = there.gossip.answer(first, NOW)
    second = here.gossip.begin(there.id, NOW + 1)
    with pytest.raises(GossipError):
        here.gossip.proceed(second, answer, NOW)
    other = here.gossip.begin(third.id, NOW + 2)
    with pytest.raises(GossipError):
        here.gossip.proceed(first, third.gossip.answer(other, NOW + 2), NOW)


@given(st.data())
def test_any_bytes_are_refused_in_the_same_way(data: st.DataObject) -> None:
    here, there = operators(2)
    good = here.gossip.begin(there.id, NOW)
    position = data.draw(st.integers(0, len(good) - 1))
    broken = good[:position] + bytes([good[position] ^ data.draw(st.integers(1, 255))]) + good[position + 1 :]
    for junk in (broken, data.draw(st.binary(max_size=100))):
        with pytest.raises(RemoteError):
            there.gossip.answer(junk, NOW)
        with pytest.raises(RemoteError):
            here.gossip.proceed(good, junk, NOW)
