"""The one façade over noiseprotocol: Noise XK and its hybrid XKpsk3 (Noise specification, revision 34).

Conversation, initiator on the left (``S`` is the responder's static key, known beforehand):

1. → e, es [payload]
2. ← e, ee [payload]
3. → s, se, psk [payload]

``psk`` is the ML-KEM-768 secret that both sides hold after message 2, so message 3's payload and all transport keys
are secure while either X25519 or ML-KEM is, and there is no second key derivation beside Noise's own.

The transport keys leave this file as raw keys: the record channel encrypts into buffers, which the library cannot.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from noise.connection import Keypair, NoiseConnection
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage, NoiseValueError

from qnet.wire.errors import RemoteError

XK = b"Noise_XK_25519_ChaChaPoly_SHA256"
XK_PSK3 = b"Noise_XKpsk3_25519_ChaChaPoly_SHA256"

MESSAGE_1_OVERHEAD = 32 + 16
MESSAGE_2_OVERHEAD = 32 + 16
MESSAGE_3_OVERHEAD = 32 + 16 + 16


class NoiseError(RemoteError):
    """The Noise message does not open. On the wire this is silent."""


@dataclass(frozen=True, slots=True)
class TransportKeys:
    """Keys of 32 bytes for each direction, and the handshake hash (channel binding)."""

    send: bytes
    receive: bytes
    handshake_hash: bytes


class NoiseHandshake:
    """One side of XK or XKpsk3; messages are written and read in turn, three in all.

    ``static``, ``remote_static`` and ``ephemeral`` are raw X25519 keys (32 bytes). The responder gives its own
    ``static`` and no ``remote_static``; the initiator gives both. Whoever does not know the ``prologue`` yet gives it
    to ``begin``, before the first message: what can be done by then is done.
    """

    def __init__(
        self,
        *,
        initiator: bool,
        prologue: bytes | None = None,
        static: bytes,
        ephemeral: bytes,
        remote_static: bytes = b"",
        protocol: bytes = XK_PSK3,
    ) -> None:
        self._noise = NoiseConnection.from_name(protocol)
        if protocol == XK_PSK3:
            # The library wants a psk at the start; the real one is set with use_psk, before the token is reached.
            self._noise.set_psks(psk=bytes(32))
        if initiator:
            self._noise.set_as_initiator()
            self._noise.set_keypair_from_public_bytes(Keypair.REMOTE_STATIC, remote_static)
        else:
            self._noise.set_as_responder()
        self._noise.set_keypair_from_private_bytes(Keypair.STATIC, static)
        self._psk_missing = protocol == XK_PSK3
        self._messages = 0
        self._ephemeral = self._noise.noise_protocol.keypair_class.from_private_bytes(ephemeral)
        if prologue is not None:
            self.begin(prologue)

    def begin(self, prologue: bytes) -> None:
        """Give the prologue, once."""
        self._noise.set_prologue(prologue)
        self._noise.start_handshake()
        # Set here and not through the connection: the library would warn that an ephemeral key is known beforehand.
        # Ours is fresh from the caller's entropy, as every key of this package is.
        self._state = self._noise.noise_protocol.handshake_state
        self._state.e = self._ephemeral

    def use_psk(self, psk: bytes) -> None:
        """Set the hybrid secret (32 bytes); required between messages 2 and 3."""
        if len(psk) != 32:
            raise ValueError("a psk has 32 bytes")
        self._noise.set_psks(psk=psk)
        self._psk_missing = False

    def write(self, payload: bytes = b"") -> bytes:
        """The next message of this side."""
        self._next()
        return bytes(self._noise.write_message(payload))

    def read(self, message: bytes) -> bytes:
        """The payload of the other side's next message; raises ``NoiseError``, after which this object is spent."""
        self._next()
        try:
            return bytes(self._noise.read_message(message))
        except (InvalidTag, ValueError, NoiseInvalidMessage, NoiseValueError, NoiseHandshakeError) as error:
            raise NoiseError(type(error).__name__) from None

    def keys(self) -> TransportKeys:
        """The transport keys, after the third message."""
        protocol = self._noise.noise_protocol
        return TransportKeys(
            send=protocol.cipher_state_encrypt.k,
            receive=protocol.cipher_state_decrypt.k,
            handshake_hash=bytes(self._noise.get_handshake_hash()),
        )

    @property
    def remote_static(self) -> bytes:
        """The other side's static public key; for a responder known after message 3."""
        return bytes(self._state.rs.public_bytes)

    def _next(self) -> None:
        self._messages += 1
        if self._messages == 3 and self._psk_missing:
            raise RuntimeError("the psk must be set before message 3")


def public_key(private: bytes) -> bytes:
    """The X25519 public key (32 bytes) of a raw private key."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
