"""Names to addresses for an exit: asynchronous, with a bounded memory that keeps to the answers' TTL.

The system's own resolver has neither: it holds a thread for each name, so a few names whose servers never answer would
stop everybody's. What is remembered is checked again at each use, like any other answer.

Not asked in the DNS: addresses in whatever spelling the system reads, ``localhost`` (RFC 6761), names that are
resolved elsewhere or nowhere. No search list: what a stranger asks for is a full name.
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from qnet.net.dial import OUT_OF_FILES, RESOLVE_SECONDS, DialError, OutOfFilesError
from qnet.wire.frames import Reset

TRY_SECONDS = 3.0
SECOND_FAMILY_SECONDS = 0.3
"""How long the other family's answer is waited for when one has come. RFC 8305 (3) says 50 ms for speed; here the
second answer is also looked at to tell a name that points inside as well."""
MAX_NAMES = 4096
MAX_TTL = 300.0
MAX_ADDRESSES = 16
"""Addresses kept of one answer."""
CONFIGURATION_SECONDS = 60.0
"""The system's name servers are read anew after this time: they change when the network does."""
_LOOPBACK = ["127.0.0.1", "::1"]
_NOT_IN_DNS = frozenset(("invalid", "local", "onion", "alt", "qnet"))
_NEVER = frozenset(" \\")
"""Characters that a DNS name's text form gives a meaning of its own."""
_FAMILIES = (dns.rdatatype.AAAA, dns.rdatatype.A)

Answer = tuple[list[str], float]
"""Addresses, and until when they may be used (the resolver's clock)."""


class Resolver:
    """``servers``: (address, port) of name servers; by default the system's."""

    def __init__(
        self, servers: list[tuple[str, int]] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._servers = servers
        self._clock = clock
        self._known: OrderedDict[str, Answer] = OrderedDict()
        self._backend = dns.asyncbackend.get_backend("asyncio")
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._configured = 0.0

    async def addresses(self, host: str) -> list[str]:
        """The addresses of ``host``, IPv6 first, each once; raises ``DialError``."""
        name = host.lower().removesuffix(".")
        if not name:
            raise DialError(Reset.NAME_NOT_FOUND)
        if numeric := _numeric(name):
            return numeric
        last = name.rpartition(".")[2]
        if last == "localhost":
            return _LOOPBACK
        if last in _NOT_IN_DNS or not name.isprintable() or set(name) & _NEVER:
            raise DialError(Reset.NAME_NOT_FOUND)
        now = self._clock()
        known = self._known.get(name)
        if known is not None and now < known[1]:
            self._known.move_to_end(name)
            return known[0]
        found, until = await self._ask(name)
        if self._clock() < until:
            self._known[name] = found, until
            self._known.move_to_end(name)
            if len(self._known) > MAX_NAMES:
                self._known.popitem(last=False)
        return found

    async def _ask(self, name: str) -> Answer:
        try:
            absolute = dns.name.from_text(name)
            resolver = self._configuration()
        except (dns.exception.DNSException, ValueError):
            raise DialError(Reset.NAME_NOT_FOUND) from None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._family(resolver, absolute, kind)) for kind in _FAMILIES]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if any(task.done() and isinstance(task.result(), tuple) for task in tasks):
                await asyncio.wait(tasks, timeout=SECOND_FAMILY_SECONDS)
            else:
                await asyncio.wait(tasks)
            for task in tasks:
                task.cancel()
        outcomes = [task.result() for task in tasks if not task.cancelled()]
        answers = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
        if not answers:
            raise next((each for each in outcomes if isinstance(each, OutOfFilesError)), outcomes[-1])  # type: ignore[misc]
        addresses = list(dict.fromkeys(address for found, _ in answers for address in found))
        return addresses, min(until for _, until in answers)

    async def _family(
        self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> Answer | DialError:
        try:
            answer = await resolver.resolve(name, kind, search=False, backend=self._backend)
        except dns.exception.DNSException as error:
            if any(isinstance(each[3], OSError) and each[3].errno in OUT_OF_FILES for each in _attempts(error)):
                return OutOfFilesError()
            return DialError(Reset.TIMEOUT if isinstance(error, dns.exception.Timeout) else Reset.NAME_NOT_FOUND)
        found = [record.address for record in answer][:MAX_ADDRESSES]
        ttl = min(max(answer.expiration - time.time(), 0.0), MAX_TTL)
        return found, self._clock() + ttl

    def _configuration(self) -> dns.asyncresolver.Resolver:
        """The name servers to ask; raises ``DNSException`` where the system has none."""
        now = self._clock()
        if self._resolver is None or (self._servers is None and now - self._configured > CONFIGURATION_SECONDS):
            made = dns.asyncresolver.Resolver(configure=self._servers is None)
            if self._servers is not None:
                made.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in self._servers]
            made.lifetime, made.timeout = RESOLVE_SECONDS, TRY_SECONDS
            self._resolver, self._configured = made, now
        return self._resolver


def _attempts(error: dns.exception.DNSException) -> list[dns.resolver.ErrorTuple]:
    """What happened at each name server, of an error that tells it."""
    return list(error.kwargs.get("errors", ()))


def _numeric(host: str) -> list[str]:
    """The address that ``host`` spells, in any way that the system reads: decimal, octal, hexadecimal, short."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return []
    return [str(entry[4][0]) for entry in found]
