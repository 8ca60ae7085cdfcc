"""What both ends of the inner handshake share: the Noise prologue and the ways to say who a peer is."""

import hashlib
from dataclasses import dataclass

from qnet.wire.cover.auth import INFO, VERSION
from qnet.wire.noise import MESSAGE_2_OVERHEAD
from qnet.wire.tls.keyshare import MLKEM768_CIPHERTEXT

SECOND = MESSAGE_2_OVERHEAD + MLKEM768_CIPHERTEXT
"""Bytes of N2."""


@dataclass(frozen=True, slots=True)
class PeerKeys:
    """What a client knows of a peer: its id, Noise static S, cover key C (32 bytes each), secret, decoy's name.

    ``via``: the id of the relay through which alone it is reached, see ``reservation``; else empty. ``later``: cover
    keys that follow C, each from a time on.
    """

    peer_id: bytes
    noise: bytes
    cover: bytes
    cover_secret: bytes
    server_name: str
    via: bytes = b""
    later: tuple[tuple[int, bytes], ...] = ()

    def cover_at(self, now: float) -> bytes:
        """C at ``now`` (unix seconds)."""
        return next((key for start, key in reversed(self.later) if start <= now), self.cover)


def prologue(peer_id: bytes, noise: bytes, client_bytes: bytes, server_bytes: bytes) -> bytes:
    """``"qnet-htx1" ‖ version ‖ peer_id ‖ S ‖ SHA256(C→) ‖ SHA256(P→)``.

    ``client_bytes``, ``server_bytes``: SHA-256 digests of C→, the client's bytes from the ClientHello up to before
    N1, and of P→, the server's up to and including the first encrypted record, unmarked. So whoever changed a byte
    of the cover handshake, or relayed it to another peer, breaks the inner one.
    """
    return INFO + bytes([VERSION]) + peer_id + noise + client_bytes + server_bytes


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
