"""Which way a circuit goes: pure functions of what is known, the time and a random source.

Fast mode is one hop, an exit. In privacy mode the first hop is never an exit, the last one always is, and no two hops

- are the same peer, or of one family;
- stand in one network (/16, /32 for IPv6): whoever runs one of them has to run another elsewhere;
- have an operator in common who vouches for them, in a network that has an operator for each hop.

A peer that is reached through another only (``via``) stands right behind that one, and never first: so these two,
which one person may run on one computer, never hold both ends of a route. For want of an address nobody can tell in
which network it stands: it is an exit only where distinct operators vouch for all, else in the middle of three hops.

Within these rules the exit is drawn first, then the guard, then what is between, each by weight: what was measured of
a peer, at most what its operators say it may count for, at most 4 × the median.
"""

import ipaddress
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import nsmallest
from statistics import median

from qnet.mesh.eligibility import Eligible
from qnet.mesh.selection import Failure, RandomSource, is_resting
from qnet.wire.descriptor import Descriptor

MAX_PATHS = 8
"""Paths offered for one attempt at a circuit."""

MAX_CANDIDATES = 64
"""Peers tried in each place of a path: they are drawn at random, so that thousands need not be."""

MOST = 4.0
"""A peer counts for at most this many times the median."""

Path = list[Descriptor]
Need = Callable[[Descriptor], bool]


def paths(
    peers: Iterable[Eligible],
    hops: int,
    failures: Mapping[bytes, Failure],
    *,
    now: float,
    rng: RandomSource,
    country: str = "",
    guards: Iterable[bytes] | None = None,
    quality: Mapping[bytes, float] | None = None,
) -> Iterator[Path]:
    """Paths of ``hops`` peers to try, in order; none if the peers do not suffice. Peers that failed lately come last.

    ``country``: where the exit must be. ``guards``: the ids of the only first hops allowed, where any is.
    ``quality``: bytes per second measured of peers, by id.
    """
    known = [_Candidate(peer) for peer in peers]
    _weigh(known, quality or {})
    strict = len({key for each in known for key in each.peer.endorsers}) >= hops
    allowed = None if guards is None else frozenset(guards)

    def is_wanted_exit(peer: Descriptor) -> bool:
        return _is_exit(peer) and (not country or peer.country == country) and (not peer.via or (strict and hops == 3))

    def is_guard(peer: Descriptor) -> bool:
        return _is_guard(peer) and (allowed is None or peer.peer_id in allowed)

    ends: list[Need] = [is_wanted_exit, is_guard]
    needs = ends[:hops] + [_is_relay] * (hops - 2)
    places = [[each for each in known if need(each.descriptor)] for need in needs]
    found: set[tuple[bytes, ...]] = set()
    for _ in range(4 * MAX_PATHS):
        chosen: list[_Candidate] = []
        drawn = [_draw(place, failures, now, rng) for place in places]
        if hops == 3:
            # A hidden exit has only one middle: it is tried whether it was drawn or not.
            needed = {each.descriptor.via for each in drawn[0]} - {each.id for each in drawn[2]}
            drawn[2] += [each for each in places[2] if each.id in needed]
        if not _complete(drawn, chosen, strict):
            return
        path = [each.descriptor for each in (chosen if hops == 1 else [*chosen[1:], chosen[0]])]
        key = tuple(peer.peer_id for peer in path)
        if key not in found:
            found.add(key)
            yield path
        if len(found) == MAX_PATHS:
            return


class _Candidate:
    """A peer with what is asked of it often."""

    __slots__ = ("descriptor", "id", "networks", "peer", "weight")

    def __init__(self, peer: Eligible) -> None:
        self.peer = peer
        self.descriptor = peer.descriptor
        self.id = peer.descriptor.peer_id
        self.networks = networks(peer.descriptor)
        self.weight = 1.0


def _weigh(known: list[_Candidate], quality: Mapping[bytes, float]) -> None:
    """Give each its weight; who was not measured counts as the median of those who were."""
    measured = [quality[each.id] for each in known if each.id in quality]
    usual = median(measured) if measured else math.inf
    for each in known:
        most = math.inf if each.peer.weight is None else each.peer.weight
        each.weight = min(quality.get(each.id, usual), most)
    bounded = [each.weight for each in known if each.weight < math.inf]
    middle = median(bounded) if bounded else 1.0
    for each in known:
        each.weight = max(min(each.weight if each.weight < math.inf else middle, MOST * middle), 1e-9)


def _draw(
    place: list[_Candidate], failures: Mapping[bytes, Failure], now: float, rng: RandomSource
) -> list[_Candidate]:
    """An order by weighted sampling without replacement (Efraimidis and Spirakis, 2006); what failed lately last."""

    def key(each: _Candidate) -> tuple[int, float]:
        failed = failures[each.id].count if is_resting(each.descriptor, failures, now) else 0
        return failed, -math.log(1.0 - rng.random()) / each.weight

    return nsmallest(MAX_CANDIDATES, place, key=key)


def _complete(places: list[list[_Candidate]], chosen: list[_Candidate], strict: bool) -> bool:
    if len(chosen) == len(places):
        return True
    for each in places[len(chosen)]:
        if _is_linked(chosen, each) and all(_apart(each, other, strict) for other in chosen):
            chosen.append(each)
            if _complete(places, chosen, strict):
                return True
            chosen.pop()
    return False


def _is_linked(chosen: list[_Candidate], middle: _Candidate) -> bool:
    """Whether hidden peers stand behind the one that each is reached through; true of all but the middle."""
    if len(chosen) < 2:
        return True
    exit, guard = chosen
    if exit.descriptor.via:
        return middle.id == exit.descriptor.via and not middle.descriptor.via
    return middle.descriptor.via in (b"", guard.id)


def _apart(one: _Candidate, other: _Candidate, strict: bool) -> bool:
    if one.id == other.id or not one.peer.families.isdisjoint(other.peer.families):
        return False
    if strict and not one.peer.endorsers.isdisjoint(other.peer.endorsers):
        return False
    return one.networks.isdisjoint(other.networks)


def _is_exit(peer: Descriptor) -> bool:
    return "exit" in peer.roles


def _is_guard(peer: Descriptor) -> bool:
    return "entry" in peer.roles and not _is_exit(peer) and not peer.via


def _is_relay(peer: Descriptor) -> bool:
    return "relay" in peer.roles


def networks(peer: Descriptor) -> frozenset[str]:
    """Where a peer stands: networks as texts, names as they are."""
    found = (_network(address.rpartition(":")[0].strip("[]")) for address in peer.addresses)
    return frozenset(network for network in found if network is not None)


def _network(host: str) -> str | None:
    """The network of an address; a name is its own, and this computer's addresses have none: a test network's."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    if address.is_loopback:
        return None
    prefix = 16 if address.version == 4 else 32
    return str(ipaddress.ip_network((address, prefix), strict=False))
