"""The peer: the public listener in front of a decoy, and the descriptor that leads to it."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from qnet.keys import KeyRing, NodeKeys
from qnet.net.client_link import Disguise
from qnet.net.decoy import Calibration, Parting, calibrate, idle_end
from qnet.net.link import LinkOwner
from qnet.net.listen import bind, serve
from qnet.net.peer_link import PeerConnection
from qnet.wire.cover.peer import PeerConfig
from qnet.wire.cover.replay import ReplayCache
from qnet.wire.descriptor import Descriptor, peer_id, sign
from qnet.wire.scratch import Scratch
from qnet.wire.script import Profile

DESCRIPTOR_SECONDS = 7 * 86400
"""How long a descriptor handed out by hand lives."""

LISTED_SECONDS = 86400
"""How long one in a directory does: it is issued anew in time."""

OPERATOR_SECONDS = 90 * 86400
"""How long an operator's does: it stands in network files, which people keep."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Presentation:
    """What a peer says of itself. ``address``: ``host:port`` at which clients reach it.

    A hidden one has neither ``address`` nor ``decoy``, but ``via``: the id of the relay through which it is reached.
    """

    address: str
    decoy: str
    roles: tuple[str, ...]
    nickname: str
    country: str
    invite_only: bool = False
    via: bytes = b""


def describe(keys: NodeKeys, presentation: Presentation, now: float, seconds: int = DESCRIPTOR_SECONDS) -> bytes:
    """The signed descriptor, issued ``now`` (unix seconds), good for ``seconds``; raises ``DescriptorError``."""
    (_, cover), *later = keys.chain(now, now + seconds)
    descriptor = Descriptor(
        identity=keys.identity.public_key().public_bytes_raw(),
        noise=keys.noise.public_key().public_bytes_raw(),
        cover=cover,
        cover_secret=keys.cover_secret,
        addresses=(presentation.address,) if presentation.address else (),
        decoy=presentation.decoy,
        roles=presentation.roles,
        issued=int(now),
        expires=int(now) + seconds,
        nickname=presentation.nickname,
        country=presentation.country,
        invite_only=presentation.invite_only,
        via=presentation.via,
        later=tuple(later),
    )
    return sign(descriptor, keys.identity)


@dataclass(frozen=True, slots=True)
class PeerPlace:
    """Where a peer listens and what it stands in front of; addresses as (host, port)."""

    listen: tuple[str, int]
    decoy_name: str
    decoy_address: tuple[str, int]


class PeerListener:
    """The cover of one process in front of the decoy. ``shared``: others of this node listen at the same place.

    Clients are recognised by the cover keys that ``ring`` has at the moment. ``parting``: how the decoy ends
    connections that nobody uses; until it is known none is ended.
    """

    def __init__(
        self,
        place: PeerPlace,
        ring: KeyRing,
        disguise: Disguise,
        profiles: Mapping[int, Profile],
        scratch: Scratch,
        owner: LinkOwner,
        replay: ReplayCache,
        *,
        shared: bool = False,
    ) -> None:
        self.parting: Parting | None = None
        self._place = place
        self._ring = ring
        self._disguise = disguise
        self._profiles = profiles
        self._scratch = scratch
        self._owner = owner
        self._replay = replay
        self._shared = shared

    async def measure(self) -> Calibration:
        """What ``listen`` has to know of the decoy; raises ``DecoyError``."""
        return await calibrate(self._place.decoy_address, self._place.decoy_name, self._disguise)

    async def learn(self) -> None:
        """Learn ``parting``, which takes as long as the decoy does; raises ``DecoyError``."""
        self.parting = await idle_end(self._place.decoy_address, self._place.decoy_name, self._disguise)
        _log.info(
            "the decoy ends idle connections %s", f"after {self.parting.seconds:.0f} s" if self.parting else "never"
        )

    async def listen(self, calibration: Calibration) -> asyncio.Server:
        """Accept clients; raises ``ListenError``."""
        keys, place = self._ring.keys, self._place
        config = PeerConfig(
            peer_id=peer_id(keys.identity.public_key().public_bytes_raw()),
            noise_private=keys.noise.private_bytes_raw(),
            noise_public=keys.noise.public_key().public_bytes_raw(),
            cover=(),
            cover_secret=keys.cover_secret,
            server_name=place.decoy_name,
            quiet_after=calibration.quiet_after,
            quiet_after_resumed=calibration.quiet_after_resumed,
            profiles=self._profiles,
        )

        def accept() -> asyncio.BaseProtocol:
            now = replace(config, cover=self._ring.keys.cover_privates)
            return PeerConnection(
                now, place.decoy_address, self._replay, self._scratch, self._owner, self.parting
            ).client

        return await serve(accept, bind(*place.listen, what="the public", option="--listen", shared=self._shared))
