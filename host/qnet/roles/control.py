"""What the requests on the control socket mean: leases on the tunnel, the status, the browser's PAC, the rules,
and what a person chooses.
"""

from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from qnet import __version__
from qnet.browser.rules.keeper import RuleKeeper
from qnet.browser.rules.testing import destination_of
from qnet.net.control import ControlSession
from qnet.roles.preferences import Preferences
from qnet.roles.proxy import unmet
from qnet.roles.subscriptions import Subscriptions
from qnet.roles.tunnel import Tunnel
from qnet.roles.wardrobe import Wardrobe
from qnet.wire.errors import LocalError
from qnet.wire.messages import (
    FEATURES,
    PAC_CHUNK,
    PROTOCOL_VERSION,
    UPLOAD_LIMIT,
    Answer,
    AnyRequest,
    Capture,
    ChangeSettings,
    Connect,
    Disconnect,
    EditRules,
    ExamineNetwork,
    GetInvitation,
    GetPac,
    GetRules,
    GetSettings,
    GetStatus,
    GetSubscriptions,
    Hello,
    HelloInfo,
    ImportReport,
    ImportRules,
    JoinNetwork,
    PacChunk,
    ProxyInfo,
    Refresh,
    RestoreRules,
    Status,
    Stop,
    Subscribe,
    TestAddress,
    Unsubscribe,
    Upload,
    VerdictInfo,
)

T = TypeVar("T")


class VersionError(LocalError):
    """The extension speaks another version of the messages."""

    code = "version"
    exit_code = 76


class OffsetError(LocalError):
    """The PAC is shorter than that."""

    code = "offset"
    exit_code = 64


class UploadError(LocalError):
    """The file cannot be taken."""

    code = "upload"
    exit_code = 65


class Control:
    """The ``ControlHandler`` of the helper. Requests wait until ``ready`` is called: the socket is open before all
    else, because it is what keeps a second helper from starting.
    """

    def __init__(self, status: Callable[[], Status], stop: Callable[[], None], changed: Callable[[], None]) -> None:
        self._status = status
        self._stop = stop
        self._changed = changed
        self._ready = anyio.Event()
        self._changing = anyio.Lock()
        self._uploader: ControlSession | None = None
        self._uploaded: list[str] = []

    def ready(
        self,
        tunnel: Tunnel,
        rules: RuleKeeper,
        port: int,
        preferences: Preferences,
        lists: Subscriptions,
        wardrobe: Wardrobe,
    ) -> None:
        """``port``: the browsers' proxy port on 127.0.0.1, to which the rules' script leads."""
        self._lists = lists
        self._wardrobe = wardrobe
        self._tunnel = tunnel
        self._rules = rules
        self._port = port
        self._preferences = preferences
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
            case Capture(id=number):
                return Answer(id=number, ok=True, capture=await self._wardrobe.capture(session, request))
            case Connect(id=number):
                if session.hello is not None:
                    self._wardrobe.wear(session, session.hello.client)
                self._tunnel.lease(session)
                proxy = ProxyInfo(host="127.0.0.1", port=self._port, pac_hash=self._rules.pac.hash)
                return Answer(id=number, ok=True, proxy=proxy, status=self._status())
            case Disconnect(id=number):
                self._tunnel.release(session)
                return Answer(id=number, ok=True, status=self._status())
            case GetPac(id=number, offset=offset):
                pac = self._rules.pac
                text = pac.text
                if not 0 <= offset <= len(text):
                    raise OffsetError(f"the PAC has {len(text)} characters", "ask from 0 on")
                chunk = PacChunk(hash=pac.hash, size=len(text), offset=offset, text=text[offset : offset + PAC_CHUNK])
                return Answer(id=number, ok=True, pac=chunk)
            case Stop(id=number):
                self._stop()
                return Answer(id=number, ok=True)
            case GetRules(id=number, offset=offset):
                return Answer(id=number, ok=True, rules=self._rules.page(offset))
            case EditRules(id=number):
                await self.change(lambda: self._rules.edit(request))
                return Answer(id=number, ok=True, rules=self._rules.page())
            case RestoreRules(id=number, base=base, generation=generation):
                await self.change(lambda: self._rules.restore(generation, base))
                return Answer(id=number, ok=True, rules=self._rules.page())
            case Upload(id=number, offset=offset, text=text):
                self._upload(session, offset, text)
                return Answer(id=number, ok=True)
            case ImportRules(id=number):
                report = await self._import(session, request)
                return Answer(id=number, ok=True, imported=report, rules=self._rules.page())
            case TestAddress(id=number, address=address):
                return Answer(id=number, ok=True, verdict=self._test(address))
            case GetSettings(id=number):
                return Answer(id=number, ok=True, settings=await self._preferences.info())
            case ChangeSettings(id=number):
                return Answer(id=number, ok=True, settings=await self._preferences.change(request))
            case ExamineNetwork(id=number):
                return Answer(id=number, ok=True, proposal=await self._preferences.examine(request))
            case JoinNetwork(id=number):
                return Answer(id=number, ok=True, settings=await self._preferences.join(request))
            case GetInvitation(id=number):
                return Answer(id=number, ok=True, invitation=await self._preferences.invite())
            case GetSubscriptions(id=number):
                return Answer(id=number, ok=True, subscriptions=self._lists.view())
            case Subscribe(id=number):
                await self._lists.add(request)
                return Answer(id=number, ok=True, subscriptions=self._lists.view())
            case Unsubscribe(id=number, url=url):
                await self._lists.remove(url)
                return Answer(id=number, ok=True, subscriptions=self._lists.view())
            case Refresh(id=number, url=url):
                await self._lists.refresh(url)
                return Answer(id=number, ok=True, subscriptions=self._lists.view())

    async def change(self, change: Callable[[], T]) -> T:
        """Change the rules beside the tunnel's work, one after the other, and tell everybody."""
        async with self._changing:
            result = await anyio.to_thread.run_sync(change)
        self._changed()
        return result

    def _upload(self, session: ControlSession, offset: int, text: str) -> None:
        if offset == 0:
            self._uploader, self._uploaded = session, []
        if self._uploader is not session or offset != sum(map(len, self._uploaded)):
            raise UploadError("the file arrived in disorder", "Import it again")
        if offset + len(text) > UPLOAD_LIMIT:
            self._uploader, self._uploaded = None, []
            raise UploadError("the file is too long", f"At most {UPLOAD_LIMIT >> 20} million characters can be read")
        self._uploaded.append(text)

    async def _import(self, session: ControlSession, request: ImportRules) -> ImportReport:
        if self._uploader is not session:
            raise UploadError("there is no file to import", "Choose it again")
        text = "".join(self._uploaded)
        report = await self.change(lambda: self._rules.take(text, request))
        if not request.trial:
            self._uploader, self._uploaded = None, []
        return report

    def _test(self, address: str) -> VerdictInfo:
        host, port = destination_of(address)
        verdict = self._rules.verdict(host, port)
        return VerdictInfo(
            host=host,
            port=port,
            action=verdict.action,
            rule=verdict.rule,
            index=-1 if verdict.section else verdict.index,
            section=verdict.section,
            unmet=unmet(verdict, self._tunnel),
        )

    def closed(self, session: ControlSession) -> None:
        """A session that ends gives its lease back."""
        if self._uploader is session:
            self._uploader, self._uploaded = None, []
        if self._ready.is_set():
            self._tunnel.release(session, lost=True)
