"""How fast operators' directories agree: rounds, seconds and bytes until a relay registered with one is in all."""

import heapq
import random
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.mesh.directory import Directory, Policy
from qnet.mesh.gossip import INTERVAL, Gossip
from tools.simulate.population import NOW, Relay

GIVE_UP = 3600.0


@dataclass(frozen=True)
class Agreement:
    """``seconds``: until the last directory has the relay; ``rounds``: that in gossip intervals.

    ``octets``: what one operator sends a second when nothing changes.
    """

    operators: int
    seconds: float
    octets: float

    @property
    def rounds(self) -> float:
        """Each directory begins one conversation a round."""
        return self.seconds / INTERVAL


class _Operator:
    def __init__(self, key: Ed25519PrivateKey, operators: frozenset[bytes], known: Sequence[Relay]) -> None:
        self.identity = key.public_key().public_bytes_raw()
        self.directory = Directory(Policy(operators, open=True, capacity=10**6), bytes(32))
        self.gossip = Gossip(self.directory, key)
        self.sent = 0
        for relay in known:
            self.take(relay, NOW)

    def take(self, relay: Relay, now: float) -> None:
        entry = self.directory.take(relay.descriptor, ())
        entry.seen = now
        self.directory.enlist(entry, now)

    def has(self, relay: Relay, now: float) -> bool:
        entry = self.directory.entries.get(relay.descriptor.peer_id)
        return entry is not None and entry.listed and entry.is_live(now)

    def converse(self, other: "_Operator", now: float) -> None:
        message: bytes | None = self.gossip.begin(other.identity, now)
        while message is not None:
            answer = other.gossip.answer(message, now)
            self.sent += len(message)
            other.sent += len(answer)
            message = self.gossip.proceed(message, answer, now)


def agreements(counts: Sequence[int], known: Sequence[Relay], rng: random.Random, tries: int) -> list[Agreement]:
    """The median of ``tries`` for each number of operators; all but one of ``known`` are known to all beforehand."""
    found = []
    for count in counts:
        one = sorted((_agree(count, known, rng) for _ in range(tries)), key=lambda each: each.seconds)
        found.append(one[len(one) // 2])
    return found


def _agree(count: int, known: Sequence[Relay], rng: random.Random) -> Agreement:
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    public = frozenset(key.public_key().public_bytes_raw() for key in keys)
    *before, new = known
    operators = [_Operator(key, public, before) for key in keys]
    # Each begins a conversation every INTERVAL, within a fifth of it, with another at random.
    due = [(NOW + rng.uniform(0, INTERVAL), number) for number in range(count)]
    heapq.heapify(due)
    operators[0].take(new, NOW)
    now = NOW
    while not all(operator.has(new, now) for operator in operators):
        now, number = heapq.heappop(due)
        if now > NOW + GIVE_UP:
            raise RuntimeError("the directories do not agree")
        for operator in operators:  # relays go on saying that they live
            for entry in operator.directory.entries.values():
                entry.seen = now if entry.descriptor is not new.descriptor or operator is operators[0] else entry.seen
        other = rng.choice([each for each in range(count) if each != number])
        operators[number].converse(operators[other], now)
        heapq.heappush(due, (now + INTERVAL * rng.uniform(0.8, 1.2), number))
    agreed = now - NOW
    for operator in operators:
        operator.sent = 0
    start = now
    while now < start + 10 * INTERVAL:
        now, number = heapq.heappop(due)
        other = rng.choice([each for each in range(count) if each != number])
        operators[number].converse(operators[other], now)
        heapq.heappush(due, (now + INTERVAL * rng.uniform(0.8, 1.2), number))
    octets = sum(operator.sent for operator in operators) / count / (now - start)
    return Agreement(count, agreed, octets)
