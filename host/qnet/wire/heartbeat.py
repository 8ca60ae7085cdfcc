"""Heartbeats: a peer says that it is alive. Every 30 s, to each directory it is registered with.

The envelope is ``signed``'s, the context ``"qnet-heartbeat-1"``; the signer is the peer's identity, which the receiver
knows from its descriptor:

| key | field | type |
|---|---|---|
| 1 | peer_id | 32 bytes |
| 2 | seq: greater than in any earlier heartbeat | below 2⁵³ |
| 3 | issued | unix seconds |
| 4 | load: how much of its capacity is in use | 0 … 1000 ‰ |
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.wire.signed import SKEW, Field, Kind, Reason, SignedError, is_key, is_time

LIMIT = 256
"""Largest heartbeat in bytes."""


class HeartbeatError(SignedError):
    """The heartbeat is not acceptable; the message says why."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """One sign of life."""

    peer_id: bytes
    seq: int
    issued: int
    load: int


_KIND = Kind(
    name="heartbeat",
    context=b"qnet-heartbeat-1",
    limit=LIMIT,
    fields={
        "peer_id": Field(1, is_key),
        "seq": Field(2, lambda value: type(value) is int and 0 <= value < 1 << 53),
        "issued": Field(3, is_time),
        "load": Field(4, lambda value: type(value) is int and 0 <= value <= 1000),
    },
    signer="",
    error=HeartbeatError,
)


def sign(heartbeat: Heartbeat, key: Ed25519PrivateKey) -> bytes:
    """The heartbeat's bytes, by the peer's identity key; raises ``HeartbeatError``."""
    return _KIND.sign(heartbeat, key)


def verify(data: bytes, identity_of: Callable[[bytes], bytes], now: float) -> Heartbeat:
    """The heartbeat in ``data``, issued within 120 s of ``now``; raises ``HeartbeatError``.

    ``identity_of``: gives the identity key of a peer id; what it raises for an unknown one passes through.
    """
    heartbeat = Heartbeat(**_KIND.verify(data, lambda fields: identity_of(fields["peer_id"])))
    _KIND.check_issued(heartbeat.issued, now)
    if heartbeat.issued < now - SKEW:
        raise HeartbeatError("issued too long ago", Reason.EXPIRED)
    return heartbeat
