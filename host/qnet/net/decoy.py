"""What a peer must know of its decoy before it can stand in front of it: measured by being its client.

After a client's Finished a decoy sends records of its own (session tickets, SETTINGS). A peer whose first record
overtook them could be told apart, so it waits for as many bytes as the decoy is seen to send at least.
"""

import asyncio
import os
import time
from dataclasses import dataclass

from qnet.net.client_link import Disguise
from qnet.net.handshake import dialled
from qnet.wire.errors import LocalError, RemoteError
from qnet.wire.steps import Done
from qnet.wire.tls.client import TlsClient
from qnet.wire.tls.errors import CertificateError
from qnet.wire.tls.session import TlsSession
from qnet.wire.tls.verify import ChainVerifier

ATTEMPTS = 3
QUIET_SECONDS = 0.3
CONNECT_SECONDS = 10.0
_APPLICATION_DATA = 23


class DecoyError(LocalError):
    """The decoy cannot be used."""

    code = "decoy"
    exit_code = 69


@dataclass(frozen=True, slots=True)
class Calibration:
    """``quiet_after``: fewest bytes seen between the client's Finished and the first silence."""

    quiet_after: int


async def calibrate(address: tuple[str, int], server_name: str, disguise: Disguise) -> Calibration:
    """Measure the decoy; raises ``DecoyError``, which says what is wrong with it."""
    counts = [await _post_handshake_bytes(address, server_name, disguise) for _ in range(ATTEMPTS)]
    return Calibration(min(counts))


async def _post_handshake_bytes(address: tuple[str, int], server_name: str, disguise: Disguise) -> int:
    try:
        draft = disguise.template.build(server_name, os.urandom)
        draft.hello.session_id = os.urandom(32)
        core = TlsClient(draft, ChainVerifier(disguise.roots, time.time()), os.urandom)
        async with dialled(core, address, CONNECT_SECONDS) as (transport, done):
            return await _count(transport, done, disguise)
    except OSError:
        raise DecoyError("the decoy does not answer", "check --decoy and that the site is up") from None
    except ValueError:
        raise DecoyError("the decoy's name is not one of a host", "correct --decoy") from None
    except CertificateError as error:
        raise DecoyError(f"the decoy's certificate is refused: {error}", "choose a site with a valid one") from None
    except RemoteError as error:
        raise DecoyError(f"no TLS 1.3 with the decoy: {error}", "choose a site that speaks TLS 1.3") from None


async def _count(transport: asyncio.Transport, done: Done[TlsSession], disguise: Disguise) -> int:
    try:
        if done.result.alpn != b"h2":
            raise DecoyError("the decoy does not speak HTTP/2", "choose a site that does")
        counter = _Counter(len(done.trailing))
        transport.set_protocol(counter)
        transport.resume_reading()
        transport.write(done.result.flight + done.result.seal(_APPLICATION_DATA, disguise.look.preface()))
        async with asyncio.timeout(CONNECT_SECONDS):
            return await counter.total()
    finally:
        transport.abort()


class _Counter(asyncio.Protocol):
    def __init__(self, count: int) -> None:
        self._count = count
        self._ended = False

    def data_received(self, data: bytes) -> None:
        self._count += len(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True

    async def total(self) -> int:
        """Bytes received until nothing came for a while; the first ones are waited for, since a server must speak."""
        seen = 0
        while not self._ended and (not self._count or seen != self._count):
            seen = self._count
            await asyncio.sleep(QUIET_SECONDS)
        if not self._count:
            raise DecoyError("the decoy closes after the handshake", "choose another site")
        return self._count
