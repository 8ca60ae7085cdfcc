"""Names to addresses, and connections to exactly the addresses that were checked."""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from qnet.wire.frames import Reset

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0

_REASONS = {
    errno.ECONNREFUSED: Reset.REFUSED,
    errno.ETIMEDOUT: Reset.TIMEOUT,
}


class DialError(Exception):
    """No connection; ``code`` says why in the words of a stream's reset."""

    def __init__(self, code: Reset) -> None:
        super().__init__(code.name)
        self.code = code


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of ``host``, in the system's order of preference; raises ``DialError``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(RESOLVE_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise DialError(Reset.TIMEOUT) from None
    except (OSError, ValueError):
        raise DialError(Reset.NAME_NOT_FOUND) from None
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def own_among(addresses: Sequence[str]) -> frozenset[str]:
    """Those of ``addresses`` that are this machine's own: the system would reach them from themselves. Sends nothing.

    Asked anew each time, because interfaces come and go.
    """
    return frozenset(address for address in addresses if _source(address) == address)


def _source(address: str) -> str | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((address, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None  # no route: a connection will say so


async def connect(factory: Callable[[], asyncio.BaseProtocol], addresses: Sequence[str], port: int) -> None:
    """Connect ``factory``'s protocol to the first address that answers; raises ``DialError``."""
    loop = asyncio.get_running_loop()
    code = Reset.UNREACHABLE
    for address in addresses:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await loop.create_connection(factory, address, port)
        except TimeoutError:
            code = Reset.TIMEOUT
        except OSError as error:
            code = _REASONS.get(error.errno or 0, Reset.UNREACHABLE)
        else:
            return
    raise DialError(code)
