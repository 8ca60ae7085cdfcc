"""Relays of an imagined network: who they are, where they stand, what they can carry."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.mesh.directory import Directory, Policy
from qnet.wire import descriptor as descriptors
from qnet.wire.descriptor import Descriptor

NOW = 1_800_000_000.0
DAY = 86_400
COUNTRIES = [a + b for a in "ABCDE" for b in "FGHIJKLMNO"]
KINDS = ((0.7, ("entry", "relay")), (0.2, ("entry", "exit")), (0.1, ("relay",)))
"""Share of the relays, and their roles."""


@dataclass(frozen=True, slots=True)
class Relay:
    """``bandwidth``: in any unit; only ratios count."""

    descriptor: Descriptor
    bandwidth: float


def relays(count: int, rng: random.Random, *, signed: bool = False) -> Iterator[Relay]:
    """``count`` relays. Countries by Zipf's law, bandwidths log-normal, networks as they fall."""
    shares = [1 / rank for rank in range(1, len(COUNTRIES) + 1)]
    for number in range(count):
        roles = rng.choices([roles for _, roles in KINDS], [share for share, _ in KINDS])[0]
        key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"%d" % number).digest())
        identity = key.public_key().public_bytes_raw()
        keys = {name: hashlib.sha256(name.encode() + identity).digest() for name in ("noise", "cover", "cover_secret")}
        draft = Descriptor(
            identity=identity,
            addresses=(f"{rng.randrange(1, 224)}.{rng.randrange(256)}.{rng.randrange(256)}.1:443",),
            decoy=f"site{number}.example",
            roles=roles,
            issued=int(NOW) - rng.randrange(DAY // 2),
            expires=int(NOW) + DAY,
            nickname=f"relay{number}",
            country=rng.choices(COUNTRIES, shares)[0],
            **keys,
        )
        described = descriptors.verify(descriptors.sign(draft, key), NOW) if signed else draft
        yield Relay(described, rng.lognormvariate(3, 1))


def directory(known: Sequence[Relay]) -> Directory:
    """An open directory that lists them all."""
    made = Directory(Policy(frozenset(), open=True, capacity=10**6), hashlib.sha256(b"secret").digest())
    for relay in known:
        entry = made.take(relay.descriptor, ())
        entry.seen = NOW
        made.enlist(entry, NOW)
    return made


def network(rng: random.Random) -> str:
    """A client's network, as directories see it."""
    return f"{rng.randrange(1, 224)}.{rng.randrange(256)}.0.0/16"
