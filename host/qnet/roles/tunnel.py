"""The client's tunnel: circuits built when somebody needs one, replaced when they are lost, torn down when idle.

Its states (``wire.messages.State``) and what moves them:

offline → connecting: a lease is taken, or a program asks for a stream
connecting → connected: every peer of a route is proven
connecting → connecting: an attempt failed; ``last_error`` says where and why; the next follows after a back-off
connected → connecting: the last usual route is lost while somebody needs it
connected → connected: the peer lets a link go that nobody has used for a while, as its decoy does. The tunnel rests:
    nothing is sent until somebody asks for a stream, and then a route is built as at first
any → offline: nobody needs it, or there is no peer to try

Most streams take the usual route: as many hops as the settings say, to anywhere. A rule may ask for another.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from qnet.mesh.eligibility import Eligible, joined
from qnet.mesh.path import MAX_PATHS, paths
from qnet.mesh.selection import Failure, backoff, usable
from qnet.net.client_link import Disguise
from qnet.net.stream import StreamSocket
from qnet.roles.circuits import BuildError, Circuits, Route, Wish
from qnet.roles.failures import NO_EXIT_THERE, NO_PEERS, PATH_BIAS, TOO_FEW_PEERS, explain
from qnet.roles.guards import GuardFile
from qnet.roles.visits import Visits
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.messages import ErrorInfo, Hop, State, Traffic
from qnet.wire.scratch import MAX_HOPS, Scratch

IDLE_SECONDS = 60.0
DEMAND_SECONDS = 10.0
"""How long a program that asks for a stream waits for a tunnel."""

STEADY_SECONDS = 5.0
"""A circuit that is lost sooner counts as a failed attempt: the next one follows after a back-off."""

LEARN_SECONDS = 5.0
"""How old what is known of peers may be when a program asks for a particular route."""

SPARE_SECONDS = 30.0
"""How often a further route is looked for, to have at hand when the present one breaks."""

_log = logging.getLogger(__name__)


class NoTunnelError(Exception):
    """There is no tunnel, and none could be built in time. ``unmet``: no known peers make the route asked for."""

    def __init__(self, reason: str = "no tunnel", *, unmet: bool = False) -> None:
        super().__init__(reason)
        self.unmet = unmet


@dataclass(frozen=True, slots=True)
class TunnelView:
    """What a status says of the tunnel. ``routes``: every circuit's hops, that of new streams first."""

    state: State
    since: float
    peers: int
    streams: int
    leases: int
    routes: list[list[Hop]]
    traffic: Traffic
    attempts: int
    last_error: ErrorInfo | None
    warning: ErrorInfo | None
    resting: bool = False
    """Whether there is no route because none has been used for a while; ``routes`` tells the one that was."""

    @property
    def hops(self) -> list[Hop]:
        """The route that new streams take."""
        return self.routes[0] if self.routes else []


