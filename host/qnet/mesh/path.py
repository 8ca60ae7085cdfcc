"""Which way a circuit goes: pure functions of what is known, the time and a random source.

Fast mode is one hop, an exit. In privacy mode the first hop is never an exit, the last one always is, and no two hops
are the same peer or stand in one network (/16, /32 for IPv6): whoever runs one of them has to run another elsewhere.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from qnet.mesh.selection import Failure, RandomSource, is_resting, order_peers
from qnet.wire.descriptor import Descriptor

MAX_PATHS = 8
"""Paths offered for one attempt at a circuit."""

MAX_CANDIDATES = 64
"""Peers tried in each place of a path: they are shuffled before, so that thousands need not be."""


def paths(
    peers: Iterable[Descriptor],
    hops: int,
    failures: Mapping[bytes, Failure],
    *,
    now: float,
    rng: RandomSource,
    guard: bytes | None = None,
) -> Iterator[list[Descriptor]]:
    """Paths of ``hops`` peers to try, in order; none if the peers do not suffice.

    ``guard``: the id of the first hop used so far, kept unless it failed lately. Peers that did come last.
    """
    known = list(peers)
    kept = guard if any(peer.peer_id == guard and not is_resting(peer, failures, now) for peer in known) else None
    found: set[tuple[bytes, ...]] = set()
    for _ in range(4 * MAX_PATHS):
        path = _path(order_peers(known, failures, now=now, rng=rng), hops, kept)
        if path is None:
            return
        key = tuple(peer.peer_id for peer in path)
        if key not in found:
            found.add(key)
            yield path
        if len(found) == MAX_PATHS:
            return


def _path(ordered: list[Descriptor], hops: int, guard: bytes | None) -> list[Descriptor] | None:
    """The first peers in order that make a path, the exit chosen first and the guard next."""
    needs: list[Callable[[Descriptor], bool]] = [_is_exit]
    if hops > 1:
        needs.append(_is_guard)
        if guard is not None:
            ordered = sorted(ordered, key=lambda peer: peer.peer_id != guard)
    needs += [_is_relay] * (hops - 2)
    candidates = [list(islice(filter(need, ordered), MAX_CANDIDATES)) for need in needs]
    chosen: list[Descriptor] = []
    if not _complete(candidates, chosen):
        return None
    return chosen if hops == 1 else [*chosen[1:], chosen[0]]


def _complete(candidates: list[list[Descriptor]], chosen: list[Descriptor]) -> bool:
    if len(chosen) == len(candidates):
        return True
    for peer in candidates[len(chosen)]:
        if all(apart(peer, other) for other in chosen):
            chosen.append(peer)
            if _complete(candidates, chosen):
                return True
            chosen.pop()
    return False


def _is_exit(peer: Descriptor) -> bool:
    return "exit" in peer.roles


def _is_guard(peer: Descriptor) -> bool:
    return "entry" in peer.roles and not _is_exit(peer)


def _is_relay(peer: Descriptor) -> bool:
    return "relay" in peer.roles


def apart(one: Descriptor, other: Descriptor) -> bool:
    """Whether two peers may be on one path."""
    if one.peer_id == other.peer_id:
        return False
    return not any(net is not None and net in _networks(other) for net in _networks(one))


def _networks(peer: Descriptor) -> set[str | None]:
    return {_network(address.rpartition(":")[0].strip("[]")) for address in peer.addresses}


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
