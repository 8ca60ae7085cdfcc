"""Which peer to use: pure functions of what is known, the time and a random source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from qnet.wire.descriptor import Descriptor

REST_SECONDS = 30.0
"""How long a peer that failed is tried last."""


class RandomSource(Protocol):
    """What is used of ``random.Random``; ``SystemRandom`` in production."""

    def shuffle(self, x: list[Any]) -> None: ...

    def uniform(self, a: float, b: float) -> float: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a peer, in seconds of any steady clock."""

    at: float
    count: int


def order_exits(
    peers: Iterable[Descriptor], failures: Mapping[bytes, Failure], *, unix_now: float, now: float, rng: RandomSource
) -> list[Descriptor]:
    """The peers that can be a one-hop exit, in the order to try: fresh ones shuffled, then those that failed lately."""
    eligible = [peer for peer in peers if "exit" in peer.roles and peer.issued - 120 <= unix_now < peer.expires]
    rng.shuffle(eligible)

    def resting(peer: Descriptor) -> tuple[bool, int]:
        failure = failures.get(peer.peer_id)
        if failure is None or now - failure.at > REST_SECONDS:
            return (False, 0)
        return (True, failure.count)

    return sorted(eligible, key=resting)


def is_resting(peer: Descriptor, failures: Mapping[bytes, Failure], now: float) -> bool:
    """Whether ``peer`` failed lately."""
    failure = failures.get(peer.peer_id)
    return failure is not None and now - failure.at <= REST_SECONDS


def backoff(attempt: int, rng: RandomSource) -> float:
    """Seconds to wait before attempt number ``attempt`` (from 1): exponential to 30 s, with full jitter above half."""
    ceiling = min(30.0, 0.25 * 2.0 ** min(attempt, 10))
    return ceiling * rng.uniform(0.5, 1.0)
