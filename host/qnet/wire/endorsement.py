"""Endorsements: an operator's word that a peer may carry other people's traffic without being asked for by name.

Conversation:

1. A peer shows its descriptor to an operator, outside of the network.
2. The operator signs an endorsement of what it checked, and gives it to the peer.
3. The peer sends it with its registration; directories pass it on; clients verify it themselves.

The envelope is ``signed``'s, the context ``"qnet-endorsement-1"``, the signer the endorser in the body:

| key | field | type |
|---|---|---|
| 1 | endorser: the operator's identity, Ed25519 | 32 bytes |
| 2 | peer_id | 32 bytes |
| 3 | family: peers of one family are run by one person | text, may be absent |
| 4 | country | two capital letters, may be absent |
| 5 | addresses the peer may have | 1…8 texts ``host:port``, absent for one without any |
| 6 | weight: most that the peer may count for in a choice | 1 … 2³² |
| 7, 8 | issued, expires | unix seconds |
"""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from qnet.wire.descriptor import Descriptor
from qnet.wire.signed import Field, Kind, Reason, SignedError, is_addresses, is_country, is_key, is_text, is_time

LIMIT = 1024
"""Largest endorsement in bytes."""


class EndorsementError(SignedError):
    """The endorsement is not acceptable; the message says why."""


@dataclass(frozen=True, slots=True)
class Endorsement:
    """What an operator vouches for. Times in unix seconds."""

    endorser: bytes
    peer_id: bytes
    addresses: tuple[str, ...]
    weight: int
    issued: int
    expires: int
    family: str = ""
    country: str = ""
    signed: bytes = field(default=b"", compare=False, repr=False)

    def covers(self, descriptor: Descriptor) -> bool:
        """Whether it vouches for what the peer now says of itself: the same peer, country, and no other address.

        A peer without addresses is vouched for as such, whichever relay it is reached through.
        """
        return (
            self.peer_id == descriptor.peer_id
            and self.country == descriptor.country
            and bool(descriptor.addresses) is bool(self.addresses)
            and set(descriptor.addresses) <= set(self.addresses)
        )


_KIND = Kind(
    name="endorsement",
    context=b"qnet-endorsement-1",
    limit=LIMIT,
    fields={
        "endorser": Field(1, is_key),
        "peer_id": Field(2, is_key),
        "family": Field(3, is_text, ""),
        "country": Field(4, is_country, ""),
        "addresses": Field(5, is_addresses, ()),
        "weight": Field(6, lambda value: type(value) is int and 1 <= value <= 1 << 32),
        "issued": Field(7, is_time),
        "expires": Field(8, is_time),
    },
    signer="endorser",
    error=EndorsementError,
)


def sign(endorsement: Endorsement, key: Ed25519PrivateKey) -> bytes:
    """The endorsement's bytes; ``endorsement.endorser`` must be ``key``'s. Raises ``EndorsementError``."""
    return _KIND.sign(endorsement, key)


def verify(data: bytes, now: float) -> Endorsement:
    """The endorsement in ``data``; raises ``EndorsementError``. Whether the endorser counts is for the caller."""
    endorsement = Endorsement(**{"addresses": ()} | _KIND.verify(data), signed=data)
    _KIND.check_issued(endorsement.issued, now)
    if endorsement.expires <= now:
        raise EndorsementError("expired", Reason.EXPIRED)
    return endorsement