class Tunnel:
    """Start ``run`` in a task; ``changed`` is called after every change of the view's state.

    ``peers`` gives those that may be used: joined by hand, or eligible in a network. ``guards``: the file in which the
    first hops of longer routes are remembered. ``cover_rate``: bytes a second spent on links that are idle.
    """

    def __init__(
        self,
        peers: Callable[[float], Sequence[Descriptor | Eligible]],
        disguise: Disguise,
        scratch: Scratch,
        changed: Callable[[], None],
        rng: random.Random | None = None,
        hops: int = 1,
        guards: Path | None = None,
        cover_rate: float = 0.0,
    ) -> None:
        self._peers = peers
        self._changed = changed
        self._rng = rng or random.SystemRandom()
        self._usual = Wish(hops)
        self._clock = disguise.clock
        self._circuits = Circuits(disguise, scratch, self._on_loss, Visits(cover_rate, self._rng))
        self._guard_file = GuardFile(guards)
        self._known: list[Eligible] = []
        self._learnt_at = -LEARN_SECONDS
        self._peer_count = 0
        self._failures: dict[bytes, Failure] = {}
        self._leases: set[Hashable] = set()
        self._left_at = math.inf
        """When the last who held it let go for good; infinity while one does, or may come again."""
        self._state = State.OFFLINE
        self._since = time.time()
        self._attempts = 0
        self._reconnections = 0
        self._last_error: ErrorInfo | None = None
        self._needed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._wake = asyncio.Event()
        self._outcome: asyncio.Future[Route | None] | None = None
        self._builds: dict[Wish, asyncio.Task[Route | None]] = {}
        self._refused: dict[Wish, float] = {}
        self._next: asyncio.Task[Route | None] | None = None
        self._spare_at = 0.0
        self._rested: Route | None = None
        """The usual route that was let go unused, as long as nobody has asked for one since."""
        self._routes: WeakKeyDictionary[StreamSocket, Route] = WeakKeyDictionary()

    # --- who needs it

    def lease(self, holder: Hashable) -> None:
        """Keep the tunnel up for ``holder``."""
        if not self._leases and self._circuits.routes:
            # What is left of another browser's, or a program's, does not look like this one.
            self._close_unused()
        self._leases.add(holder)
        self._left_at = math.inf
        self._attempts = 0
        self._rested = None
        self._wake.set()
        self._needed.set()
        self._hurry.set()
        if self._state is State.OFFLINE:
            self._enter(State.CONNECTING)

    def release(self, holder: Hashable, *, lost: bool = False) -> None:
        """``holder`` needs it no more; ``lost``: it only went away, and may come again soon."""
        if holder in self._leases:
            self._leases.discard(holder)
            if not self._leases and not lost:
                self._left_at = asyncio.get_running_loop().time()
            if not self._leases and self._next is not None:
                self._next.cancel()
                self._next = None
            if not self._wanted():
                self._close_unused()
                self._wake.set()
            self._changed()

    def _close_unused(self) -> None:
        self._circuits.close_unused()
        if not self._circuits.routes:
            self._rest()

    @property
    def _rests(self) -> bool:
        """Whether to wait for somebody to ask before the next route is built."""
        return self._rested is not None and self._outcome is None and not self._builds

    def choose(self, hops: int, country: str) -> None:
        """Have usual routes of ``hops`` that end in ``country`` (empty: anywhere) from now on; others end at once."""
        before, self._usual = self._usual, Wish(hops, country)
        if before == self._usual:
            return
        self._rested = None
        self._attempts = 0
        self._last_error = None
        self._hurry.set()
        for route in list(self._circuits.routes):
            if route.wish == before:
                self._circuits.close(route)
        self._wake.set()
        self._changed()

    async def open(
        self, host: str, port: int, *, country: str = "", hops: int | None = None, lasting: bool = True
    ) -> StreamSocket:
        """A stream to ``host``:``port``, not opened yet; raises ``NoTunnelError``.

        ``country`` and ``hops``: what its route must be, where that matters. ``lasting``: whether it is a program's,
        which stays when a person disconnects the browser.
        """
        wish = Wish(hops or self._usual.hops, country or self._usual.country)
        route = self._circuits.fit(wish, asyncio.get_running_loop().time())
        if route is None:
            route = await (self._demand() if wish == self._usual else self._particular(wish))
        elif not route.is_fresh(asyncio.get_running_loop().time()):
            self._wake.set()
        stream = self._circuits.open(route, host, port, lasting=lasting)
        self._routes[stream] = route
        return stream

    def meets(self, stream: StreamSocket, country: str, hops: int) -> bool:
        """Whether the route of ``stream`` is one of ``hops`` (0: any) to ``country`` (empty: any)."""
        route = self._routes.get(stream)
        return route is not None and Wish(hops or len(route.path), country).is_met_by(route.path)

    def offers(self, country: str, hops: int) -> bool:
        """Whether the known peers make a route of ``hops`` (0: the usual number) to ``country`` (empty: any)."""
        wish = Wish(hops or self._usual.hops, country)
        peers = usable(self._known, wish.hops, self._clock.now())
        return wish.hops <= MAX_HOPS and next(self._paths(peers, wish), None) is not None

    async def _demand(self) -> Route:
        """The usual route, as soon as there is one; raises ``NoTunnelError``."""
        self._needed.set()
        self._wake.set()
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        return await self._in_time(self._outcome)

    async def _particular(self, wish: Wish) -> Route:
        """A route for a rule; whoever asks for the same waits for the same."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._learnt_at >= LEARN_SECONDS:
            await self._learn()
        if not self.offers(wish.country, wish.hops):
            raise NoTunnelError("no such route", unmet=True)
        build = self._builds.get(wish)
        if build is None:
            if loop.time() < self._refused.get(wish, 0.0):
                raise NoTunnelError("it failed just now")
            build = self._builds[wish] = asyncio.create_task(self._attempt(wish))
            build.add_done_callback(lambda done: self._built(wish, done))
            self._needed.set()
            self._wake.set()
        return await self._in_time(build)

    def _built(self, wish: Wish, done: "asyncio.Task[Route | None]") -> None:
        del self._builds[wish]
        self._refused.pop(wish, None)
        if not done.cancelled() and done.result() is None:
            self._refused[wish] = asyncio.get_running_loop().time() + backoff(1, self._rng)
        self._wake.set()

    async def _in_time(self, outcome: "asyncio.Future[Route | None]") -> Route:
        route = None
        with suppress(TimeoutError):
            async with asyncio.timeout(DEMAND_SECONDS):
                route = await asyncio.shield(outcome)
        if route is None or not route.circuit.has_room():
            raise NoTunnelError
        return route

    def _wanted(self) -> bool:
        """Whether somebody holds a lease, or a program waits, or a route is to be replaced."""
        return bool(self._leases) or self._outcome is not None or bool(self._builds) or self._is_preparing()

    def _is_preparing(self) -> bool:
        return self._next is not None and not self._next.done()

    def _rest(self) -> None:
        self._needed.clear()
        self._rested = None
        self._enter(State.OFFLINE)

    # --- the task

    async def run(self) -> None:
        """Build and rebuild, for ever."""
        await self._guard_file.load()
        await self._learn()
        self._changed()
        try:
            while True:
                await self._needed.wait()
                if self._leases or self._outcome is not None:
                    self._attempts += 1
                    self._rested = None
                    self._resolve(await self._attempt(self._usual))
                await self._keep()
                if not self._wanted():
                    self._rest()
                elif self._attempts:
                    await self._back_off()
        finally:
            for task in (*self._builds.values(), self._next):
                if task is not None:
                    task.cancel()
            self._circuits.close_all("the helper ends")

    async def _back_off(self) -> None:
        """Wait before the next attempt; a person who asks again need not."""
        self._hurry.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(backoff(self._attempts, self._rng)):
                await self._hurry.wait()

    async def _keep(self) -> None:
        """Look after the circuits until one has to be built: the usual one is lost or full, or nobody uses any."""
        loop = asyncio.get_running_loop()
        had = False
        while self._circuits.routes or self._builds or (self._rests and self._leases):
            usual = self._circuits.fit(self._usual, loop.time())
            if usual is None and not self._rests and (had or self._leases or self._outcome is not None):
                break
            had = had or usual is not None
            if usual is not None:
                self._resolve(usual)
                self._prepare(usual)
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS / 12):
                    await self._wake.wait()
            keep = self._usual if self._leases else None
            self._circuits.tidy(loop.time(), IDLE_SECONDS, keep, self._left_at)
        if self._rested is not None:
            self._attempts = 0
        elif had and self._state is State.CONNECTED and self._wanted() and not self._has_usual():
            self._reconnections += 1
            self._enter(State.CONNECTING)

    def _prepare(self, usual: Route) -> None:
        """Replace a route that has served long enough; have one more at hand for when it breaks."""
        now = asyncio.get_running_loop().time()
        if len(usual.path) == 1 or self._is_preparing():
            return
        if not usual.is_fresh(now):
            self._next = asyncio.create_task(self._attempt(self._usual))
        elif self._leases and now >= self._spare_at and self._ready(now) < 2:
            self._spare_at = now + SPARE_SECONDS
            self._next = asyncio.create_task(self._attempt(self._usual, beside=usual))

    def _ready(self, now: float) -> int:
        return sum(route.wish == self._usual and route.is_fresh(now) for route in self._circuits.routes)

    def _on_loss(self, route: Route) -> None:
        """A route ended by itself: both ends of the edge at which it broke are tried last for a while."""
        if route.circuit.rested or route.circuit.link.rested:
            self._spare_at = asyncio.get_running_loop().time() + SPARE_SECONDS  # the others rest in a moment, too
            if route.wish == self._usual and not self._has_usual():
                self._rested = route
            self._wake.set()
            self._changed()
            return
        now = asyncio.get_running_loop().time()
        early = now - route.made_at < STEADY_SECONDS
        if not early:
            self._attempts = 0
            for peer in route.path:
                self._failures.pop(peer.peer_id, None)
        if early or len(route.path) > 1:
            self._blame(route.edge(), RemoteError("lost"))
        self._wake.set()

    def _resolve(self, route: Route | None) -> None:
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.set_result(route)

    # --- building

    async def _learn(self) -> None:
        """Ask anew which peers there are."""
        peers = await asyncio.to_thread(self._peers, self._clock.now())
        self._known = [each if isinstance(each, Eligible) else joined(each) for each in peers]
        self._learnt_at = asyncio.get_running_loop().time()
        self._peer_count = len(usable(self._known, self._usual.hops, self._clock.now()))

    def _paths(self, peers: list[Eligible], wish: Wish) -> Iterator[list[Descriptor]]:
        allowed = self._guard_file.guards.allowed({each.descriptor.peer_id for each in peers}, time.time())
        return paths(
            peers,
            wish.hops,
            self._failures,
            now=asyncio.get_running_loop().time(),
            rng=self._rng,
            country=wish.country,
            guards=allowed if wish.hops > 1 else None,
        )

    async def _attempt(self, wish: Wish, beside: Route | None = None) -> Route | None:
        """Try several paths, as long as somebody needs a tunnel; ``beside``: a route to share only the guard with."""
        await self._learn()
        peers = usable(self._known, wish.hops, self._clock.now())
        tried: set[tuple[bytes, ...]] = set()
        used = {peer.peer_id for peer in beside.path[1:]} if beside else set()
        while len(tried) < MAX_PATHS and self._wanted():
            path = self._untried(peers, wish, tried, used)
            if path is None:
                break
            tried.add(_key(path))
            if not self._has_usual():
                self._enter(State.CONNECTING)
            route = await self._build(path, wish)
            if route is None:
                continue
            if not self._wanted():
                self._circuits.close_unused()
                return None
            if wish == self._usual:
                self._last_error = self._rested = None
            if wish == self._usual or not self._leases:
                self._enter(State.CONNECTED)
            return route
        if not tried and wish == self._usual and self._wanted() and not self._has_usual():
            self._enter(State.OFFLINE)
            if wish.country and self._without_country(peers, wish):
                self._fail(NO_EXIT_THERE)
            else:
                self._fail(TOO_FEW_PEERS if peers and wish.hops > 1 else NO_PEERS)
        return None

    def _without_country(self, peers: list[Eligible], wish: Wish) -> bool:
        """Whether only the country stands in the way."""
        return next(self._paths(peers, Wish(wish.hops)), None) is not None

    def _untried(
        self, peers: list[Eligible], wish: Wish, tried: set[tuple[bytes, ...]], used: set[bytes]
    ) -> list[Descriptor] | None:
        for path in self._paths(peers, wish):
            if _key(path) not in tried and used.isdisjoint(peer.peer_id for peer in path):
                return path
        return None

    async def _build(self, path: list[Descriptor], wish: Wish) -> Route | None:
        route, failed = None, None
        try:
            route = await self._circuits.build(path, wish)
        except BuildError as error:
            failed = error
        if wish.hops > 1:
            await self._guard_file.tried(path[0].peer_id, failed)
        if failed is not None:
            self._blame(failed.blamed, failed.reason)
        return route

    def _blame(self, peers: Sequence[Descriptor], error: RemoteError) -> None:
        now = asyncio.get_running_loop().time()
        for peer in peers:
            failure = self._failures.get(peer.peer_id)
            self._failures[peer.peer_id] = Failure(now, failure.count + 1 if failure else 1)
        if not self._has_usual():
            self._fail(explain(error))
        _log.info("a circuit failed: %s", type(error).__name__)

    # --- the view

    def _has_usual(self) -> bool:
        return any(route.wish == self._usual for route in self._circuits.routes)

    def view(self) -> TunnelView:
        """The present state."""
        circuits = self._circuits
        first = circuits.fit(self._usual, asyncio.get_running_loop().time())
        routes = sorted(circuits.routes, key=lambda route: route is not first)
        return TunnelView(
            state=self._state,
            since=self._since,
            peers=self._peer_count,
            streams=circuits.streams,
            leases=len(self._leases),
            routes=[route.hops() for route in routes or ([self._rested] if self._rested is not None else [])],
            traffic=circuits.traffic,
            attempts=self._reconnections,
            last_error=self._last_error,
            warning=PATH_BIAS if self._guard_file.guards.biased else None,
            resting=self._rested is not None,
        )

    def _enter(self, state: State) -> None:
        if state is not self._state:
            self._state, self._since = state, time.time()
        self._changed()

    def _fail(self, error: ErrorInfo) -> None:
        self._last_error = error
        self._changed()


def _key(path: list[Descriptor]) -> tuple[bytes, ...]:
    return tuple(peer.peer_id for peer in path)
