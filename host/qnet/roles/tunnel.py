"""The client's tunnel: one link to an exit, built when somebody needs it, rebuilt when it is lost, torn down when idle.

Its states (``wire.messages.State``) and what moves them:

offline → connecting: a lease is taken, or a program asks for a stream
connecting → connected: the peer is proven and the inner handshake is done
connecting → connecting: an attempt failed; ``last_error`` says where and why; the next follows after a back-off
connected → connecting: the link is lost while somebody needs it
any → offline: nobody needs it, or there is no peer to try
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass

from qnet.mesh.selection import Failure, backoff, order_exits
from qnet.net.client_link import CIRCUIT, Disguise, UnreachablePeerError, UnusablePeerError, connect
from qnet.net.link import Link, StreamSocket
from qnet.wire.cover.inner import PeerKeys
from qnet.wire.cover.opening import UnprovenPeerError
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import Place, RemoteError
from qnet.wire.events import StreamOpen
from qnet.wire.messages import ErrorInfo, Hop, State, Traffic
from qnet.wire.scratch import Scratch
from qnet.wire.tls.errors import CertificateError

IDLE_SECONDS = 60.0
DEMAND_SECONDS = 10.0
"""How long a program that asks for a stream waits for a tunnel."""

STEADY_SECONDS = 5.0
"""A link that is lost sooner counts as a failed attempt: the next one follows after a back-off."""

_log = logging.getLogger(__name__)

NO_PEERS = ErrorInfo(
    code="no-peers",
    message="No peer is known.",
    hint="Join a network: qnet join FILE",
    place=Place.HOST,
)
# What a person is told for each way an attempt can fail; the first that fits.
_EXPLANATIONS: tuple[tuple[type[RemoteError], ErrorInfo], ...] = (
    (
        UnreachablePeerError,
        ErrorInfo(
            code="peer-unreachable",
            message="The peer does not answer.",
            hint="Check that this computer is online. The peer may be down or blocked; another may work.",
            place=Place.LOCAL_NETWORK,
        ),
    ),
    (
        CertificateError,
        ErrorInfo(
            code="certificate",
            message="The cover site's certificate is not valid here.",
            hint="Somebody may be intercepting this network, or this computer's clock is wrong. Nothing was sent.",
            place=Place.LOCAL_NETWORK,
        ),
    ),
    (
        UnprovenPeerError,
        ErrorInfo(
            code="peer-unproven",
            message="The peer did not recognise this computer.",
            hint="Check this computer's clock, or ask for a new invitation.",
            place=Place.MESH,
        ),
    ),
    (
        UnusablePeerError,
        ErrorInfo(
            code="peer-unusable",
            message="What is known of the peer is not usable.",
            hint="Ask for a new invitation.",
            place=Place.MESH,
        ),
    ),
    (
        RemoteError,
        ErrorInfo(
            code="peer-failed",
            message="The connection to the peer broke off.",
            hint="It is tried again by itself.",
            place=Place.MESH,
        ),
    ),
)


class NoTunnelError(Exception):
    """There is no tunnel, and none could be built in time."""


@dataclass(frozen=True, slots=True)
class TunnelView:
    """What a status says of the tunnel."""

    state: State
    since: float
    peers: int
    streams: int
    leases: int
    hops: list[Hop]
    traffic: Traffic
    attempts: int
    last_error: ErrorInfo | None


class Tunnel:
    """Start ``run`` in a task; ``changed`` is called after every change of the view's state."""

    def __init__(
        self,
        peers: Callable[[float], list[Descriptor]],
        disguise: Disguise,
        scratch: Scratch,
        changed: Callable[[], None],
        rng: random.Random | None = None,
    ) -> None:
        self._peers = peers
        self._disguise = disguise
        self._scratch = scratch
        self._changed = changed
        self._rng = rng or random.SystemRandom()
        self._leases: set[Hashable] = set()
        self._link: Link | None = None
        self._peer: Descriptor | None = None
        self._state = State.OFFLINE
        self._since = time.time()
        self._attempts = 0
        self._reconnections = 0
        self._failures: dict[bytes, Failure] = {}
        self._last_error: ErrorInfo | None = None
        self._up = self._down = 0
        self._peer_count = 0
        self._needed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._lost = asyncio.Event()
        self._outcome: asyncio.Future[Link | None] | None = None

    # --- who needs it

    def lease(self, holder: Hashable) -> None:
        """Keep the tunnel up for ``holder``."""
        self._leases.add(holder)
        self._attempts = 0
        self._needed.set()
        self._hurry.set()
        if self._state is State.OFFLINE:
            self._enter(State.CONNECTING)

    def release(self, holder: Hashable) -> None:
        """``holder`` needs it no more."""
        if holder in self._leases:
            self._leases.discard(holder)
            if not self._wanted():
                if self._link is None:
                    self._rest()
                elif not self._link.streams:
                    self._link.close("nobody needs it")
            self._changed()

    async def open(self, host: str, port: int) -> StreamSocket:
        """A stream to ``host``:``port``, not opened yet; raises ``NoTunnelError``."""
        link = self._link
        if link is None or link.closed:
            link = await self._demand()
        if not link.session.has_room(CIRCUIT):
            raise NoTunnelError("too many streams")
        return link.open(CIRCUIT, host, port)

    async def _demand(self) -> Link:
        self._needed.set()
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(DEMAND_SECONDS):
                link = await asyncio.shield(self._outcome)
        except TimeoutError:
            link = None
        if link is None or link.closed:
            raise NoTunnelError
        return link

    def _wanted(self) -> bool:
        """Whether somebody holds a lease, or a program waits."""
        return bool(self._leases) or self._outcome is not None

    def _rest(self) -> None:
        self._needed.clear()
        self._enter(State.OFFLINE)

    # --- the task

    async def run(self) -> None:
        """Build and rebuild, for ever."""
        await self._exits()
        self._changed()
        try:
            while True:
                await self._needed.wait()
                self._attempts += 1
                link = await self._attempt()
                self._resolve(link)
                if link is not None:
                    await self._keep(link)
                if not self._wanted():
                    self._rest()
                elif self._attempts:
                    await self._back_off()
        finally:
            if self._link is not None:
                self._link.close("the helper ends")

    async def _back_off(self) -> None:
        """Wait before the next attempt; a person who asks again need not."""
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff(self._attempts, self._rng)):
                await self._hurry.wait()

    async def _exits(self) -> list[Descriptor]:
        """The peers that can be used, in the order to try."""
        now = time.time()
        peers = await asyncio.to_thread(self._peers, now)
        loop_now = asyncio.get_running_loop().time()
        exits = order_exits(peers, self._failures, unix_now=now, now=loop_now, rng=self._rng)
        self._peer_count = len(exits)
        return exits

    async def _attempt(self) -> Link | None:
        """Try every peer once, as long as somebody needs a tunnel."""
        peers = await self._exits()
        if not peers:
            self._enter(State.OFFLINE)
            self._fail(NO_PEERS)
            return None
        for peer in peers:
            if not self._wanted():
                return None
            self._enter(State.CONNECTING)
            self._lost.clear()
            try:
                link = await connect(_address(peer), _keys(peer), self._disguise, self._scratch, self)
            except RemoteError as error:
                self._count_failure(peer, error)
                continue
            if not self._wanted():
                link.close("nobody needs it")
                return None
            self._link, self._peer, self._last_error = link, peer, None
            self._enter(State.CONNECTED)
            return link
        return None

    def _count_failure(self, peer: Descriptor, error: RemoteError) -> None:
        failure = self._failures.get(peer.peer_id)
        now = asyncio.get_running_loop().time()
        self._failures[peer.peer_id] = Failure(now, failure.count + 1 if failure else 1)
        self._fail(next(info for kind, info in _EXPLANATIONS if isinstance(error, kind)))
        _log.info("a link was not made: %s", type(error).__name__)

    async def _keep(self, link: Link) -> None:
        """Wait until the link is lost, or close it when nobody has used it for a while."""
        loop = asyncio.get_running_loop()
        used = began = loop.time()
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(IDLE_SECONDS / 12):
                    await self._lost.wait()
            except TimeoutError:
                if self._leases or link.streams:
                    used = loop.time()
                elif loop.time() - used >= IDLE_SECONDS:
                    link.close("idle")
        self._up += link.bytes_up
        self._down += link.bytes_down
        peer, self._link, self._peer = self._peer, None, None
        assert peer is not None  # noqa: S101 - set together with the link
        if self._wanted():
            self._reconnections += 1
            self._enter(State.CONNECTING)
        if loop.time() - began >= STEADY_SECONDS:
            self._attempts = 0
            self._failures.pop(peer.peer_id, None)
        elif self._wanted():
            self._count_failure(peer, RemoteError("lost at once"))

    def _resolve(self, link: Link | None) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.set_result(link)

    # --- LinkOwner

    def stream_opened_by_client(self, link: Link, event: StreamOpen) -> None:
        """A peer cannot open streams at a client; the session refuses before this."""

    def link_closed(self, link: Link, reason: str) -> None:
        """The link and its streams are gone."""
        _log.info("a link ended: %s", reason)
        self._lost.set()

    # --- the view

    def view(self) -> TunnelView:
        """The present state."""
        link, peer = self._link, self._peer
        return TunnelView(
            state=self._state,
            since=self._since,
            peers=self._peer_count,
            streams=link.streams if link else 0,
            leases=len(self._leases),
            hops=[Hop(nickname=peer.nickname, country=peer.country, exit=True)] if peer else [],
            traffic=Traffic(
                up=self._up + (link.bytes_up if link else 0), down=self._down + (link.bytes_down if link else 0)
            ),
            attempts=self._reconnections,
            last_error=self._last_error,
        )

    def _enter(self, state: State) -> None:
        if state is not self._state:
            self._state, self._since = state, time.time()
        self._changed()

    def _fail(self, error: ErrorInfo) -> None:
        self._last_error = error
        self._changed()


def _keys(peer: Descriptor) -> PeerKeys:
    return PeerKeys(peer.peer_id, peer.noise, peer.cover, peer.cover_secret, peer.decoy)


def _address(peer: Descriptor) -> tuple[str, int]:
    host, _, port = peer.addresses[0].rpartition(":")
    return host.strip("[]"), int(port)
