"""Names to addresses, and connections to exactly the addresses that were checked.

Connections are made as RFC 8305 (Happy Eyeballs) says: the families take turns, and the next attempt starts when the
one before has failed or 250 ms have passed. What is dialled is what the caller gives; nothing is resolved here.
"""

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence

from aiohappyeyeballs import start_connection
from aiohappyeyeballs.types import AddrInfoType

from qnet.wire.frames import Reset

RESOLVE_SECONDS = 10.0
CONNECT_SECONDS = 10.0
ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried beside the one before (RFC 8305, 5: the recommended value)."""
PER_FAMILY = 4
"""Addresses of one name that are tried, of each family: a name's owner must not make us dial hundreds."""

OUT_OF_FILES = frozenset((errno.EMFILE, errno.ENFILE))
_EXHAUSTED = OUT_OF_FILES | {errno.ENOBUFS, errno.ENOMEM}
_STRANGERS = {socket.AF_INET: "240.0.0.1", socket.AF_INET6: "100::1"}
"""Addresses that no machine has: reserved, and the discard prefix (RFC 6666)."""
_REASONS = {
    errno.ECONNREFUSED: Reset.REFUSED,
    errno.ETIMEDOUT: Reset.TIMEOUT,
}


AGE_SECONDS = 1.0
"""How old may be what is known of an address: interfaces and routes come and go."""


class DialError(Exception):
    """No connection; ``code`` says why in the words of a stream's reset."""

    def __init__(self, code: Reset) -> None:
        super().__init__(code.name)
        self.code = code


class OutOfFilesError(DialError):
    """This process, or the machine, has no file descriptor left."""

    def __init__(self) -> None:
        super().__init__(Reset.LIMIT)


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
    """Those of ``addresses`` that are this machine's own, on whatever interface. Sends nothing; raises
    ``OutOfFilesError`` when it cannot be known.

    An address is its own when a socket can be bound to it, or would reach it from itself: neither is enough, because
    the first is true of all where the system allows to bind to strangers' addresses (and says nothing there), and the
    second is not of an interface's further addresses. Asked anew each time, because interfaces come and go.
    """
    binds = {family: not _can_bind(stranger) for family, stranger in _STRANGERS.items()}
    return frozenset(
        address
        for address in addresses
        if _source(address) == address or (binds[_family(address)] and _can_bind(address))
    )


class Surroundings:
    """What this machine is to addresses, asked at most once in ``AGE_SECONDS`` of each.

    A page opens many connections to one address, and asking costs as much as connecting.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, bool]] = {}
        self._until = 0.0

    def own(self, addresses: Sequence[str], now: float) -> frozenset[str]:
        """See ``own_among``. ``now``: seconds of any steady clock."""
        self._learn(addresses, now)
        return frozenset(address for address in addresses if self._known[address][0])

    def routable(self, addresses: Sequence[str], now: float) -> list[str]:
        """See ``routable``."""
        self._learn(addresses, now)
        return [address for address in addresses if self._known[address][1]]

    def _learn(self, addresses: Sequence[str], now: float) -> None:
        if now >= self._until:
            self._known.clear()
            self._until = now + AGE_SECONDS
        unknown = [address for address in addresses if address not in self._known]
        if unknown:
            own = own_among(unknown)
            reached = set(routable(unknown))
            self._known |= {address: (address in own, address in reached) for address in unknown}


def routable(addresses: Sequence[str]) -> list[str]:
    """Those of ``addresses`` to which this machine has a route. Sends nothing."""
    return [address for address in addresses if _source(address) is not None]


def _source(address: str) -> str | None:
    """From where the system would reach it; ``None`` if it would not, for want of a route or of the whole family."""
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.setblocking(False)
            probe.connect((address, 9))
            return str(probe.getsockname()[0])
    except OSError as error:
        _raise_if_exhausted(error)
        return None


def _can_bind(address: str) -> bool:
    try:
        with socket.socket(_family(address), socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        _raise_if_exhausted(error)
        return False
    return True


def _raise_if_exhausted(error: OSError) -> None:
    """Not to know whose an address is, is not to know that it is a stranger's."""
    if error.errno in _EXHAUSTED:
        raise OutOfFilesError from None


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def connect(
    factory: Callable[[], asyncio.BaseProtocol],
    addresses: Sequence[str],
    port: int,
    sources: Sequence[str] = (),
) -> None:
    """Connect ``factory``'s protocol to the first of the ``addresses`` (numeric) that answers; raises ``DialError``.

    ``sources``: addresses of this machine to leave from, at most one of each family; others are not left from.
    """
    local = [_information(source, 0) for source in sources]
    families = {entry[0] for entry in local}
    targets = [_information(address, port) for address in addresses]
    usable = [entry for entry in targets if not families or entry[0] in families]
    order = dict.fromkeys(entry[0] for entry in usable)
    chosen = [entry for family in order for entry in [each for each in usable if each[0] == family][:PER_FAMILY]]
    if not chosen:
        raise DialError(Reset.UNREACHABLE)
    out_of_files = False

    def new_socket(entry: AddrInfoType) -> socket.socket:
        nonlocal out_of_files
        try:
            return socket.socket(entry[0], entry[1], entry[2])
        except OSError as error:
            out_of_files = error.errno in OUT_OF_FILES
            raise

    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connected = await start_connection(
                chosen,
                local_addr_infos=local or None,
                happy_eyeballs_delay=ATTEMPT_DELAY,
                interleave=1,
                socket_factory=new_socket,
            )
    except TimeoutError:
        raise DialError(Reset.TIMEOUT) from None
    except OSError as error:
        if out_of_files:
            raise OutOfFilesError from None
        raise DialError(_REASONS.get(error.errno or 0, Reset.UNREACHABLE)) from None
    await asyncio.get_running_loop().create_connection(factory, sock=connected)


def _information(address: str, port: int) -> AddrInfoType:
    """As ``getaddrinfo`` would say it; a zone is not kept, because no link-local address is ever dialled."""
    family = _family(address)
    place: tuple[str, int] | tuple[str, int, int, int]
    place = (address, port, 0, 0) if family is socket.AF_INET6 else (address, port)
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place)
