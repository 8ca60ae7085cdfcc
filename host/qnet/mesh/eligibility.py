"""Which peers a client may choose by itself: what directories list is a claim, operators' endorsements are the reason.

A thousand fast exits without an endorsement are no reason to use one of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from qnet.wire.descriptor import Descriptor
from qnet.wire.endorsement import Endorsement
from qnet.wire.network_file import NetworkFile

CONFIRMED_FROM = 3
"""From this many operators on, a peer counts when at least two of their directories list it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A peer as directories list it. ``directories``: the operators whose directories do."""

    descriptor: Descriptor
    endorsements: tuple[Endorsement, ...]
    directories: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Eligible:
    """A peer for automatic paths.

    ``endorsers``: who vouches for it; two peers have distinct operators when these do not meet. ``weight``: the most it
    may count for in a choice, none where an open network sets no bound.
    """

    descriptor: Descriptor
    endorsers: frozenset[bytes]
    families: frozenset[str]
    weight: int | None


def joined(peer: Descriptor) -> Eligible:
    """A peer that its user has joined by hand: nobody vouches for it, and nobody has to."""
    return Eligible(peer, frozenset(), frozenset(), None)


def eligible(listed: Iterable[Listed], network: NetworkFile, now: float) -> list[Eligible]:
    """The peers of ``listed`` that may be in automatic paths of ``network``; an operator vouches for its own."""
    operators = network.operator_keys
    needed = 2 if len(operators) >= CONFIRMED_FROM else 1
    found = []
    for each in listed:
        peer = each.descriptor
        counting = [
            word
            for word in each.endorsements
            if word.endorser in operators and word.issued - 120 <= now < word.expires and word.covers(peer)
        ]
        endorsers = {word.endorser for word in counting}
        if peer.identity in operators:
            endorsers.add(peer.identity)
        if not endorsers and not network.open:
            continue
        if len(each.directories & operators) < needed or not peer.issued - 120 <= now < peer.expires:
            continue
        families = frozenset(word.family for word in counting if word.family)
        weight = max((word.weight for word in counting), default=None)
        found.append(Eligible(peer, frozenset(endorsers), families, weight))
    return found
