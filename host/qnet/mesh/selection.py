"""Which peer to use: pure functions of what is known, the time and a random source."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from qnet.mesh.eligibility import Eligible
from qnet.wire.descriptor import Descriptor
from qnet.wire.signed import SKEW

REST_SECONDS = 30.0
"""How long a peer that failed is tried last."""


class RandomSource(Protocol):
    """What is used of ``random.Random``; ``SystemRandom`` in production."""

    def uniform(self, a: float, b: float) -> float: ...

    def random(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """The last failure of a peer, in seconds of any steady clock."""

    at: float
    count: int


def usable(peers: Iterable[Eligible], hops: int, unix_now: float) -> list[Eligible]:
    """The peers that a route of ``hops`` can use now: those that are valid, for one hop only the exits among them."""
    return [each for each in peers if _is_usable(each.descriptor, hops, unix_now)]


def _is_usable(peer: Descriptor, hops: int, unix_now: float) -> bool:
    return (
        peer.issued - SKEW <= unix_now < peer.expires
        and (hops > 1 or "exit" in peer.roles)
        and (hops > 2 or not peer.via)
    )


def is_resting(peer: Descriptor, failures: Mapping[bytes, Failure], now: float) -> bool:
    """Whether ``peer`` failed lately."""
    failure = failures.get(peer.peer_id)
    return failure is not None and now - failure.at <= REST_SECONDS


def backoff(attempt: int, rng: RandomSource) -> float:
    """Seconds to wait before attempt number ``attempt`` (from 1): exponential to 30 s, with full jitter above half."""
    ceiling = min(30.0, 0.25 * 2.0 ** min(attempt, 10))
    return ceiling * rng.uniform(0.5, 1.0)
