"""Enumeration buckets: each client network is shown a small part of the peers, always the same part.

Whoever wants the addresses of all peers, to block them, must ask from many networks. Peers and networks stand on a
ring in an order that only the directory knows (HMAC-SHA-256 under its secret); a network gets the next few peers after
its own place. A peer that comes or goes so changes the parts of its neighbours only.

A network is a /16 (/32 for IPv6). Operators of one network share the secret, so that their directories show a client
the same peers: it uses those that several list, and asking more directories reveals no more. Peers at which clients
enter are few per network; those that no client ever connects to need less hiding, and more of them are shown, so that
a relay learns little from a client's choice.
"""

import hashlib
import hmac
import ipaddress
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from itertools import chain

from qnet.wire.descriptor import Descriptor

SIZES = {"guard": 32, "exit": 8, "inner": 128}
"""Peers of a group shown to one network: exits of each country, guards and inner peers of the whole mesh."""


def network_of(address: str) -> str:
    """The network of a client's address; whatever is no address is one network of its own."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(ipaddress.ip_network((found, 16 if found.version == 4 else 32), strict=False))


def group_of(descriptor: Descriptor) -> tuple[str, str]:
    """The kind in ``SIZES``, and the country that has a ring of its own or ``""``."""
    if "exit" in descriptor.roles:
        return "exit", descriptor.country
    return ("guard" if "entry" in descriptor.roles else "inner"), ""


class Ring:
    """Names in a secret order."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._places: list[tuple[bytes, bytes]] = []

    def __len__(self) -> int:
        return len(self._places)

    def _place(self, kind: bytes, name: bytes) -> bytes:
        return hmac.digest(self._secret, kind + name, hashlib.sha256)[:16]

    def add(self, name: bytes) -> None:
        """``name`` must not be in the ring."""
        insort(self._places, (self._place(b"peer:", name), name))

    def remove(self, name: bytes) -> None:
        """``name`` must be in the ring."""
        self._places.remove((self._place(b"peer:", name), name))

    def after(self, network: str) -> Iterator[bytes]:
        """Every name once, from the place of ``network`` on."""
        places = self._places
        start = bisect_right(places, (self._place(b"network:", network.encode()), b""))
        return (places[at][1] for at in chain(range(start, len(places)), range(start)))


class Buckets:
    """Every listed peer in the ring of its group."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._rings: dict[tuple[str, str], Ring] = {}

    def add(self, descriptor: Descriptor) -> None:
        """List a peer that is not listed."""
        group = group_of(descriptor)
        ring = self._rings.get(group)
        if ring is None:
            ring = self._rings[group] = Ring(self._secret + ":".join(group).encode())
        ring.add(descriptor.peer_id)

    def remove(self, descriptor: Descriptor) -> None:
        """Take a listed peer off, by the descriptor it was listed with."""
        group = group_of(descriptor)
        self._rings[group].remove(descriptor.peer_id)
        if not len(self._rings[group]):
            del self._rings[group]

    def hand_out(self, network: str, country: str | None, alive: Callable[[bytes], bool]) -> Iterator[bytes]:
        """Ids of the peers that ``network`` is shown; of exits, those of ``country`` (``""``: of none) or all."""
        for (kind, place), ring in self._rings.items():
            if country is not None and kind == "exit" and place != country:
                continue
            left = SIZES[kind]
            for name in ring.after(network):
                if alive(name):
                    yield name
                    left -= 1
                    if not left:
                        break
