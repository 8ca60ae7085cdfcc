"""Proof that a peer holds the keys it registers with: a whole handshake, cover and Noise, with its S and C."""

from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.channel import Channel
from qnet.net.client_link import Disguise, connect, peer_keys
from qnet.net.dial import DialError
from qnet.net.link import Link
from qnet.roles.dialable import dialable
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.events import Extend, StreamOpen
from qnet.wire.scratch import Scratch


class Prover:
    """Dials only what ``policy`` permits: whoever registers could otherwise let this node knock anywhere.

    ``own``: this node's identity, which needs no proof.
    """

    def __init__(self, policy: ExitPolicy, disguise: Disguise, scratch: Scratch, own: bytes) -> None:
        self._policy = policy
        self._disguise = disguise
        self._scratch = scratch
        self._own = own

    async def prove(self, peer: Descriptor) -> bool:
        """Whether a handshake with ``peer`` succeeds."""
        if peer.identity == self._own:
            return True
        try:
            link = await connect(
                await dialable(self._policy, peer), peer_keys(peer), self._disguise, self._scratch, self
            )
        except (DialError, RemoteError):
            return False
        link.close("proven")
        return True

    # --- LinkOwner

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """The session refuses before this."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """The session refuses before this."""

    def link_closed(self, link: Link, reason: str) -> None:
        """It has served its purpose."""
