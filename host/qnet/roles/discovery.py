"""What a node knows of peers, from everywhere: directories, the network file, the peers joined by hand, the local net.

``peers`` and ``eligible_peers`` are asked from worker threads, by whoever builds a path. While the first query of a
network is under way they wait for it: what is on disk or in the file counts only where no directory answers.
"""

import logging
import random
import threading
import time
from collections.abc import Callable

import anyio

from qnet.mesh.eligibility import Eligible
from qnet.mesh.selection import backoff
from qnet.roles.directory_client import DISCOVERY_SECONDS, DirectoryClient, Found
from qnet.roles.peer_book import PeerBook
from qnet.wire import descriptor as descriptors
from qnet.wire.descriptor import Descriptor
from qnet.wire.network_file import NetworkFile

REFRESH_SECONDS = 30.0
QUIET_SECONDS = 3600.0
_random = random.SystemRandom()
_log = logging.getLogger(__name__)


class Discovery:
    """``book``: the peers joined by hand. ``changed`` is called whenever what is known has changed.

    ``use`` has to be called whenever the client comes into use.
    """

    def __init__(self, book: PeerBook, changed: Callable[[], None] = lambda: None) -> None:
        self.found = Found([], "", {})
        """What the last query gave."""
        self._book = book
        self._changed = changed
        self._network: NetworkFile | None = None
        self._near: dict[bytes, Eligible] = {}
        self._use = anyio.Event()
        self._settled = threading.Event()
        self._settled.set()

    # --- what is known

    def peers(self, now: float) -> list[Descriptor]:
        """Every peer that may be used; ``now`` in unix seconds. May wait for a query; not for the event loop."""
        return [each.descriptor for each in self.eligible_peers(now)]

    def eligible_peers(self, now: float) -> list[Eligible]:
        """The same with who vouches for each. A peer that a person joined by hand needs nobody's word."""
        self._settled.wait(DISCOVERY_SECONDS + 0.5)
        known = {each.descriptor.peer_id: each for each in self.found.peers}
        for near in tuple(self._near.values()):
            known.setdefault(near.descriptor.peer_id, near)
        invited = self._invited(now)
        for peer in (*invited, *self._book.peers(now)):
            have = known.get(peer.peer_id)
            if have is None:
                vouched = frozenset({self._network.founder}) if self._network and peer in invited else frozenset()
                known[peer.peer_id] = Eligible(peer, vouched, frozenset(), None)
            elif have.descriptor.issued < peer.issued:
                known[peer.peer_id] = Eligible(peer, have.endorsers, have.families, have.weight)
        return [each for each in known.values() if now < each.descriptor.expires]

    def operator(self, identity: bytes) -> Descriptor | None:
        """The newest descriptor known of an operator of the network; one that has expired rather than none."""
        newest = next((each.descriptor for each in self.found.peers if each.descriptor.identity == identity), None)
        network = self._network
        if network is not None:
            for data in (each.descriptor for each in network.operators):
                if descriptors.identity_of(data) == identity:
                    filed = descriptors.verify(data, network.issued)
                    newest = filed if newest is None or newest.issued < filed.issued else newest
        return newest

    def _invited(self, now: float) -> list[Descriptor]:
        """The network file's invite-only peers."""
        network = self._network
        if network is None:
            return []
        operators = network.operator_keys
        return [peer for peer in network.known_peers(now) if peer.identity not in operators]

    # --- finding out

    def join(self, network: NetworkFile | None, *, ask: bool) -> None:
        """Belong to ``network`` from now on; with ``ask``, ``run`` is about to query."""
        self._network = network
        self.found = Found([], "", {})
        self._near.clear()
        if network is not None and ask:
            self._settled.clear()
        else:
            self._settled.set()

    def settle(self) -> None:
        """There is no query to wait for any more."""
        self._settled.set()

    def use(self) -> None:
        """Somebody needs peers again."""
        self._use.set()

    def near(self, peer: Eligible) -> None:
        """A peer of the local network has shown itself."""
        self._near[peer.descriptor.peer_id] = peer
        self._changed()

    async def run(self, client: DirectoryClient, wanted: Callable[[], bool] | None) -> None:
        """Query, and again every 30 s while ``wanted``; a node without ``wanted`` asks once an hour."""
        attempt = 0
        try:
            while True:
                began = time.monotonic()
                found = await client.discover()
                self._take(found, time.monotonic() - began)
                answered = found.origin == "directory"
                attempt = 0 if answered else attempt + 1
                pause = QUIET_SECONDS if wanted is None else REFRESH_SECONDS
                await anyio.sleep(backoff(attempt, _random) if attempt else pause * _random.uniform(0.8, 1.2))
                if wanted is not None and not wanted():
                    self._use = anyio.Event()
                    await self._use.wait()
        finally:
            self.settle()

    def _take(self, found: Found, seconds: float) -> None:
        if found.peers or not self.found.peers:
            if found.origin != self.found.origin:
                _log.info("%d peers known in %.3f s, from: %s", len(found.peers), seconds, found.origin)
                for problem in sorted(set(found.problems.values())):
                    _log.info("a directory was of no use: %s", problem)
            self.found = found
        self.settle()
        self._changed()
