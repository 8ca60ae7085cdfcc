"""A client's link: dial a peer, make the cover handshake, hand over to the data path."""

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography import x509

from qnet.net import endings
from qnet.net.clock import LEAST, MOST, Clock
from qnet.net.handshake import ConnectionEndedError, dialled
from qnet.net.link import Link, LinkOwner
from qnet.net.network import router
from qnet.wire.cover.appearance import Appearance
from qnet.wire.cover.client import CoverClient, CoverResult
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.opening import Guise, UnprovenPeerError
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.link import LinkSession, settings_frame
from qnet.wire.scratch import Scratch
from qnet.wire.script import Profile
from qnet.wire.steps import Done
from qnet.wire.tls.session import SessionTicket
from qnet.wire.tls.template import Template
from qnet.wire.tls.tickets import Network, TicketJar
from qnet.wire.tls.verify import ChainVerifier

HANDSHAKE_SECONDS = 15.0
NEXT_SECONDS = 4.0
"""How long one of a peer's addresses is tried before the next is, too."""


@dataclass(slots=True)
class Disguise:
    """What the client looks like, whom it trusts to be a decoy, with what it resumes its visits, and its clock.

    ``profile``: gives what shapes its links like those of a family of browsers, if anything does. Relays make their
    connections without: only a client's begin with what a browser says.
    """

    template: Template
    look: Appearance
    roots: Sequence[x509.Certificate]
    tickets: TicketJar = field(default_factory=TicketJar)
    clock: Clock = field(default_factory=Clock)
    profile: Callable[[str], Profile] | None = None

    def wear(self, template: Template, look: Appearance) -> None:
        """Look like this from the next connection on. Tickets of another browser's visits would not fit."""
        if template.hello != self.template.hello:
            self.template, self.look = template, look
            self.tickets.clear()

    def guise(self, now: float, peer: PeerKeys, network: Network) -> Guise:
        """The same for one handshake with ``peer`` over ``network``, at ``now`` (unix seconds)."""
        offer = self.tickets.take(_visited(peer), network, self.clock.system())
        profile = self.profile(self.look.family) if self.profile else None
        return Guise(self.template, self.look, ChainVerifier(self.roots, now), offer, profile)

    def keep(self, tickets: Sequence[SessionTicket], peer: PeerKeys, network: Network) -> None:
        """Remember what the decoy of ``peer`` gave for the next visit over ``network``."""
        self.tickets.keep(_visited(peer), tickets, network, self.clock.system())


def _visited(peer: PeerKeys) -> tuple[bytes, str]:
    return peer.peer_id, peer.server_name


def network_of(transport: asyncio.Transport, router: str) -> Network:
    """The network of a connection."""
    local = transport.get_extra_info("sockname")
    return Network(str(local[0]) if local else "", router)


def peer_keys(peer: Descriptor) -> PeerKeys:
    """What a handshake needs of a descriptor."""
    return PeerKeys(peer.peer_id, peer.noise, peer.cover, peer.cover_secret, peer.decoy, peer.via, peer.later)


def places(peer: Descriptor) -> list[tuple[str, int]]:
    """Where a peer is reached, host and port, in its own order."""
    found = []
    for address in peer.addresses:
        host, _, port = address.rpartition(":")
        found.append((host.strip("[]"), int(port)))
    return found


class UnreachablePeerError(RemoteError):
    """No TCP connection to the peer."""


class UnusablePeerError(RemoteError):
    """What is known of the peer makes no sense: its address, its decoy's name or its keys."""


class WrongClockError(UnprovenPeerError):
    """The decoy says that this computer's clock is wrong by more than a day."""


async def connect(
    places: Sequence[tuple[str, int]], peer: PeerKeys, disguise: Disguise, scratch: Scratch, owner: LinkOwner
) -> Link:
    """A link to ``peer`` at the first of ``places`` (host and port) that answers.

    Where the decoy answers instead and says that our clock is wrong, the place is tried once more at its time. Raises
    ``RemoteError`` of some kind, within 15 s; where several failed, what the best of them said.
    """
    failed: RemoteError = UnusablePeerError("no address")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + HANDSHAKE_SECONDS
    for number, place in enumerate(places, 1):
        left = deadline - loop.time()
        if left <= 0:
            break
        seconds = left if number == len(places) else min(left, NEXT_SECONDS)
        try:
            return await _connect(place, peer, disguise, scratch, owner, seconds)
        except RemoteError as error:
            if number == 1 or isinstance(failed, UnreachablePeerError):
                failed = error
    raise failed


async def _connect(
    place: tuple[str, int], peer: PeerKeys, disguise: Disguise, scratch: Scratch, owner: LinkOwner, seconds: float
) -> Link:
    clock, loop = disguise.clock, asyncio.get_running_loop()
    offset, deadline = clock.offset(peer.peer_id), loop.time() + seconds
    try:
        link = await _attempt(place, peer, disguise, scratch, owner, seconds, offset)
    except UnprovenPeerError as error:
        told = error.date - clock.system() if error.date is not None else offset
        if abs(told) > MOST:
            raise WrongClockError(error.date) from None
        left = deadline - loop.time()
        if abs(told - offset) < LEAST or left <= 0:
            raise
        offset = told
        link = await _attempt(place, peer, disguise, scratch, owner, left, offset)
    clock.agreed(peer.peer_id, offset)
    return link


async def _attempt(
    place: tuple[str, int],
    peer: PeerKeys,
    disguise: Disguise,
    scratch: Scratch,
    owner: LinkOwner,
    seconds: float,
    offset: float,
) -> Link:
    """One connection, with the clock ``offset`` seconds ahead of this computer's."""
    now, gateway = disguise.clock.system() + offset, await router()
    try:

        def begin(transport: asyncio.Transport) -> CoverClient:
            guise = disguise.guise(now, peer, network_of(transport, gateway))
            return CoverClient(peer, guise, os.urandom, now, settings_frame())

        async with dialled(begin, place, seconds) as (transport, done):
            if transport.is_closing():
                raise ConnectionEndedError
            disguise.keep(done.result.tickets, peer, network_of(transport, gateway))
            return _link(transport, done, scratch, owner, disguise.look)
    except OSError as error:
        raise UnreachablePeerError(type(error).__name__) from None
    except ValueError as error:
        raise UnusablePeerError(type(error).__name__) from None


def _link(
    transport: asyncio.Transport,
    done: Done[CoverResult],
    scratch: Scratch,
    owner: LinkOwner,
    look: Appearance,
) -> Link:
    now = asyncio.get_running_loop().time()
    session = LinkSession(done.result.keys, initiator=True, scratch=scratch, now=now)
    result = done.result
    if (script := result.script) is not None:
        shaper = script.rest_up(result.heard, result.third, now)
        session.shape(shaper, script, script.page - result.heard, result.padding)
    link = Link(session, transport, scratch, owner)
    link.parting, link.patience, link.alive.nudge = look.parting, look.patience, look.nudge

    def refuse(rest: bytes) -> None:
        """As the browser that this link looks like answers a record that does not open."""
        transport.write(done.result.farewell)
        endings.close(transport)

    link.on_bad_record = refuse
    transport.set_protocol(link)
    link.receive(done.trailing)
    link.flush()
    link.pump()
    transport.resume_reading()
    return link
