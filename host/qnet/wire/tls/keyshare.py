"""The private halves of one ClientHello's key shares (RFC 8446 §4.2.8; X25519MLKEM768: draft-ietf-tls-ecdhe-mlkem).

X25519MLKEM768: the client sends ML-KEM-768 encapsulation key(1184) ‖ X25519 key(32), the server ciphertext(1088) ‖
X25519 key(32); the shared secret is ML-KEM secret(32) ‖ X25519 secret(32).
"""

from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qnet.wire.steps import Entropy
from qnet.wire.tls import codes
from qnet.wire.tls.errors import IllegalParameterError, UnsupportedGroupError

MLKEM768_CIPHERTEXT = 1088

_CURVES: dict[int, ec.EllipticCurve] = {
    codes.SECP256R1: ec.SECP256R1(),
    codes.SECP384R1: ec.SECP384R1(),
    codes.SECP521R1: ec.SECP521R1(),
}

IMPLEMENTED_GROUPS = frozenset({codes.X25519, codes.X25519_MLKEM768, *_CURVES})


class KeyShares:
    """Key pairs made from ``entropy`` as they are asked for, each once.

    ``reuse_x25519`` (NSS): one X25519 key in both X25519MLKEM768 and x25519; BoringSSL draws two.
    """

    def __init__(self, entropy: Entropy, reuse_x25519: bool) -> None:
        self._entropy = entropy
        self._mlkem = mlkem.MLKEM768PrivateKey.from_seed_bytes(entropy(64))
        self._x25519 = x25519.X25519PrivateKey.from_private_bytes(entropy(32))
        self._hybrid_x25519 = self._x25519 if reuse_x25519 else x25519.X25519PrivateKey.from_private_bytes(entropy(32))
        self._curves: dict[int, ec.EllipticCurvePrivateKey] = {}

    def public(self, group: int) -> bytes:
        """Our key_exchange bytes for ``group``; raises ``UnsupportedGroupError``."""
        if group == codes.X25519:
            return self._x25519.public_key().public_bytes_raw()
        if group == codes.X25519_MLKEM768:
            hybrid = self._hybrid_x25519.public_key().public_bytes_raw()
            return self._mlkem.public_key().public_bytes_raw() + hybrid
        return self._curve(group).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def agree(self, group: int, peer: bytes) -> bytes:
        """The shared secret with the server's key_exchange bytes.

        Raises ``IllegalParameterError`` for an invalid key, ``UnsupportedGroupError``.
        """
        if group == codes.X25519:
            return self.x25519_shared(peer)
        if group == codes.X25519_MLKEM768:
            secret = self.mlkem_decapsulate(peer[:MLKEM768_CIPHERTEXT])
            return secret + _exchange(self._hybrid_x25519, peer[MLKEM768_CIPHERTEXT:])
        private = self._curve(group)
        if peer[:1] != b"\x04":
            raise IllegalParameterError("a compressed elliptic-curve point")
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(private.curve, peer)
            return private.exchange(ec.ECDH(), public)
        except ValueError:
            raise IllegalParameterError("an invalid elliptic-curve point") from None

    def x25519_shared(self, peer_public: bytes) -> bytes:
        """ECDH of the x25519 key share with any 32-byte key; raises ``IllegalParameterError`` on all zeros."""
        return _exchange(self._x25519, peer_public)

    def mlkem_decapsulate(self, ciphertext: bytes) -> bytes:
        """The 32-byte secret in 1088 bytes made for the key in X25519MLKEM768; raises ``IllegalParameterError``."""
        try:
            return self._mlkem.decapsulate(ciphertext)
        except ValueError:
            raise IllegalParameterError("an ML-KEM ciphertext of wrong length") from None

    def _curve(self, group: int) -> ec.EllipticCurvePrivateKey:
        if group not in _CURVES:
            raise UnsupportedGroupError(f"group {group:#06x}")
        if group not in self._curves:
            curve = _CURVES[group]
            # FIPS 186-5 A.2.1: 64 extra bits make the reduction's bias negligible.
            wide = int.from_bytes(self._entropy((curve.key_size + 7) // 8 + 8), "big")
            self._curves[group] = ec.derive_private_key(wide % (curve.group_order - 1) + 1, curve)
        return self._curves[group]


def _exchange(private: x25519.X25519PrivateKey, peer: bytes) -> bytes:
    try:
        return private.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise IllegalParameterError("an invalid X25519 key") from None
