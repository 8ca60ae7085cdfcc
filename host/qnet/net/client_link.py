"""A client's link: dial a peer, make the cover handshake, hand over to the data path."""

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from qnet.net.handshake import ConnectionEndedError, HandshakeProtocol
from qnet.net.link import Link, LinkOwner
from qnet.wire.cover.appearance import Appearance
from qnet.wire.cover.client import CoverClient
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.errors import RemoteError
from qnet.wire.link import LinkSession, Scratch, settings_frame
from qnet.wire.tls.template import Template
from qnet.wire.tls.verify import ChainVerifier

HANDSHAKE_SECONDS = 15.0
CIRCUIT = 1
"""The one circuit of a one-hop link."""


@dataclass(frozen=True, slots=True)
class Disguise:
    """What the client looks like, and whom it trusts to be a decoy."""

    template: Template
    look: Appearance
    roots: Sequence[x509.Certificate]


class UnreachablePeerError(RemoteError):
    """No TCP connection to the peer."""


async def connect(
    address: tuple[str, int], peer: PeerKeys, disguise: Disguise, scratch: Scratch, owner: LinkOwner
) -> Link:
    """A link to ``peer`` with one circuit open; raises ``RemoteError`` of some kind, within 15 s."""
    loop = asyncio.get_running_loop()
    now = time.time()
    verifier = ChainVerifier(disguise.roots, now)
    core = CoverClient(peer, disguise.template, disguise.look, verifier, os.urandom, now, settings_frame())
    protocol = None
    try:
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            transport, protocol = await loop.create_connection(lambda: HandshakeProtocol(core), *address)
            done = await protocol.result
    except (TimeoutError, OSError) as error:
        if protocol is not None and protocol.transport is not None:
            protocol.transport.abort()
        raise UnreachablePeerError(type(error).__name__) from None
    except RemoteError:
        if protocol is not None and protocol.transport is not None:
            protocol.transport.close()
        raise
    session = LinkSession(done.result.keys, initiator=True, scratch=scratch, now=loop.time())
    session.open_circuit(CIRCUIT)
    session.ping(loop.time())
    link = Link(session, transport, scratch, owner)
    if transport.is_closing():
        raise ConnectionEndedError
    transport.set_protocol(link)
    link.receive(done.trailing)
    link.flush()
    transport.resume_reading()
    return link
