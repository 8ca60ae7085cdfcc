"""What the requests on the control socket mean: leases on the tunnel, the status, the browser's PAC."""

from collections.abc import Callable

import anyio

from qnet import __version__
from qnet.browser.pac import Pac
from qnet.net.control import ControlSession
from qnet.roles.tunnel import Tunnel
from qnet.wire.errors import LocalError
from qnet.wire.messages import (
    FEATURES,
    PAC_CHUNK,
    PROTOCOL_VERSION,
    Answer,
    AnyRequest,
    Connect,
    Disconnect,
    GetPac,
    GetStatus,
    Hello,
    HelloInfo,
    PacChunk,
    ProxyInfo,
    Status,
    Stop,
)


class VersionError(LocalError):
    """The extension speaks another version of the messages."""

    code = "version"
    exit_code = 76


class OffsetError(LocalError):
    """The PAC is shorter than that."""

    code = "offset"
    exit_code = 64


class Control:
    """The ``ControlHandler`` of the helper. Requests wait until ``ready`` is called: the socket is open before all
    else, because it is what keeps a second helper from starting.
    """

    def __init__(self, status: Callable[[], Status], stop: Callable[[], None]) -> None:
        self._status = status
        self._stop = stop
        self._ready = anyio.Event()

    def ready(self, tunnel: Tunnel, pac: Pac, port: int) -> None:
        """``port``: the browsers' proxy port on 127.0.0.1, ``pac``: the script that leads to it."""
        self._tunnel = tunnel
        self._pac = pac
        self._port = port
        self._ready.set()

    async def handle(self, session: ControlSession, request: AnyRequest) -> Answer:
        """Answer one request."""
        await self._ready.wait()
        match request:
            case Hello(id=number, version=version):
                if version != PROTOCOL_VERSION:
                    raise VersionError(
                        f"the helper speaks version {PROTOCOL_VERSION}, not {version}", "update QNet and the extension"
                    )
                hello = HelloInfo(version=PROTOCOL_VERSION, helper=__version__, features=list(FEATURES))
                return Answer(id=number, ok=True, hello=hello, status=self._status())
            case GetStatus(id=number):
                return Answer(id=number, ok=True, status=self._status())
            case Connect(id=number):
                self._tunnel.lease(session)
                proxy = ProxyInfo(host="127.0.0.1", port=self._port, pac_hash=self._pac.hash)
                return Answer(id=number, ok=True, proxy=proxy, status=self._status())
            case Disconnect(id=number):
                self._tunnel.release(session)
                return Answer(id=number, ok=True, status=self._status())
            case GetPac(id=number, offset=offset):
                text = self._pac.text
                if not 0 <= offset <= len(text):
                    raise OffsetError(f"the PAC has {len(text)} characters", "ask from 0 on")
                chunk = PacChunk(
                    hash=self._pac.hash, size=len(text), offset=offset, text=text[offset : offset + PAC_CHUNK]
                )
                return Answer(id=number, ok=True, pac=chunk)
            case Stop(id=number):
                self._stop()
                return Answer(id=number, ok=True)

    def closed(self, session: ControlSession) -> None:
        """A session that ends gives its lease back."""
        if self._ready.is_set():
            self._tunnel.release(session)
