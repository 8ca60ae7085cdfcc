"""How long a client is without a circuit when a hop of it dies, by the share of relays that are down."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from qnet.mesh.eligibility import Eligible
from qnet.mesh.path import Path, paths
from qnet.mesh.selection import Failure, backoff
from tools.simulate.population import relays

ROUND_TRIP = (0.02, 0.15)
"""Seconds between two neighbours of a circuit, uniform."""

SILENT = 0.3
"""Share of the deaths that say nothing: the machine is gone, no program that closes its connections."""

NOTICE_SECONDS = 15.0
"""When a silent hop is given up: pings go unanswered."""

REFUSED_SECONDS = 0.1
TIMEOUT_SECONDS = 15.0
SHOWN = 168
"""Relays that a client knows: its bucket."""


@dataclass(frozen=True)
class Repair:
    """``down``: share of the relays that do not answer. Seconds until a new circuit stands, from the death on."""

    down: float
    median: float
    p95: float
    heard: float
    """The median where the death was heard at once."""


def repairs(shares: Sequence[float], tries: int, rng: random.Random) -> list[Repair]:
    """``tries`` deaths for each share."""
    found = []
    for down in shares:
        took = [_repair(down, rng) for _ in range(tries)]
        every = [seconds for _, seconds in took]
        at_once = [seconds for silent, seconds in took if not silent]
        found.append(Repair(down, median(every), quantiles(every, n=20)[-1], median(at_once)))
    return found


def _repair(down: float, rng: random.Random) -> tuple[bool, float]:
    peers = [
        Eligible(relay.descriptor, frozenset({bytes([rng.randrange(5)])}), frozenset(), round(relay.bandwidth))
        for relay in relays(SHOWN, rng)
    ]
    dead = {peer.descriptor.peer_id for peer in peers if rng.random() < down}
    silent = rng.random() < SILENT
    clock = NOTICE_SECONDS if silent else 0.0
    failures: dict[bytes, Failure] = {}
    attempt = 0
    while True:
        attempt += 1
        for path in paths(peers, 3, failures, now=clock, rng=rng):
            seconds, failed = _build(path, dead, rng)
            clock += seconds
            if not failed:
                return silent, clock
            for peer in failed:
                known = failures.get(peer)
                failures[peer] = Failure(clock, known.count + 1 if known else 1)
        clock += backoff(attempt, rng)


def _build(path: Path, dead: set[bytes], rng: random.Random) -> tuple[float, list[bytes]]:
    """Seconds that an attempt takes, and the ends of the edge on which it failed."""
    took, way = 0.0, 0.0
    for number, peer in enumerate(path):
        trip = rng.uniform(*ROUND_TRIP)
        if peer.peer_id in dead:
            edge = [each.peer_id for each in path[max(0, number - 1) : number + 1]]
            return took + (TIMEOUT_SECONDS if rng.random() < SILENT else REFUSED_SECONDS + way), edge
        # TCP and the decoy's handshake between neighbours; what the client says to the new hop crosses all before it.
        took += 3 * trip + 2 * way
        way += trip
    return took, []
