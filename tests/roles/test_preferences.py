"""What a person changes at run time: kept with the file's other content, in force at once, and only by consent."""

import json
import time
from pathlib import Path

import pytest

from qnet.roles.discovery import Discovery
from qnet.roles.networks import NetworkError, Networks
from qnet.roles.peer_book import PeerBook
from qnet.roles.preferences import LinkError, Preferences
from qnet.roles.tunnel import Tunnel
from qnet.settings import Folders, Settings, SettingsError, read_settings
from qnet.wire.messages import ChangeSettings, ExamineNetwork, ExitCountry, ExitTerms, JoinNetwork
from qnet.wire.network_file import Operator
from qnet.wire.scratch import Scratch
from tests.support.directories import Peer
from tests.support.peers import disguise

pytestmark = pytest.mark.anyio


class Desk:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folders = Folders(folder, folder, folder)
        self.folders.settings.write_text('{"nickname": "kept", "socks_port": 4711}')
        self.chosen: list[tuple[int, str]] = []
        book = PeerBook(folder / "peers")
        for number, country in enumerate(["NL", "DE", "NL", ""]):
            given = folder / f"given{number}"
            given.write_bytes(Peer(country=country, roles=("entry", "relay", "exit")).descriptor(time.time()))
            book.join(given, time.time())
        tunnel = Tunnel(lambda now: [], disguise(), Scratch(), lambda: None)
        tunnel.choose = lambda hops, country: self.chosen.append((hops, country))  # type: ignore[method-assign]
        self.preferences = Preferences(self.folders, Settings(), Discovery(book), tunnel)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def link_of(folder: Path, name: str = "meadow") -> str:
    folder.mkdir()
    return Networks(folder).init(name, [Operator(Peer().descriptor(time.time()))], time.time()).link


async def test_exits_are_counted_by_country(desk: Desk) -> None:
    info = await desk.preferences.info()
    assert (info.hops, info.exit_country, info.peers, info.network) == (1, "", 4, None)
    assert info.countries == [ExitCountry(country="DE", exits=1), ExitCountry(country="NL", exits=2)]


async def test_a_change_holds_at_once_and_keeps_the_rest_of_the_file(desk: Desk) -> None:
    info = await desk.preferences.change(ChangeSettings(id=1, hops=3))
    assert (info.hops, info.exit_country) == (3, "")
    info = await desk.preferences.change(ChangeSettings(id=2, exit_country="NL"))
    assert (info.hops, info.exit_country) == (3, "NL")
    assert desk.chosen == [(3, ""), (3, "NL")]
    saved = json.loads(desk.folders.settings.read_text())
    assert saved == {"nickname": "kept", "socks_port": 4711, "hops": 3, "exit_country": "NL"}


@pytest.mark.parametrize("wrong", [{"hops": 0}, {"hops": 4}, {"exit_country": "nl"}, {"exit_country": "NLD"}])
async def test_what_cannot_be_changes_nothing(desk: Desk, wrong: dict[str, object]) -> None:
    before = desk.folders.settings.read_bytes()
    with pytest.raises(SettingsError):
        await desk.preferences.change(ChangeSettings(id=1, **wrong))  # type: ignore[arg-type]
    assert (desk.folders.settings.read_bytes(), desk.chosen) == (before, [])


async def test_a_file_that_cannot_be_read_is_not_overwritten(desk: Desk) -> None:
    desk.folders.settings.write_text('{"hops": "many"}')
    with pytest.raises(SettingsError):
        await desk.preferences.change(ChangeSettings(id=1, hops=3))
    assert desk.folders.settings.read_text() == '{"hops": "many"}'
    assert desk.chosen == []
    with pytest.raises(SettingsError):
        read_settings(desk.folders.settings)


async def test_joining_takes_the_fingerprint_that_was_shown(desk: Desk, tmp_path: Path) -> None:
    link, other = link_of(tmp_path / "one"), link_of(tmp_path / "two", "forest")
    shown = await desk.preferences.examine(ExamineNetwork(id=1, link=link))
    assert (shown.network.name, shown.network.operators, shown.relation) == ("meadow", 1, "first")
    assert (await desk.preferences.info()).network is None
    with pytest.raises(LinkError, match="another network"):
        await desk.preferences.join(JoinNetwork(id=2, link=other, fingerprint=shown.network.fingerprint))
    info = await desk.preferences.join(JoinNetwork(id=3, link=link, fingerprint=shown.network.fingerprint))
    assert info.network == shown.network
    leaving = await desk.preferences.examine(ExamineNetwork(id=4, link=other))
    assert leaving.relation == "other"
    consent = {"link": other, "fingerprint": leaving.network.fingerprint}
    with pytest.raises(NetworkError, match="belongs to another"):
        await desk.preferences.join(JoinNetwork(id=5, **consent))
    info = await desk.preferences.join(JoinNetwork(id=6, replace=True, **consent))
    assert info.network is not None and info.network.name == "forest"


async def test_an_invitation_is_the_link_that_others_join_by(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(NetworkError):
        await desk.preferences.invite()
    link = link_of(tmp_path / "one")
    shown = await desk.preferences.examine(ExamineNetwork(id=1, link=link))
    await desk.preferences.join(JoinNetwork(id=2, link=link, fingerprint=shown.network.fingerprint))
    invitation = await desk.preferences.invite()
    assert invitation.link == link
    assert len(invitation.qr) == len(invitation.qr[0]) >= 21 and set("".join(invitation.qr)) == {"0", "1"}


async def test_an_invitation_too_long_for_a_code_has_none(desk: Desk, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    operators = [Operator(Peer().descriptor(time.time())) for _ in range(12)]
    link = Networks(folder).init("many", operators, time.time()).link
    shown = await desk.preferences.examine(ExamineNetwork(id=1, link=link))
    await desk.preferences.join(JoinNetwork(id=2, link=link, fingerprint=shown.network.fingerprint))
    assert (await desk.preferences.invite()).qr == []


async def test_only_an_exit_has_terms(desk: Desk) -> None:
    assert (await desk.preferences.info()).terms is None
    desk.preferences._settings = Settings(mode="exit", exit_allowed_ports=(443,), exit_monthly_gigabytes=7)
    terms = (await desk.preferences.info()).terms
    assert terms == ExitTerms(ports=[443], only=False, connections=1000, per_client=20, gigabytes=7)


@pytest.mark.parametrize("text", ["", "/etc/passwd", "network.qnet-network", "qnet:" + "A" * 200_000])
async def test_only_links_are_looked_at(desk: Desk, text: str) -> None:
    with pytest.raises(LinkError):
        await desk.preferences.examine(ExamineNetwork(id=1, link=text))
    with pytest.raises(LinkError):
        await desk.preferences.join(JoinNetwork(id=1, link=text, fingerprint=""))


async def test_a_damaged_link_is_refused(desk: Desk) -> None:
    with pytest.raises(NetworkError):
        await desk.preferences.examine(ExamineNetwork(id=1, link="qnet:AAAA"))
