"""A peer's announcement on its local network: its signed descriptor and endorsements, in the strings of a TXT record.

Layout (RFC 6763 §6): CBOR array ``[descriptor, [endorsement …]]``, cut into values of at most 250 bytes under the keys
``0``, ``1``, … Nothing else of the record is believed: the descriptor says who, where and until when.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from qnet.mesh.directory import MAX_ENDORSEMENTS
from qnet.mesh.eligibility import Eligible, Listed, eligible
from qnet.wire import descriptor as descriptors
from qnet.wire import endorsement as endorsements
from qnet.wire.cbor import decode, encode
from qnet.wire.errors import RemoteError
from qnet.wire.network_file import NetworkFile

LIMIT = 1200
"""Most bytes of an announcement: the whole answer should be one packet (RFC 6763 §6.2)."""

_PIECE = 250


def announce(descriptor: bytes, endorsed: Sequence[bytes]) -> dict[bytes, bytes]:
    """The TXT record's pairs, with as many endorsements as there is room for; raises ``ValueError`` for none at all."""
    words = list(endorsed[:MAX_ENDORSEMENTS])
    while len(packed := encode([descriptor, words])) > LIMIT:
        if not words:
            raise ValueError("the descriptor is too long to be announced")
        words.pop()
    pieces = range(0, len(packed), _PIECE)
    return {str(number).encode(): packed[at : at + _PIECE] for number, at in enumerate(pieces)}


def announced(pairs: Mapping[bytes, bytes | None], network: NetworkFile | None, now: float) -> Eligible | None:
    """The peer that a TXT record announces; none if it may not be used, raises ``RemoteError`` if it is no peer.

    In a network it needs what a listed peer needs, but for the list. Who belongs to none has asked for whoever is near.
    """
    pieces: list[bytes] = []
    for number in count():
        piece = pairs.get(str(number).encode())
        if not piece or len(pieces) * _PIECE > LIMIT:
            break
        pieces.append(piece)
    match decode(b"".join(pieces), LIMIT):
        case [bytes() as data, list() as words] if len(words) <= MAX_ENDORSEMENTS:
            peer = descriptors.verify(data, now)
            good = tuple(endorsements.verify(word, now) for word in words if isinstance(word, bytes))
        case _:
            raise RemoteError("not an announcement")
    if network is None:
        return Eligible(peer, frozenset(), frozenset(), None)
    found = eligible([Listed(peer, good, network.operator_keys)], network, now)
    return found[0] if found else None
