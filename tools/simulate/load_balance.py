"""How evenly clients' circuits fall on relays: each client sees its bucket and draws one circuit of three hops."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from qnet.mesh.eligibility import Eligible
from qnet.mesh.path import paths
from tools.simulate.population import NOW, Relay, directory, network, relays

PLACES = ("guard", "middle", "exit")
OPERATORS = 5
MOST = 8_000


@dataclass(frozen=True)
class Balance:
    """Of one place in circuits: circuits per unit of bandwidth, the busiest percent beside the mean; who has none."""

    relays: int
    place: str
    busiest: float
    unused: float


def balances(sizes: Sequence[int], per_relay: int, rng: random.Random) -> list[Balance]:
    """For each size of network, with ``per_relay`` clients for each relay, but no more than ``MOST``."""
    return [each for size in sizes for each in _balance(list(relays(size, rng)), min(size * per_relay, MOST), rng)]


def _balance(known: list[Relay], clients: int, rng: random.Random) -> list[Balance]:
    listed = directory(known)
    eligible = {
        relay.descriptor.peer_id: Eligible(
            relay.descriptor, frozenset({bytes([rng.randrange(OPERATORS)])}), frozenset(), round(relay.bandwidth)
        )
        for relay in known
    }
    chosen: dict[str, Counter[bytes]] = {place: Counter() for place in PLACES}
    for _ in range(clients):
        shown = listed.by_country(network(rng), None, NOW)
        peers = [eligible[entry.descriptor.peer_id] for entries in shown.values() for entry in entries]
        path = next(paths(peers, 3, {}, now=0, rng=rng), None)
        for place, peer in zip(PLACES, path or (), strict=False):
            chosen[place][peer.peer_id] += 1
    return [Balance(len(known), place, *_spread(chosen[place], _able(known, place))) for place in PLACES]


def _able(known: Sequence[Relay], place: str) -> list[Relay]:
    def fits(roles: Sequence[str]) -> bool:
        exits = "exit" in roles
        return {"exit": exits, "guard": "entry" in roles and not exits, "middle": "relay" in roles}[place]

    return [relay for relay in known if fits(relay.descriptor.roles)]


def _spread(circuits: Counter[bytes], able: Sequence[Relay]) -> tuple[float, float]:
    use = sorted((circuits[relay.descriptor.peer_id] / relay.bandwidth for relay in able), reverse=True)
    top = use[: max(1, len(use) // 100)]
    return mean(top) / mean(use), sum(each == 0 for each in use) / len(use)
