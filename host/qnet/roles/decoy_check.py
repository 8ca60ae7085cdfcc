"""Measures what ``mesh.decoy`` judges: a site as a browser, a resolver and an observer see it.

Everything is bounded in time; what cannot be measured stays unknown. Nothing of ours is said to the site.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.svcbbase
import dns.resolver
import h11
from cryptography.hazmat.primitives.serialization import Encoding

from qnet.mesh.decoy import Measured
from qnet.net.client_link import Disguise
from qnet.net.dial import DialError, own_among
from qnet.net.handshake import dialled
from qnet.net.resolver import Resolver
from qnet.wire.cover import appearance
from qnet.wire.errors import RemoteError
from qnet.wire.steps import Done, Handshake, Receive, Send
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.record import RecordReader
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.verify import ChainVerifier

T = TypeVar("T")
CONNECT_SECONDS = 10.0
DNS_SECONDS = 5.0
ROUND_TRIPS = 3
QUIET_SECONDS = 0.5
"""A server that has said nothing for so long after its handshake has said its tickets and settings."""
HEAD_LIMIT = 65536
_HANDSHAKE, _APPLICATION_DATA = 22, 23


@dataclass(frozen=True, slots=True)
class Site:
    """``address``: where to connect, if not where the name leads."""

    name: str
    port: int = 443
    address: str = ""


@dataclass(frozen=True, slots=True)
class Means:
    """With what to measure. ``servers``: name servers, the system's by default; ``here``: where the peer is reached,
    this machine's own among the site's addresses by default.

    ``idle``: seconds for which to be silent, 0 not at all. ``port_80``: where plain HTTP should be.
    """

    disguise: Disguise
    servers: Sequence[tuple[str, int]] | None = None
    here: Sequence[str] = ()
    idle: float = 0.0
    port_80: int = 80


async def measure(site: Site, means: Means) -> Measured:
    """Everything about one site."""
    addresses, (ech, dns_http3) = await asyncio.gather(_addresses(site, means), _https_record(site, means))
    here = means.here or sorted(own_among(addresses))
    seen = Measured(addresses=addresses, here=here, ech=ech, dns_http3=dns_http3)
    address = site.address or next(iter(addresses), "")
    if not address:
        return seen
    seen = replace(seen, round_trip=await _round_trip(address, site.port))
    seen = await _visit(seen, site, address, means)
    return replace(
        seen,
        port_80=await _round_trip(address, means.port_80, tries=1) is not None,
        alt_svc=None if seen.refused else await _alt_svc(site, address, means),
    )


# --- the DNS


async def _addresses(site: Site, means: Means) -> list[str]:
    resolver = Resolver(list(means.servers) if means.servers is not None else None)
    with suppress(DialError):
        return await resolver.addresses(site.name)
    return []


async def _https_record(site: Site, means: Means) -> tuple[bool | None, bool | None]:
    """Whether the HTTPS record offers ECH, and HTTP/3; unknown where the DNS does not answer."""
    try:
        resolver = dns.asyncresolver.Resolver(configure=means.servers is None)
        if means.servers is not None:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(*server) for server in means.servers]
        resolver.lifetime = DNS_SECONDS
        answer = await resolver.resolve(site.name, dns.rdatatype.HTTPS, search=False)
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        return False, False
    except (dns.exception.DNSException, OSError, ValueError):
        return None, None
    ech = http3 = False
    for record in answer:
        ech = ech or dns.rdtypes.svcbbase.ParamKey.ECH in record.params
        alpn = record.params.get(dns.rdtypes.svcbbase.ParamKey.ALPN)
        http3 = http3 or (alpn is not None and any(each.startswith(b"h3") for each in alpn.ids))
    return ech, http3


# --- connections


async def _round_trip(address: str, port: int, tries: int = ROUND_TRIPS) -> float | None:
    """The least of ``tries`` times that connecting took, in seconds; None if it did not."""
    loop, best = asyncio.get_running_loop(), None
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(tries):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            began = time.perf_counter()
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await loop.sock_connect(probe, (address, port))
            except OSError:
                return None
            took = time.perf_counter() - began
            best = took if best is None else min(best, took)
    return best


class _Watched:
    """A handshake core of which is counted what arrives and how often it speaks."""

    def __init__(self, core: Handshake[TlsSession]) -> None:
        self._core = core
        self.received = self.sent = 0

    def step(self, received: bytes) -> Send | Receive | Done[TlsSession]:
        self.received += len(received)
        step = self._core.step(received)
        if isinstance(step, Send):
            self.sent += 1
        return step


async def _visit(seen: Measured, site: Site, address: str, means: Means) -> Measured:
    """One visit as a browser makes it."""
    watched: list[_Watched] = []

    def begin(_: asyncio.Transport) -> _Watched:
        draft = means.disguise.template.build(site.name, os.urandom)
        draft.hello.session_id = os.urandom(32)
        verifier = ChainVerifier(means.disguise.roots, time.time())
        watched.append(_Watched(TlsClient(draft, verifier, os.urandom)))
        return watched[-1]

    try:
        async with dialled(begin, (address, site.port), CONNECT_SECONDS) as (transport, done):
            session = done.result
            http2 = session.alpn == b"h2"
            seen = replace(
                seen,
                refused="",
                group=session.group,
                retried=watched[-1].sent > 1,
                flight=watched[-1].received - len(done.trailing),
                certificate=sum(len(each.public_bytes(Encoding.DER)) for each in session.certificates),
                http2=http2,
            )
            try:
                return await _listen(seen, transport, done, site, means)
            finally:
                transport.abort()
    except (OSError, TimeoutError):
        return replace(seen, refused="it does not answer")
    except (RemoteError, ValueError) as error:
        return replace(seen, refused=str(error))


async def _listen(
    seen: Measured, transport: asyncio.Transport, done: Done[TlsSession], site: Site, means: Means
) -> Measured:
    """Ask for the page, count the tickets, and be silent until the site closes."""
    session, listener = done.result, _Listener(done.trailing)
    transport.set_protocol(listener)
    transport.resume_reading()
    began = time.monotonic()
    transport.write(session.flight)
    if seen.http2:
        transport.write(session.seal(_APPLICATION_DATA, means.disguise.look.preface()))
        transport.write(session.seal(_APPLICATION_DATA, appearance.request(site.name)))
    await listener.quiet()
    seen = replace(seen, tickets=_tickets(session, bytes(listener.heard)))
    if means.idle:
        left = began + means.idle - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, left)):
                await listener.ended.wait()
        waited = time.monotonic() - began
        seen = replace(seen, waited=waited, idle=waited if listener.ended.is_set() else None)
    return seen


def _tickets(session: TlsSession, heard: bytes) -> int:
    records = RecordReader()
    records.feed(heard)
    while (record := records.next()) is not None:
        kind, content = session.open_record(record)
        if kind == _HANDSHAKE:
            session.receive_handshake(content)
    return len(session.tickets)


class _Listener(asyncio.Protocol):
    """Keeps what comes first, and tells when it is over."""

    def __init__(self, heard: bytes) -> None:
        self.heard = bytearray(heard)
        self.ended = asyncio.Event()
        self._count = 0

    def data_received(self, data: bytes) -> None:
        self._count += 1
        if len(self.heard) < HEAD_LIMIT:
            self.heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    async def quiet(self) -> None:
        """Until nothing comes any more; bounded, whatever the site sends."""
        before = -1
        with suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_SECONDS):
                while not self.ended.is_set() and self._count != before:
                    before = self._count
                    await asyncio.sleep(QUIET_SECONDS)


async def _alt_svc(site: Site, address: str, means: Means) -> str | None:
    """The Alt-Svc header of the site's first page, empty if there is none; None if it does not answer."""
    context = ssl.create_default_context()
    roots = b"".join(root.public_bytes(Encoding.PEM) for root in means.disguise.roots)
    context.load_verify_locations(cadata=roots.decode("ascii"))
    asking = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
    head = asking.send(
        h11.Request(method="GET", target="/", headers=[("Host", site.name), ("Connection", "close"), ("Accept", "*/*")])
    )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                address, site.port, ssl=context, server_hostname=site.name, limit=HEAD_LIMIT
            )
            try:
                writer.write(head or b"")
                while (event := asking.next_event()) is h11.NEED_DATA:
                    asking.receive_data(await reader.read(4096))
            finally:
                writer.transport.abort()
    except (OSError, h11.ProtocolError, ValueError):
        return None
    if not isinstance(event, h11.Response):
        return None
    return ", ".join(value.decode("latin-1") for name, value in event.headers if name == b"alt-svc")
