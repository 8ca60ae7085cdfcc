"""The client's circuits: built on links that they share, reused, and taken down when they have served.

One link leads to each first hop and carries all the circuits through it, so that an observer counts as few
connections to a decoy as a browser would make. A circuit takes new streams for ten minutes or 1 GiB; at one hop it
takes them for good, because every further exit would learn both ends.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qnet.net.channel import Channel
from qnet.net.circuit import Circuit
from qnet.net.client_link import Disguise, connect, peer_keys, places
from qnet.net.link import Link
from qnet.net.stream import StreamSocket
from qnet.roles.visits import Visits
from qnet.wire.descriptor import Descriptor
from qnet.wire.errors import RemoteError
from qnet.wire.events import Extend, Reserve, StreamOpen
from qnet.wire.messages import Hop, Traffic
from qnet.wire.scratch import Scratch

ROTATE_SECONDS = 600.0
ROTATE_BYTES = 1 << 30
STILL_SECONDS = 5.0
"""How long a browser's streams may be silent once a person has disconnected: downloads go on, what is kept ends."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a route must be: its length, and where its exit is unless anywhere."""

    hops: int
    country: str = ""

    def is_met_by(self, path: Sequence[Descriptor]) -> bool:
        return len(path) == self.hops and (not self.country or path[-1].country == self.country)


class BuildError(RemoteError):
    """A circuit was not made. ``blamed``: the peer, or the two ends of the edge, at which it broke off."""

    def __init__(self, reason: RemoteError, blamed: Sequence[Descriptor]) -> None:
        super().__init__(str(reason))
        self.reason = reason
        self.blamed = blamed


@dataclass(slots=True, eq=False)
class Route:
    """A circuit with the peers it goes through. Times in seconds of the event loop's clock."""

    circuit: Circuit
    path: list[Descriptor]
    wish: Wish
    made_at: float
    used_at: float
    moved_at: float
    """When it was last seen that its streams had said something, ``carried`` bytes by then."""
    carried: int = 0
    lasting: bool = False
    """Whether a program has used it, for which nobody connects or disconnects."""

    def is_fresh(self, now: float) -> bool:
        """Whether new streams may still go here."""
        if len(self.path) == 1:
            return True
        return now - self.made_at < ROTATE_SECONDS and self.circuit.carried < ROTATE_BYTES

    def edge(self) -> list[Descriptor]:
        """Who is to blame for its end: both ends of the edge at which it broke, the first hop for the link."""
        if self.circuit.link.closed:
            return self.path[:1]
        return self.path[self.circuit.broke_at :][:2]

    def hops(self) -> list[Hop]:
        return [Hop(nickname=peer.nickname, country=peer.country, exit=peer is self.path[-1]) for peer in self.path]


