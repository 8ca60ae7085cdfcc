"""What requests on the control socket mean for the tunnel."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest
from httpx import AsyncBaseTransport

from qnet.browser.rules.keeper import RuleKeeper
from qnet.browser.rules.ruleset import Section
from qnet.browser.rules.store import RuleStore
from qnet.browser.rules.subscribed import SubscriptionStore
from qnet.roles.control import Control, OffsetError, VersionError
from qnet.roles.discovery import Discovery
from qnet.roles.peer_book import PeerBook
from qnet.roles.preferences import Preferences
from qnet.roles.subscriptions import Subscriptions
from qnet.roles.tunnel import Tunnel
from qnet.roles.wardrobe import Wardrobe
from qnet.settings import Folders, Settings
from qnet.wire.messages import (
    PAC_CHUNK,
    PROTOCOL_VERSION,
    Connect,
    Disconnect,
    GetPac,
    GetStatus,
    Hello,
    State,
    Status,
    Stop,
)
from qnet.wire.scratch import Scratch
from tests.support.cover_pair import template
from tests.support.peers import disguise

pytestmark = pytest.mark.anyio
PORT = 1234


class Session:
    """Only who it is counts here, and what it said it is."""

    hello: Hello | None = None


class Setting:
    """A control role with a real tunnel that is not run."""

    def __init__(self, folder: Path) -> None:
        self.stopped = anyio.Event()
        self.folder = folder
        self.disguise = disguise()
        self.tunnel = Tunnel(lambda now: [], self.disguise, Scratch(), lambda: None)
        self.control = Control(self.status, self.stopped.set, lambda: None)
        self.rules = RuleKeeper(RuleStore(folder / "rules"), PORT)
        folders = Folders(folder, folder, folder)
        self.preferences = Preferences(folders, Settings(), Discovery(PeerBook(folder / "peers")), self.tunnel)

    def status(self) -> Status:
        view = self.tunnel.view()
        return Status(state=view.state, mode="client", version="0", since=0, leases=view.leases)

    def ready(self) -> None:
        lists = Subscriptions(SubscriptionStore(self.folder / "lists"), self.follow, AsyncBaseTransport, lambda: False)
        wardrobe = Wardrobe(self.folder, self.disguise, template)
        self.control.ready(self.tunnel, self.rules, PORT, self.preferences, lists, wardrobe)

    async def follow(self, sections: Sequence[Section]) -> None:
        self.rules.follow(sections)


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    made = Setting(tmp_path)
    made.ready()
    return made


async def test_hello(setting: Setting) -> None:
    answer = await setting.control.handle(Session(), Hello(id=3, version=PROTOCOL_VERSION))  # type: ignore[arg-type]
    assert answer.id == 3 and answer.hello is not None and answer.status is not None
    with pytest.raises(VersionError) as caught:
        await setting.control.handle(Session(), Hello(id=3, version=PROTOCOL_VERSION + 1))  # type: ignore[arg-type]
    assert caught.value.hint


async def test_leases_are_the_sessions_own(setting: Setting) -> None:
    one, two = Session(), Session()
    for session in (one, one, two):
        answer = await setting.control.handle(session, Connect(id=1))  # type: ignore[arg-type]
        assert answer.proxy is not None and (answer.proxy.host, answer.proxy.port) == ("127.0.0.1", PORT)
        assert answer.proxy.pac_hash == setting.rules.pac.hash
        assert answer.status is not None and answer.status.state is State.CONNECTING
    assert setting.tunnel.view().leases == 2
    answer = await setting.control.handle(one, Disconnect(id=2))  # type: ignore[arg-type]
    assert answer.status is not None and (answer.status.leases, answer.status.state) == (1, State.CONNECTING)
    setting.control.closed(one)  # type: ignore[arg-type]
    assert setting.tunnel.view().leases == 1
    setting.control.closed(two)  # type: ignore[arg-type]
    assert (setting.tunnel.view().leases, setting.tunnel.view().state) == (0, State.OFFLINE)


async def test_the_pac_in_pieces(setting: Setting) -> None:
    text, offset = "", 0
    while True:
        answer = await setting.control.handle(Session(), GetPac(id=1, offset=offset))  # type: ignore[arg-type]
        assert (
            answer.pac is not None and answer.pac.hash == setting.rules.pac.hash and len(answer.pac.text) <= PAC_CHUNK
        )
        text += answer.pac.text
        offset = len(text)
        if offset == answer.pac.size:
            break
    assert text == setting.rules.pac.text
    for offset in (-1, len(text) + 1):
        with pytest.raises(OffsetError):
            await setting.control.handle(Session(), GetPac(id=1, offset=offset))  # type: ignore[arg-type]


async def test_stop(setting: Setting) -> None:
    assert (await setting.control.handle(Session(), Stop(id=9))).ok  # type: ignore[arg-type]
    assert setting.stopped.is_set()


async def test_requests_wait_until_all_is_ready(tmp_path: Path) -> None:
    setting, session, answers = Setting(tmp_path), Session(), []

    async def ask() -> None:
        answers.append(await setting.control.handle(session, GetStatus(id=1)))  # type: ignore[arg-type]

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await anyio.sleep(0.02)
        assert answers == []
        setting.control.closed(session)  # type: ignore[arg-type]
        setting.ready()
    assert answers[0].ok
