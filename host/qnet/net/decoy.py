"""What a peer must know of its decoy before it can stand in front of it: measured by being its client.

After a client's Finished a decoy sends records of its own (session tickets, SETTINGS). A peer whose first record
overtook them could be told apart, so it waits for as many bytes as the decoy is seen to send at least.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from typing import NamedTuple

from qnet.net.client_link import Disguise
from qnet.net.handshake import dialled
from qnet.wire.channel import MIN_BODY
from qnet.wire.cover.appearance import request
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.steps import Done
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.errors import CertificateError
from qnet.wire.tls.record import HEADER, RecordReader
from qnet.wire.tls.session import SessionTicket, TlsSession
from qnet.wire.tls.tickets import Offer
from qnet.wire.tls.verify import ChainVerifier

ATTEMPTS = 3
QUIET_SECONDS = 0.3
CONNECT_SECONDS = 10.0
IDLE_LIMIT = 600.0
LEAST_IDLE = 40.0
"""Seconds: what is in use says something every half minute; a decoy that waits less long is not imitated in this."""
_TOGETHER = 1.0
_HANDSHAKE, _APPLICATION_DATA = 22, 23


class DecoyError(LocalError):
    """The decoy cannot be used."""

    code = "decoy"
    exit_code = 69


@dataclass(frozen=True, slots=True)
class Parting:
    """How a connection that nobody uses ends: after so many ``seconds``, with record bodies of these ``sizes``, FIN."""

    seconds: float
    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fewest bytes seen between the client's Finished and the first silence, after full and resumed handshakes."""

    quiet_after: int
    quiet_after_resumed: int


async def calibrate(address: tuple[str, int], server_name: str, disguise: Disguise) -> Calibration:
    """Measure the decoy; raises ``DecoyError``, which says what is wrong with it."""
    full = [await _visit(address, server_name, disguise) for _ in range(ATTEMPTS)]
    offers = [Offer(ticket, 0) for visit in full for ticket in visit.tickets[-1:]]
    resumed = [await _visit(address, server_name, disguise, offer) for offer in offers]
    least = min(visit.size for visit in full)
    # Who was never seen to resume will not; whatever figure stands for it then is not used.
    return Calibration(least, min((visit.size for visit in resumed if visit.resumed), default=least))


async def idle_end(address: tuple[str, int], server_name: str, disguise: Disguise) -> Parting | None:
    """How the decoy ends a connection on which one request was answered and nothing followed; None if it does not.

    Takes as long as the decoy does, ten minutes at most. Raises ``DecoyError``.
    """
    loop = asyncio.get_running_loop()

    def begin(_: asyncio.Transport) -> TlsClient:
        draft = disguise.template.build(server_name, os.urandom)
        draft.hello.session_id = os.urandom(32)
        return TlsClient(draft, ChainVerifier(disguise.roots, time.time()), os.urandom)

    try:
        async with dialled(begin, address, CONNECT_SECONDS) as (transport, done):
            session, look = done.result, disguise.look
            watcher = _Watcher(loop, done.trailing)
            transport.set_protocol(watcher)
            transport.resume_reading()
            transport.write(session.flight + session.seal(_APPLICATION_DATA, look.preface()))
            transport.write(session.seal(_APPLICATION_DATA, request(server_name), look.request_body(server_name)))
            try:
                async with asyncio.timeout(IDLE_LIMIT):
                    await watcher.ended
            finally:
                transport.abort()
    except (OSError, RemoteError):
        return None
    return watcher.parting()


class _Watcher(asyncio.Protocol):
    """Notes when which records came."""

    def __init__(self, loop: asyncio.AbstractEventLoop, heard: bytes) -> None:
        self._loop = loop
        self._records = RecordReader()
        self._seen: list[tuple[float, int]] = []
        self.ended: asyncio.Future[None] = loop.create_future()
        self.data_received(heard)

    def data_received(self, data: bytes) -> None:
        self._records.feed(data)
        while (record := self._records.next()) is not None:
            self._seen.append((self._loop.time(), len(record) - HEADER))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def parting(self) -> Parting | None:
        """The last records before the end, if they came together and after a silence."""
        if not self._seen:
            return None
        end = self._seen[-1][0]
        sizes = tuple(size for at, size in self._seen if end - at < _TOGETHER)
        before = max((at for at, _ in self._seen if end - at >= _TOGETHER), default=end)
        return Parting(end - before, sizes) if end - before >= LEAST_IDLE and sizes[0] >= MIN_BODY else None


class _Visit(NamedTuple):
    size: int
    resumed: bool
    tickets: list[SessionTicket]


async def _visit(address: tuple[str, int], server_name: str, disguise: Disguise, offer: Offer | None = None) -> _Visit:
    def begin(_: asyncio.Transport) -> TlsClient:
        draft = disguise.template.build(server_name, os.urandom, offer)
        draft.hello.session_id = os.urandom(32)
        return TlsClient(draft, ChainVerifier(disguise.roots, time.time()), os.urandom)

    try:
        async with dialled(begin, address, CONNECT_SECONDS) as (transport, done):
            said = await _said(transport, done, disguise)
            return _Visit(len(said), done.result.resumed, _tickets(done.result, said))
    except OSError:
        raise DecoyError("the decoy does not answer", "check --decoy and that the site is up") from None
    except ValueError:
        raise DecoyError("the decoy's name is not one of a host", "correct --decoy") from None
    except CertificateError as error:
        raise DecoyError(f"the decoy's certificate is refused: {error}", "choose a site with a valid one") from None
    except RemoteError as error:
        raise DecoyError(f"no TLS 1.3 with the decoy: {error}", "choose a site that speaks TLS 1.3") from None


def _tickets(session: TlsSession, said: bytes) -> list[SessionTicket]:
    """The tickets among a decoy's records; raises ``TlsError``."""
    records = RecordReader()
    records.feed(said)
    while (record := records.next()) is not None:
        kind, content = session.open_record(record)
        if kind == _HANDSHAKE:
            session.receive_handshake(content)
    return session.tickets


async def _said(transport: asyncio.Transport, done: Done[TlsSession], disguise: Disguise) -> bytes:
    try:
        if done.result.alpn != b"h2":
            raise DecoyError("the decoy does not speak HTTP/2", "choose a site that does")
        listener = _Listener(done.trailing)
        transport.set_protocol(listener)
        transport.resume_reading()
        transport.write(done.result.flight + done.result.seal(_APPLICATION_DATA, disguise.look.preface()))
        async with asyncio.timeout(CONNECT_SECONDS):
            return await listener.all()
    finally:
        transport.abort()


class _Listener(asyncio.Protocol):
    def __init__(self, heard: bytes) -> None:
        self._heard = bytearray(heard)
        self._ended = False

    def data_received(self, data: bytes) -> None:
        self._heard += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True

    async def all(self) -> bytes:
        """What comes until nothing does for a while; the first of it is waited for, since a server must speak."""
        seen = 0
        while not self._ended and (not self._heard or seen != len(self._heard)):
            seen = len(self._heard)
            await asyncio.sleep(QUIET_SECONDS)
        if not self._heard:
            raise DecoyError("the decoy closes after the handshake", "choose another site")
        return bytes(self._heard)