class Circuits:
    """The ``LinkOwner`` of a client's links. ``lost`` is called with a route that ended by itself.

    ``visits``: what happens on links on which nothing happens.
    """

    def __init__(self, disguise: Disguise, scratch: Scratch, lost: Callable[[Route], None], visits: Visits) -> None:
        self._disguise = disguise
        self._visits = visits
        self._scratch = scratch
        self._lost = lost
        self.routes: list[Route] = []
        self._links: dict[bytes, Link] = {}
        self._dialling: dict[bytes, asyncio.Task[Link]] = {}
        self._building: Counter[Link] = Counter()
        self._up = self._down = 0

    # --- use

    def fit(self, wish: Wish, now: float) -> Route | None:
        """A route for a new stream: the oldest that is fresh, so that a spare stays one, else the youngest."""
        usable = [route for route in self.routes if wish.is_met_by(route.path) and route.circuit.has_room()]
        own = [route for route in usable if route.wish == wish]
        if not wish.country:
            usable = own  # a rule's country must not decide where everything else goes
        fresh = [route for route in usable if route.is_fresh(now)]
        return next(iter(fresh[::-1] or usable), None)

    def open(self, route: Route, host: str, port: int, *, lasting: bool) -> StreamSocket:
        """A stream to ``host``:``port``, not opened yet; ``lasting``: for a program."""
        route.used_at = route.moved_at = asyncio.get_running_loop().time()
        route.lasting = route.lasting or lasting
        return route.circuit.open(host, port)

    @property
    def streams(self) -> int:
        """Streams whose sockets are not finished."""
        return sum(link.streams for link in self._links.values())

    @property
    def traffic(self) -> Traffic:
        """Since the start."""
        links = self._links.values()
        return Traffic(
            up=self._up + sum(link.bytes_up for link in links), down=self._down + sum(link.bytes_down for link in links)
        )

    # --- build

    async def build(self, path: list[Descriptor], wish: Wish) -> Route:
        """A new circuit through ``path``; raises ``BuildError``."""
        try:
            link = await self._link(path[0])
        except RemoteError as error:
            raise BuildError(error, path[:1]) from None
        circuit = Circuit(link)
        self._building[link] += 1
        blamed = path[:1]
        try:
            for before, peer in pairwise(path):
                blamed = [before, peer]
                await circuit.extend(peer.signed, peer_keys(peer))
            if circuit.closed or link.closed:
                raise RemoteError("lost while it was built")
        except BaseException as error:
            circuit.close()
            if isinstance(error, RemoteError):
                raise BuildError(error, blamed) from None
            raise
        finally:
            self._building[link] -= 1
        circuit.finish()
        now = asyncio.get_running_loop().time()
        route = Route(circuit, path, wish, now, now, now)
        circuit.on_end = lambda: self._ended(route)
        self.routes.insert(0, route)
        return route

    async def _link(self, peer: Descriptor) -> Link:
        """The link to ``peer``, made if there is none; raises ``RemoteError``."""
        link = self._links.get(peer.peer_id)
        if link is not None and link.channel.session.has_circuit_room():
            return link
        dialling = self._dialling.get(peer.peer_id)
        if dialling is None:
            dialling = asyncio.get_running_loop().create_task(self._dial(peer))
            self._dialling[peer.peer_id] = dialling
            dialling.add_done_callback(lambda task: self._dialled(peer, task))
        return await asyncio.shield(dialling)

    async def _dial(self, peer: Descriptor) -> Link:
        return await connect(places(peer), peer_keys(peer), self._disguise, self._scratch, self)

    def _dialled(self, peer: Descriptor, task: "asyncio.Task[Link]") -> None:
        del self._dialling[peer.peer_id]
        if task.cancelled() or task.exception() is not None or task.result().closed:
            return
        former = self._links.get(peer.peer_id)
        if former is not None:
            # It has no number left for another circuit: what is on it may end, and it with that.
            self._links[b"former" + peer.peer_id] = former
        self._links[peer.peer_id] = task.result()

    # --- the end

    def tidy(self, now: float, idle: float, keep: Wish | None, left_at: float) -> None:
        """Close what nobody uses. ``idle``: seconds without a stream. ``keep``: a wish that somebody has all the time:
        two routes that meet it stay, one in use and one to spare. ``left_at``: since when what is not a program's ends
        as soon as it stands still; infinity for never.
        """
        kept = 0
        replaced = any(route.wish == keep and route.is_fresh(now) for route in self.routes)
        for route in list(self.routes):
            if route.circuit.carried != route.carried:
                route.carried, route.moved_at = route.circuit.carried, now
            if not route.lasting and now - max(route.moved_at, left_at) >= STILL_SECONDS:
                self.close(route)
            elif route.circuit.streams:
                route.used_at = now
            elif route.wish == keep and kept < 2 and (route.is_fresh(now) or not replaced):
                kept += 1
            elif not route.is_fresh(now) or now - route.used_at >= idle:
                self.close(route)
        self._close_links()
        self._visits.look(self._links.values(), now)

    def _close_links(self) -> None:
        used = {route.circuit.link for route in self.routes}
        for link in list(self._links.values()):
            if link not in used and not self._building[link]:
                link.close("nobody needs it")
            else:
                link.tidy(asyncio.get_running_loop().time())

    def close(self, route: Route) -> None:
        """Take a circuit down; its link and the others on it stay."""
        self.routes.remove(route)
        route.circuit.close()

    def close_unused(self) -> None:
        """Take down every circuit without streams, and the links that are left without any."""
        for route in list(self.routes):
            if not route.circuit.streams:
                self.close(route)
        self._close_links()

    def close_all(self, reason: str) -> None:
        """End everything."""
        for task in list(self._dialling.values()):
            task.cancel()
        self.routes.clear()
        for link in list(self._links.values()):
            link.close(reason)

    def _ended(self, route: Route) -> None:
        if route in self.routes:
            self.routes.remove(route)
            self._lost(route)

    # --- LinkOwner

    def stream_opened_by_client(self, channel: Channel, event: StreamOpen) -> None:
        """A peer cannot open streams at a client; the session refuses before this."""

    def circuit_extended_by_client(self, channel: Channel, event: Extend) -> None:
        """Nor can it extend a circuit."""

    def reservation_asked(self, channel: Channel, event: Reserve) -> None:
        """The session refuses before this."""

    def link_closed(self, link: Link, reason: str) -> None:
        """The link and its circuits are gone."""
        _log.info("a link ended: %s", reason)
        self._links = {key: each for key, each in self._links.items() if each is not link}
        self._up += link.bytes_up
        self._down += link.bytes_down
        del self._building[link]
