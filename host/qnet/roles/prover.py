"""Proof that a peer holds the keys it registers with: a whole handshake, cover and Noise, with its S and C."""

from collections.abc import Callable

from qnet.mesh.exit_policy import ExitPolicy
from qnet.net.channel import Channel
from qnet.net.circuit import Circuit
from qnet.net.client_link import Disguise, connect, peer_keys
from qnet.net.dial import DialError
from qnet.net.link import Link
from qnet.roles.dialable import dialable
from qnet.wire import descriptor as descriptors
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.events import Extend, Reserve, StreamOpen
from qnet.wire.scratch import Scratch


class Prover:
    """Dials only what ``policy`` permits: whoever registers could otherwise let this node knock anywhere.

    ``own``: this node's identity, which needs no proof. ``waits``: whether a hidden relay keeps a connection here; it
    has then signed for it with its identity, and is not asked for its other keys.
    """

    def __init__(
        self,
        policy: ExitPolicy,
        disguise: Disguise,
        scratch: Scratch,
        own: bytes,
        waits: Callable[[bytes], bool] = lambda _: False,
    ) -> None:
        self._waits = waits
        self._policy = policy
        self._disguise = disguise
        self._scratch = scratch
        self._own = own

    async def prove(self, peer: Descriptor, via: Descriptor | None = None) -> bool:
        """Whether a handshake with ``peer`` succeeds, through ``via`` if it is reached so."""
        if peer.identity == self._own:
            return True
        if peer.via == descriptors.peer_id(self._own):
            return self._waits(peer.identity)
        first = via if peer.via else peer
        if first is None or first.via:
            return False
        try:
            link = await connect(
                await dialable(self._policy, first), peer_keys(first), self._disguise, self._scratch, self
            )
        except (DialError, RemoteError):
            return False
        try:
            if peer.via:
                await Circuit(link).extend(peer.signed, peer_keys(peer))
        except RemoteError:
            return False
        finally:
            link.close("tried")
        return True

    # --- LinkOwner

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """The session refuses before this."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """The session refuses before this."""

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        """The session refuses before this."""

    def link_closed(self, link: Link, reason: str) -> None:
        """It has served its purpose."""
