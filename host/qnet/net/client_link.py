"""A client's link: dial a peer, make the cover handshake, hand over to the data path."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from qnet.net import endings
from qnet.net.handshake import ConnectionEndedError, dialled
from qnet.net.link import Link, LinkOwner
from qnet.wire.cover.appearance import Appearance
from qnet.wire.cover.client import CoverClient, CoverResult
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.opening import Guise
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.link import LinkSession, settings_frame
from qnet.wire.scratch import Scratch
from qnet.wire.steps import Done
from qnet.wire.tls.template import Template
from qnet.wire.tls.verify import ChainVerifier

HANDSHAKE_SECONDS = 15.0
CIRCUIT = 1
"""The one circuit of a client's link, the same number at every hop."""


@dataclass(frozen=True, slots=True)
class Disguise:
    """What the client looks like, and whom it trusts to be a decoy."""

    template: Template
    look: Appearance
    roots: Sequence[x509.Certificate]

    def guise(self, now: float) -> Guise:
        """The same for one handshake, at ``now`` (unix seconds)."""
        return Guise(self.template, self.look, ChainVerifier(self.roots, now))


def peer_keys(peer: Descriptor) -> PeerKeys:
    """What a handshake needs of a descriptor."""
    return PeerKeys(peer.peer_id, peer.noise, peer.cover, peer.cover_secret, peer.decoy)


class UnreachablePeerError(RemoteError):
    """No TCP connection to the peer."""


class UnusablePeerError(RemoteError):
    """What is known of the peer makes no sense: its address, its decoy's name or its keys."""


async def connect(
    address: tuple[str, int], peer: PeerKeys, disguise: Disguise, scratch: Scratch, owner: LinkOwner
) -> Link:
    """A link to ``peer``; raises ``RemoteError`` of some kind, within 15 s."""
    now = time.time()
    try:
        core = CoverClient(peer, disguise.guise(now), os.urandom, now, settings_frame())
        async with dialled(core, address, HANDSHAKE_SECONDS) as (transport, done):
            if transport.is_closing():
                raise ConnectionEndedError
            return _link(transport, done, scratch, owner)
    except OSError as error:
        raise UnreachablePeerError(type(error).__name__) from None
    except ValueError as error:
        raise UnusablePeerError(type(error).__name__) from None


def _link(transport: asyncio.Transport, done: Done[CoverResult], scratch: Scratch, owner: LinkOwner) -> Link:
    now = asyncio.get_running_loop().time()
    session = LinkSession(done.result.keys, initiator=True, scratch=scratch, now=now)
    link = Link(session, transport, scratch, owner)

    def refuse(rest: bytes) -> None:
        """As the browser that this link looks like answers a record that does not open."""
        transport.write(done.result.farewell)
        endings.close(transport)

    link.on_bad_record = refuse
    transport.set_protocol(link)
    link.receive(done.trailing)
    link.flush()
    transport.resume_reading()
    return link
