"""Resumption (RFC 8446 §2.2, §4.2.11): tickets kept as a browser keeps them, offered once each, and their binder.

pre_shared_key, always the last extension, with one identity::

    identities(2+n): identity(2+n) obfuscated_ticket_age(4)
    binders(2+n):    binder(1+n)

The binder covers the ClientHello up to its binders, session_id included; after a HelloRetryRequest also what came
before it. A ticket that permits early data is not kept: a browser would send some with it, and we never do.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from qnet.wire.tls import codes
from qnet.wire.tls.codec import vector
from qnet.wire.tls.hello import ClientHello, truncated_before_binders
from qnet.wire.tls.schedule import SUITES, KeySchedule, Suite
from qnet.wire.tls.session import SessionTicket

PER_SERVER = 2
"""Tickets kept of one server, the newest: as many as either browser keeps."""

SERVERS = 64
MAX_AGE = 24 * 3600
"""Seconds after which a ticket is not offered, whatever lifetime its server has given it."""

MAX_IDENTITY = 2048
"""Bytes of a ticket that is kept: a hello must fit into one record, and no browser's is much longer."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A ticket to resume with; ``age``: milliseconds since it came."""

    ticket: SessionTicket
    age: int

    @property
    def suite(self) -> Suite:
        """The suite whose hash the PSK belongs to."""
        return SUITES[self.ticket.cipher_suite]

    def extension(self, binder: bytes = b"") -> tuple[int, bytes]:
        """pre_shared_key; with a binder of zeros where none is given."""
        obfuscated = (self.age + self.ticket.age_add) & 0xFFFFFFFF
        identity = vector(2, self.ticket.identity) + obfuscated.to_bytes(4, "big")
        binders = vector(1, binder or bytes(self.suite.hash_length))
        return codes.PRE_SHARED_KEY, vector(2, identity) + vector(2, binders)

    def bind(self, hello: ClientHello, before: bytes = b"") -> ClientHello:
        """``hello`` with this offer as its last extension; ``before``: the transcript in front of it."""
        extensions = [pair for pair in hello.extensions if pair[0] != codes.PRE_SHARED_KEY]
        unbound = replace(hello, extensions=[*extensions, self.extension()])
        covered = self.suite.hash(before + truncated_before_binders(unbound.message()))
        binder = KeySchedule(self.suite, self.ticket.secret).binder(covered)
        return replace(hello, extensions=[*extensions, self.extension(binder)])


class Network(NamedTuple):
    """Where a connection leaves from: this machine's address, and what tells the router, if that is known."""

    local: str
    router: str


class TicketJar:
    """Tickets in memory, of at most 64 servers. ``now``: unix seconds.

    A ticket shown in another network would tell both that the same person came: so it is offered from the address at
    which it came only, and everything is thrown away behind another router, as browsers do when their network changes.
    """

    def __init__(self) -> None:
        self._place = ""
        self._kept: OrderedDict[Hashable, list[tuple[float, SessionTicket]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._kept.values()))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def keep(self, server: Hashable, tickets: Iterable[SessionTicket], network: Network, now: float) -> None:
        """Remember the tickets that ``server`` gave on ``network``."""
        fresh = [(now, each) for each in tickets if not each.early_data and len(each.identity) <= MAX_IDENTITY]
        if not fresh:
            return
        self._enter(network)
        place = server, network.local
        self._kept[place] = (self._kept.pop(place, []) + fresh)[-PER_SERVER:]
        if len(self._kept) > SERVERS:
            self._kept.popitem(last=False)

    def take(self, server: Hashable, network: Network, now: float) -> Offer | None:
        """The newest good ticket of ``server``, which is then used up; None if there is none."""
        self._enter(network)
        place = server, network.local
        kept = self._kept.pop(place, [])
        while kept:
            came, ticket = kept.pop()
            if 0 <= now - came < min(ticket.lifetime, MAX_AGE):
                if kept:
                    self._kept[place] = kept
                return Offer(ticket, int((now - came) * 1000))
        return None

    def _enter(self, network: Network) -> None:
        place = network.router or network.local
        if place != self._place:
            self._place = place
            self._kept.clear()
