"""Reservations: a relay that nobody can dial keeps connections to one that everybody can, each for one circuit.

Conversation (hidden relay H – public relay P – the client of a circuit), on a link that H has made to P as a client:

1. H → P: RESERVE(a signed statement of H's identity about this very link)
2. H ← P: RESERVED(code, seconds): CLOSED, which is 0, grants; the link waits for so long, with PING and PONG
3. H ← P: TAKEN, once a client's EXTEND carries H's descriptor; the last that P says under the link's keys
4. H → P: READY, the last that H says so. P → client: EXTENDED(hash of the link's handshake, zeros)
5. From here the connection is a hop's as any other: client → N1, ← N2, → N3, then records, P passes them on

No cover is made for the circuit, because the link has one: what binds the inner handshake are, in place of the two
digests of ``inner.prologue``,

- the handshake hash of the link between H and P, which no other link has and both its ends know;
- SHA-256 of ``"qnet-via-1" ‖ P's peer_id ‖ H's cover_secret``: each side takes it from H's descriptor and from its
  own keys. So whoever has not got the descriptor gets no answer from H, as from any other peer.

Which of the two bindings holds is said by the signed descriptor (``via``), and by nothing that P says.

The envelope of the statement is ``signed``'s, the context ``"qnet-reservation-1"``, the signer the identity in it:

| key | field | type |
|---|---|---|
| 1 | identity: H's, Ed25519 | 32 bytes |
| 2 | link: the handshake hash of the link that it is sent on | 32 bytes |
| 3 | issued | unix seconds |
"""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey

from qnet.wire.channel import RECORD_HEADER, record, record_length
from qnet.wire.cover.inner import digest, prologue
from qnet.wire.noise import NoiseError, NoiseHandshake, TransportKeys
from qnet.wire.signed import SKEW, Field, Kind, Reason, SignedError, is_key, is_time
from qnet.wire.steps import Entropy

LIMIT = 256
"""Largest statement in bytes."""
NO_COVER = bytes(32)
"""In place of the second digest of an EXTENDED that no cover was made for."""


class ReservationError(SignedError):
    """The statement is not acceptable."""


@dataclass(frozen=True, slots=True)
class Statement:
    """That ``identity`` wants to be reached by ``link`` (32 bytes). ``issued``: unix seconds."""

    identity: bytes
    link: bytes
    issued: int


_KIND = Kind(
    name="reservation",
    context=b"qnet-reservation-1",
    limit=LIMIT,
    fields={"identity": Field(1, is_key), "link": Field(2, is_key), "issued": Field(3, is_time)},
    signer="identity",
    error=ReservationError,
)


def sign(key: Ed25519PrivateKey, link: bytes, now: float) -> bytes:
    """The statement about ``link``, a handshake hash."""
    return _KIND.sign(Statement(key.public_key().public_bytes_raw(), link, int(now)), key)


def verify(data: bytes, link: bytes, now: float) -> bytes:
    """Whose statement about ``link`` it is; raises ``ReservationError``, also if it is about another link, or old."""
    statement = Statement(**_KIND.verify(data))
    _KIND.check_issued(statement.issued, now)
    if statement.issued + SKEW < now:
        raise ReservationError("too old", Reason.EXPIRED)
    if statement.link != link:
        raise ReservationError("another link", Reason.SIGNATURE)
    return statement.identity


def via_digest(via: bytes, cover_secret: bytes) -> bytes:
    """What binds the handshake with a hidden relay in place of the second digest."""
    return digest(b"qnet-via-1" + via + cover_secret)


class HiddenHop:
    """The hidden relay's side of a client's handshake, the counterpart of ``hop.HopClient``.

    ``via``: the id of the public relay; ``link``: the handshake hash of the link with it.
    """

    def __init__(
        self,
        peer_id: bytes,
        noise_private: bytes,
        noise_public: bytes,
        cover_secret: bytes,
        via: bytes,
        link: bytes,
        entropy: Entropy,
    ) -> None:
        context = prologue(peer_id, noise_public, link, via_digest(via, cover_secret))
        self._noise = NoiseHandshake(initiator=False, prologue=context, static=noise_private, ephemeral=entropy(32))

    def first(self, message: bytes) -> bytes:
        """N2 for N1; raises ``NoiseError``."""
        try:
            secret, ciphertext = MLKEM768PublicKey.from_public_bytes(self._noise.read(message)).encapsulate()
        except ValueError:
            raise NoiseError("ML-KEM") from None
        second = self._noise.write(ciphertext)
        self._noise.use_psk(secret)
        return second

    def third(self, message: bytes) -> tuple[bytes, TransportKeys]:
        """The payload of N3, and the keys; raises ``NoiseError``."""
        return self._noise.read(message), self._noise.keys()


class Passage:
    """What ``cover.exchange.Exchange`` is to a cover: the public relay carries N1, N2 and N3 as plain records."""

    def __init__(self) -> None:
        self._output = bytearray()
        self._buffer = bytearray()

    def first(self, message: bytes) -> None:
        """Send N1."""
        self._output += record(message)

    def third(self, message: bytes) -> None:
        """Send N3."""
        self._output += record(message)

    def take_output(self) -> bytes:
        """What is to be written."""
        output, self._output = bytes(self._output), bytearray()
        return output

    def receive(self, data: bytes) -> bytes | None:
        """The first record's message, N2 or for the other side N1 and N3; raises ``BadRecordError``."""
        self._buffer += data
        if len(self._buffer) < RECORD_HEADER:
            return None
        end = RECORD_HEADER + record_length(memoryview(bytes(self._buffer[:RECORD_HEADER])), 0)
        if len(self._buffer) < end:
            return None
        message = bytes(self._buffer[RECORD_HEADER:end])
        del self._buffer[:end]
        return message

    @property
    def trailing(self) -> bytes:
        """Bytes received after that record."""
        return bytes(self._buffer)
