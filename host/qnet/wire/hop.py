"""A hop behind the first: the same secure channel, its three messages carried by the relay before it.

Conversation, after the relay's EXTENDED with the digests of the cover that it made (client – relay – next peer):

1. → FORWARD(N1: e, es, the client's ML-KEM-768 key) – wrapped and padded by the relay
2. ← FORWARD(N2: e, ee, the ML-KEM ciphertext) – unwrapped by the relay
3. → FORWARD(N3: s, se, psk, the first frames) – from here on the relay carries records as they are

The prologue holds the digests, so a relay that says anything else than what it did only makes the handshake fail.
With a peer whose descriptor names a ``via`` there is no cover: the first digest is then of the link that the relay has
with it, and the second this side's own, see ``reservation``.
"""

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from qnet.wire.cover.inner import PeerKeys, prologue
from qnet.wire.noise import NoiseError, NoiseHandshake, TransportKeys
from qnet.wire.reservation import via_digest
from qnet.wire.steps import Entropy

_SEED = 64


class HopClient:
    """The client's side: ``first``, then ``second`` with what came back."""

    def __init__(self, peer: PeerKeys, client_digest: bytes, server_digest: bytes, entropy: Entropy) -> None:
        if peer.via:
            server_digest = via_digest(peer.via, peer.cover_secret)
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(entropy(_SEED))
        self._noise = NoiseHandshake(
            initiator=True,
            prologue=prologue(peer.peer_id, peer.noise, client_digest, server_digest),
            static=entropy(32),
            ephemeral=entropy(32),
            remote_static=peer.noise,
        )

    def first(self) -> bytes:
        """N1."""
        return self._noise.write(self._mlkem.public_key().public_bytes_raw())

    def second(self, message: bytes, payload: bytes) -> tuple[bytes, TransportKeys]:
        """N3 with ``payload``, and the keys; raises ``NoiseError`` if ``message`` is not N2 of this peer."""
        ciphertext = self._noise.read(message)
        try:
            self._noise.use_psk(self._mlkem.decapsulate(ciphertext))
        except ValueError:
            raise NoiseError("ML-KEM") from None
        return self._noise.write(payload), self._noise.keys()
