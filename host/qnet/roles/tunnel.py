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
from itertools import pairwise

from qnet.mesh.path import paths
from qnet.mesh.selection import Failure, backoff, usable
from qnet.net.channel import Channel
from qnet.net.circuit import ExtendError, extend, finish
from qnet.net.client_link import (
    CIRCUIT,
    Disguise,
    UnreachablePeerError,
    UnusablePeerError,
    connect,
    peer_keys,
)
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.wire.cover.opening import UnprovenPeerError
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import Place, RemoteError
from qnet.wire.events import Extend, StreamOpen
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
TOO_FEW_PEERS = ErrorInfo(
    code="too-few-peers",
    message="Too few peers are known for a route of this length.",
    hint="Join more peers that stand in different networks, or choose fewer hops.",
    place=Place.HOST,
)
NO_EXIT_THERE = ErrorInfo(
    code="no-exit-there",
    message="No exit is known in the country chosen.",
    hint="Choose another country, or any.",
    place=Place.MESH,
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
        ExtendError,
        ErrorInfo(
            code="route-failed",
            message="The route broke off behind the first peer.",
            hint="Another route is tried by itself.",
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
        hops: int = 1,
    ) -> None:
        self._peers = peers
        self._disguise = disguise
        self._scratch = scratch
        self._changed = changed
        self._rng = rng or random.SystemRandom()
        self._leases: set[Hashable] = set()
        self._hops = hops
        self._country = ""
        self._leaving: Link | None = None
        self._channel: Channel | None = None
        self._path: list[Descriptor] = []
        self._guard: bytes | None = None
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
        self._outcome: asyncio.Future[Channel | None] | None = None

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
                if self._channel is None:
                    self._rest()
                elif not self._channel.streams:
                    self._channel.link.close("nobody needs it")
            self._changed()

    def choose(self, hops: int, country: str) -> None:
        """Have routes of ``hops`` that end in ``country`` (empty: anywhere) from now on, the present one included."""
        if (hops, country) == (self._hops, self._country):
            return
        self._hops, self._country = hops, country
        self._attempts = 0
        self._last_error = None
        self._hurry.set()
        if self._channel is not None:
            self._leaving = self._channel.link
            self._leaving.close("another route was chosen")
        self._changed()

    async def open(self, host: str, port: int) -> StreamSocket:
        """A stream to ``host``:``port``, not opened yet; raises ``NoTunnelError``."""
        channel = self._channel
        if channel is None or channel.link.closed:
            channel = await self._demand()
        if not channel.session.has_room(CIRCUIT):
            raise NoTunnelError("too many streams")
        return channel.open(CIRCUIT, host, port)

    async def _demand(self) -> Channel:
        self._needed.set()
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(DEMAND_SECONDS):
                channel = await asyncio.shield(self._outcome)
        except TimeoutError:
            channel = None
        if channel is None or channel.link.closed:
            raise NoTunnelError
        return channel

    def _wanted(self) -> bool:
        """Whether somebody holds a lease, or a program waits."""
        return bool(self._leases) or self._outcome is not None

    def _rest(self) -> None:
        self._needed.clear()
        self._enter(State.OFFLINE)

    # --- the task

    async def run(self) -> None:
        """Build and rebuild, for ever."""
        await self._known()
        self._changed()
        try:
            while True:
                await self._needed.wait()
                self._attempts += 1
                channel = await self._attempt()
                self._resolve(channel)
                if channel is not None:
                    await self._keep(channel.link)
                if not self._wanted():
                    self._rest()
                elif self._attempts:
                    await self._back_off()
        finally:
            if self._channel is not None:
                self._channel.link.close("the helper ends")

    async def _back_off(self) -> None:
        """Wait before the next attempt; a person who asks again need not."""
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff(self._attempts, self._rng)):
                await self._hurry.wait()

    async def _known(self) -> list[Descriptor]:
        """The peers that can be used."""
        now = time.time()
        peers = await asyncio.to_thread(self._peers, now)
        found = usable(peers, self._hops, now)
        self._peer_count = len(found)
        return found

    async def _attempt(self) -> Channel | None:
        """Try several routes, as long as somebody needs a tunnel."""
        peers = known = await self._known()
        if self._country:
            peers = [peer for peer in known if "exit" not in peer.roles or peer.country == self._country]
        chosen = self._hops, self._country
        now = asyncio.get_running_loop().time()
        tried = False
        for path in paths(peers, self._hops, self._failures, now=now, rng=self._rng, guard=self._guard):
            if not self._wanted():
                return None
            tried = True
            self._enter(State.CONNECTING)
            self._lost.clear()
            channel = await self._build(path)
            if channel is None:
                continue
            if not self._wanted() or (self._hops, self._country) != chosen:
                channel.link.close("nobody needs it")
                return None
            self._channel, self._path, self._last_error = channel, path, None
            self._guard = path[0].peer_id
            self._enter(State.CONNECTED)
            return channel
        if not tried:
            self._enter(State.OFFLINE)
            lacking = NO_EXIT_THERE if self._country and len(peers) < len(known) else None
            self._fail(lacking or (TOO_FEW_PEERS if peers and self._hops > 1 else NO_PEERS))
        return None

    async def _build(self, path: list[Descriptor]) -> Channel | None:
        """A channel with the last peer of ``path`` through the others; a failure is blamed on both ends of the edge."""
        blamed = path[:1]
        link = None
        try:
            first = path[0]
            link = await connect(_address(first), peer_keys(first), self._disguise, self._scratch, self)
            channel = link.channel
            for before, peer in pairwise(path):
                blamed = [before, peer]
                channel = await extend(channel, peer.signed, peer_keys(peer))
            if link.closed:
                raise RemoteError("lost while it was built")
        except RemoteError as error:
            if link is not None:
                link.close("the circuit was not built")
            for peer in blamed:
                self._count_failure(peer, error)
            return None
        return finish(channel)

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
        path, self._channel, self._path = self._path, None, []
        if self._wanted():
            self._reconnections += 1
            self._enter(State.CONNECTING)
        if loop.time() - began >= STEADY_SECONDS:
            self._attempts = 0
            for peer in path:
                self._failures.pop(peer.peer_id, None)
        elif self._wanted() and link is not self._leaving:
            for peer in path:
                self._count_failure(peer, RemoteError("lost at once"))

    def _resolve(self, channel: Channel | None) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.set_result(channel)

    # --- LinkOwner

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """A peer cannot open streams at a client; the session refuses before this."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """Nor can it extend a circuit."""

    def link_closed(self, link: Link, reason: str) -> None:
        """The link and its streams are gone."""
        _log.info("a link ended: %s", reason)
        self._lost.set()

    # --- the view

    def view(self) -> TunnelView:
        """The present state."""
        channel, path = self._channel, self._path
        return TunnelView(
            state=self._state,
            since=self._since,
            peers=self._peer_count,
            streams=channel.streams if channel else 0,
            leases=len(self._leases),
            hops=[Hop(nickname=peer.nickname, country=peer.country, exit=peer is path[-1]) for peer in path],
            traffic=Traffic(
                up=self._up + (channel.bytes_up if channel else 0),
                down=self._down + (channel.bytes_down if channel else 0),
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


def _address(peer: Descriptor) -> tuple[str, int]:
    host, _, port = peer.addresses[0].rpartition(":")
    return host.strip("[]"), int(port)
